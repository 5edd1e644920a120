"""Watching a campaign: one is told of changes, and however many watch, they share each look."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from sqlalchemy import Engine, event

from paceline.storage import tenants
from paceline.web.pages import campaigns as campaign_pages
from tests.web.test_pages import started, words
from tests.web.visiting import House, Reader, house

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


@pytest.fixture
def looks() -> Iterator[list[str]]:
    """The statements that read where a campaign stands, as any database is given them."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if "its_account_grants" in statement:
            found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield found
    event.remove(Engine, "before_cursor_execute", note)


async def test_pages_streams_and_streams_of_the_api_cost_two_looks_a_second_together(
    database_url: str, looks: list[str]
) -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE_S):
        home = await stack.enter_async_context(house(database_url))
        ana = await stack.enter_async_context(home.reader())
        campaign = await started(home, ana.tenant_id)
        _, key = await home.database.write(tenants.create_key, ana.tenant_id, name="test")
        bearer = {"Authorization": f"Bearer {key}"}
        await ana.get(f"/campaigns/{campaign}")
        looks.clear()
        began = time.monotonic()
        streams = []
        for _ in range(10):  # they come one after another
            streams.append(events(await stack.enter_async_context(watching(ana, campaign))))
            path = f"{home.base}/api/campaigns/{campaign}/events"
            answer = await stack.enter_async_context(ana.session.get(path, headers=bearer))
            streams.append(events(answer))
            assert (await ana.get(f"/campaigns/{campaign}/live")).status == 200
        for each in streams:
            assert (await anext(each))[0] in {"figures", "status"}
        while time.monotonic() - began < 2:
            assert (await ana.get(f"/campaigns/{campaign}")).status == 200
        seen, passed_s = len(looks), time.monotonic() - began
        await home.context.orders.cancel(ana.tenant_id, campaign)
        for each in streams:
            _, told = await anext(each)
            assert "ancelled" in told
        for each in streams:
            assert [name async for name, _ in each][-1] == "end"
    assert seen <= 2 * passed_s + 1
    assert seen > 1, "hardly anybody looked"


async def test_a_stream_ends_now_and_then_so_that_who_may_not_look_any_more_is_told(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign_pages, "_LASTS_S", 0.0)
    async with home.reader() as ana, asyncio.timeout(PATIENCE_S):
        campaign = await started(home, ana.tenant_id)
        async with watching(ana, campaign) as answer:
            assert [name async for name, _ in events(answer)] == ["figures"]
        await ana.post("/sign-out")
        async with watching(ana, campaign) as answer:
            assert answer.url.path == "/sign-in"
