"""The load generator waits for every answer and reports true latencies."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from benchmarks.load import Load, load, request


@asynccontextmanager
async def server(handler):
    app = web.Application()
    app.router.add_route("*", "/{path}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_every_request_is_answered_and_shown():
    received: list[str] = []
    shown: list[bytes] = []

    async def echo(asked: web.Request) -> web.Response:
        received.append(await asked.text())
        return web.Response(body=received[-1], status=202)

    async with server(echo) as url:
        requests = [request("POST", url, "/x", str(n).encode()) for n in range(100)]
        result = await load(
            url, iter(requests), connections=8, going=lambda: True, look=shown.append
        )
    expected = sorted(str(n) for n in range(100))
    assert sorted(received) == expected
    assert sorted(body.decode() for body in shown) == expected
    assert result.statuses == {202: 100}
    assert len(result.latencies_ms) == 100


async def test_a_read_that_had_to_wait_for_its_turn_does_not_look_fast():
    """Answers take 60 ms and are due every 20: each waits 40 longer than the one before it."""
    asked = itertools.count()

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.06)
        next(asked)
        return web.Response(text="x")

    async with server(slow) as url:
        read = request("GET", url, "/x")
        result = await load(
            url, itertools.repeat(read, 5), connections=1, going=lambda: True, every_s=0.02
        )
    assert result.latencies_ms == sorted(result.latencies_ms)
    assert result.latencies_ms[4] >= 5 * 60 - 4 * 20 - 1


def test_percentiles_are_of_real_answers():
    result = Load(latencies_ms=[float(n) for n in range(100, 0, -1)])
    assert [result.percentile_ms(p) for p in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert Load(latencies_ms=[7.0]).percentile_ms(99) == 7.0
    with pytest.raises(ValueError, match="nothing was answered"):
        Load().percentile_ms(50)
