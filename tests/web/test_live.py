"""Watching a campaign: one is told of changes, and however many watch, they share each look."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from paceline.storage import standings
from tests.web.test_pages import started, words
from tests.web.visiting import House, Reader

PATIENCE_S = 20.0


async def events(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str]]:
    """The name and the data of each event."""
    name, data = "", []
    async for raw in answer.content:
        line = raw.decode().rstrip("\n")
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data.append(line.removeprefix("data: "))
        elif not line and name:
            yield name, "\n".join(data)
            name, data = "", []


def watching(reader: Reader, campaign: int) -> Any:
    return reader.session.get(f"{reader.base}/campaigns/{campaign}/events")


async def test_whoever_watches_is_told_when_it_is_paused_and_when_it_has_ended(home: House) -> None:
    async with home.reader() as ana, asyncio.timeout(PATIENCE_S):
        campaign = await started(home, ana.tenant_id)
        async with watching(ana, campaign) as answer:
            assert answer.content_type == "text/event-stream"
            told = events(answer)
            name, html = await anext(told)
            assert name == "figures"
            assert "Sending" in words(html)
            await ana.post(f"/campaigns/{campaign}/pause")
            _, html = await anext(told)
            assert "Paused" in words(html)
            await ana.post(f"/campaigns/{campaign}/cancel")
            names = [name async for name, _ in told]
    assert names[-1] == "end"


async def test_of_a_campaign_that_one_may_not_see_nothing_is_told(home: House) -> None:
    async with home.reader("acme") as ana, home.reader("rival") as eve:
        campaign = await started(home, ana.tenant_id)
        async with watching(eve, campaign) as answer:
            assert answer.status == 404


async def test_many_who_watch_cost_the_database_as_much_as_one(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    read = standings.of

    def counted(*args: Any) -> Any:
        nonlocal looks
        looks += 1
        return read(*args)

    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE_S):
        ana = await stack.enter_async_context(home.reader())
        campaign = await started(home, ana.tenant_id)
        monkeypatch.setattr(standings, "of", counted)
        began = time.monotonic()
        streams = [
            events(await stack.enter_async_context(watching(ana, campaign))) for _ in range(10)
        ]
        for each in streams:
            await anext(each)
        await ana.post(f"/campaigns/{campaign}/cancel")
        for each in streams:
            assert [name async for name, _ in each][-1] == "end"
        passed_s = time.monotonic() - began
    # Two a second, one to begin with, and those of the order itself.
    assert looks <= 2 * passed_s + 4
