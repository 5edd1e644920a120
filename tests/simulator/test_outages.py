"""An outage meets every call for its time, and nothing is left of it afterwards."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from .customer import API, DROPPED, message

AN_HOUR_MS = 3_600_000


@pytest.mark.parametrize("status", [503, 401])
async def test_an_outage_by_status_answers_every_call_and_look_up_and_accepts_nothing(
    start, status
):
    customer = await start(next=["drop_after"])
    await customer.outage(kind="status", status=status, for_ms=AN_HOUR_MS)
    for number in range(3):
        assert (await customer.bulk(message(number))).status == status
    for look_up in (f"{API}?reference=ref-1", f"{API}/id"):
        assert (await customer.request("GET", look_up)).status == status
    assert (await customer.summary())["accepted"] == 0
    assert (await customer.get("/control"))["next"] == ["drop_after"]


@pytest.mark.parametrize("accept", [False, True])
async def test_an_outage_by_reset_resets_the_connection_after_the_whole_request(start, accept):
    customer = await start()
    await customer.outage(kind="reset", accept=accept, for_ms=AN_HOUR_MS)
    with pytest.raises(aiohttp.ClientOSError):
        await customer.bulk(message(1), message(2))
    with pytest.raises(aiohttp.ClientOSError):
        await customer.request("GET", f"{API}?reference=ref-1")
    [call] = await customer.calls()
    fault = "reset_after" if accept else "reset_before"
    assert (call["status"], call["fault"], call["count"]) == (DROPPED, fault, 2)
    assert call["accepted"] == (2 if accept else 0)


async def test_an_outage_is_over_after_its_time(start):
    customer = await start()
    await customer.outage(kind="status", for_ms=100)
    assert (await customer.bulk(message(1))).status == 503
    async with asyncio.timeout(20):
        while (await customer.bulk(message(1))).status == 503:  # noqa: ASYNC110 -- across HTTP
            await asyncio.sleep(0.01)
    assert (await customer.summary())["accepted"] == 1


async def test_a_refusing_provider_ends_all_connections_and_comes_back_on_its_port(start):
    customer = await start(latency_ms=3_600_000)
    host, port = customer.url.removeprefix("http://").split(":")
    idle, writer = await asyncio.open_connection(host, int(port))
    call = asyncio.create_task(customer.bulk(message(1)))
    await customer.eventually("/log/summary", lambda summary: summary["accepted"] == 1)
    await customer.outage(kind="refuse", for_ms=1_000)
    async with asyncio.timeout(20):
        assert await idle.read() == b""
        assert (await call).status is DROPPED
        assert await customer.is_refused()
        while await customer.is_refused():  # noqa: ASYNC110 -- across HTTP
            await asyncio.sleep(0.01)
    writer.close()
    await customer.patch(latency_ms=0)
    assert (await customer.bulk(message(2))).status == 200
    assert (await customer.summary())["accepted"] == 2


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"kind": "flood", "for_ms": 1}, "kind"),
        ({"kind": "refuse"}, "for_ms"),
        ({"kind": "refuse", "for_ms": 0}, "for_ms"),
        ({"kind": "status", "for_ms": 1, "status": 200}, "status"),
        (b"{", "truncated"),
    ],
)
async def test_a_wrong_outage_is_400_naming_the_fault(start, document, named):
    customer = await start()
    answer = await customer.request("POST", "/outage", document)
    assert answer.status == 400
    assert named in answer.body["error"]["description"]
    assert (await customer.bulk(message(1))).status == 200
