"""The first page: what is sending and how fast, and what needs somebody, with what to do next."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import Any

from sqlalchemy import Connection, Engine, event, insert, update

from paceline.domain.limits import Window
from paceline.domain.role import Role
from paceline.engine.drafts import NewCampaign
from paceline.storage import accounts, batches, counters, messages
from paceline.storage.database import now
from paceline.storage.schema import attempts, traffic_accounts
from paceline.storage.schema import batches as batch_rows
from paceline.storage.schema import messages as message_rows
from tests.web.test_pages import started, words
from tests.web.visiting import House, Reader, house


def section(html: str, name: str) -> str:
    found = re.search(rf'<section class="card" id="{name}">(.*?)</section>', html, re.DOTALL)
    assert found is not None, html
    return found[1]


async def attention(reader: Reader) -> str:
    return section((await reader.get("/overview/now")).text, "attention")


def fill_window(connection: Connection, account_id: int, calls: int) -> int:
    """As if so many calls had just been made."""
    at = now(connection)
    grants = Window(tuple((at - calls + each, 1) for each in range(calls))).encode()
    which = traffic_accounts.c.id == account_id
    connection.execute(update(traffic_accounts).where(which).values(grants=grants))
    return at


async def test_an_empty_installation_is_well_and_says_what_to_do_first(home: House) -> None:
    async with home.reader(role=Role.SENDER) as ana:
        page = await ana.get("/")
    assert "All is well." in words(page.text)
    assert "Nothing is being sent." in words(page.text)
    assert "/campaigns/new" in page.text


async def test_what_is_sending_is_shown_with_both_limits_and_what_holds_it_until_when(
    database_url: str,
) -> None:
    async with (
        house(
            database_url,
            SMS_BATCH_SIZE="1",
            RATE_LIMIT_TRAFFIC_ACCOUNT_MAX="4",
            RATE_LIMIT_TRAFFIC_ACCOUNT_WINDOW_MS="7200000",
        ) as home,
        home.reader() as ana,
    ):
        campaign = await started(home, ana.tenant_id)
        await home.database.write(fill_window, home.account.id, 4)
        page = (await ana.get("/overview/now")).text
    sending = words(section(page, "sending"))
    assert "0 of 3 processed, 0 failed" in sending
    assert "about 2 hours to go" in sending
    assert "limit 0 0 of 50 calls in 1 second" in sending
    assert "Limit of main 4 4 of 4 calls in 2 hours" in sending
    assert "Waiting for the limit of the traffic account: next batch in 2 hours" in sending
    todo = section(page, "attention")
    assert "Waiting for the limit of the traffic account: next batch in 2 hours, until" in words(
        todo
    )
    assert f'href="/campaigns/{campaign}"' in page
    assert 'href="/accounts"' in todo


async def test_a_provider_that_is_down_and_one_that_refuses_say_what_to_do(home: House) -> None:
    async with home.reader() as ana:
        at = await home.database.read(now)
        closed = {"closed_until": at + 30_000, "closed_why": "503", "failures": 1}
        await home.database.write(accounts.change, home.account.id, closed)
        told = await attention(ana)
        assert "main : the provider is down, closed for 30 seconds: 503" in words(told)
        assert "tried again by itself" in told
        await home.database.write(
            accounts.change, home.account.id, {"held_at": at, "held_why": "401"}
        )
    async with home.reader("rival") as bob:
        told = await attention(bob)
        assert "held, nothing goes out through it: 401" in words(told)
        assert "then release it" in told
        assert 'href="/accounts"' in told


def spoil(connection: Connection, campaign_id: int, *, doubtful: int, failed: int) -> None:
    """Of a campaign that is sending, some are in doubt and some have failed."""
    batch = batch_rows.c.campaign_id == campaign_id
    connection.execute(update(batch_rows).where(batch).values(status="unconfirmed", in_doubt=True))
    ids = [
        row.id
        for row in connection.execute(
            message_rows.select().where(message_rows.c.campaign_id == campaign_id)
        )
    ]
    mine = message_rows.c.id
    connection.execute(update(message_rows).where(mine.in_(ids[:doubtful])).values(in_doubt=True))
    connection.execute(
        update(message_rows)
        .where(mine.in_(ids[doubtful : doubtful + failed]))
        .values(status="failed", reason="rejected", failed_at=1)
    )
    changes = {"queued": -failed, "failed": failed, "unconfirmed": doubtful}
    counters.add(connection, campaign_id, at=now(connection), **changes)


async def test_doubt_and_failures_are_listed_with_a_link_and_what_to_do(home: House) -> None:
    async with home.reader() as ana, home.reader("rival") as eve:
        campaign = await started(home, ana.tenant_id)
        await home.database.write(spoil, campaign, doubtful=2, failed=1)
        told = await attention(ana)
        assert "2 messages may have been sent. Decide: count as sent" in words(told)
        assert "1 of 1 failed. See why" in words(told)
        assert f'href="/campaigns/{campaign}#reasons"' in told
        assert "Spring" not in await attention(eve)
        await home.context.orders.pause(ana.tenant_id, campaign)
        assert "2 messages may have been sent" in words(await attention(ana))


async def test_a_single_message_in_doubt_is_not_forgotten(home: House) -> None:
    def doubt(connection: Connection, tenant_id: int) -> None:
        messages.add_single(
            connection,
            tenant_id,
            to="+306912345678",
            text="Your code",
            sender="Paceline",
            account_id=home.account.id,
        )
        connection.execute(update(batch_rows).values(status="unconfirmed", in_doubt=True))

    async with home.reader() as ana:
        await home.database.write(doubt, ana.tenant_id)
        told = await attention(ana)
    assert "1 message may have been sent" in words(told)
    assert 'href="/messages?status=unconfirmed"' in told


def attempt(connection: Connection, tenant_id: int, campaign_id: int | None, size: int) -> None:
    at = now(connection)
    batch = batches.new_block(connection)
    row = {"id": batch, "tenant_id": tenant_id, "account_id": 1, "campaign_id": campaign_id}
    connection.execute(
        insert(batch_rows),
        {**row, "status": "done", "size": size, "created_at": at, "updated_at": at},
    )
    del row["id"]
    row |= {"batch_id": batch, "fence": 1, "generation": 0, "size": size}
    connection.execute(
        insert(attempts),
        {
            **row,
            "worker": "w",
            "started_at": at,
            "send_by": at,
            "finished_at": at,
            "outcome": "answered",
        },
    )


async def test_the_charts_show_the_hour_and_can_be_read_as_tables(home: House) -> None:
    async with home.reader(role=None) as nobody:
        campaign = await started(home, nobody.tenant_id)
        await home.database.write(attempt, nobody.tenant_id, campaign, 7)
    async with home.reader() as ana:
        page = (await ana.get("/overview/hour")).text
    charts = re.findall(r'<figure class="chart" id="(\w+)"(.*?)</figure>', page, re.DOTALL)
    assert [name for name, _ in charts] == ["throughput", "waiting"]
    for _, chart in charts:
        assert chart.count("<tr data-at=") == 60
    last_rows = [chart.rpartition("<tr")[2] for _, chart in charts]
    assert re.findall(r'data-value="(\d+)"', last_rows[0]) == ["7", "1"]
    assert re.findall(r'data-value="(\d+)"', last_rows[1]) == ["3"]
    assert "Worked out backwards" in page


async def test_many_who_look_at_the_overview_share_each_look(home: House) -> None:
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if "FROM campaigns" in statement or "FROM attempts" in statement:
            found.append(statement)

    async with AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(home.reader()) for _ in range(10)]
        await started(home, crowd[0].tenant_id)
        event.listen(Engine, "before_cursor_execute", note)
        try:
            await crowd[0].get("/overview/now")
            once = len(found)
            for each in crowd[1:]:
                await asyncio.gather(each.get("/"), each.get("/overview/hour"))
        finally:
            event.remove(Engine, "before_cursor_execute", note)
    assert once > 0
    assert len(found) <= 3 * once, "each of nineteen pages looked for itself"


async def test_campaigns_that_are_to_start_are_listed_the_next_one_first(home: House) -> None:
    async with home.reader() as ana:
        later = await scheduled(home, ana.tenant_id, "2099-02-01T00:00:00Z", "Later")
        sooner = await scheduled(home, ana.tenant_id, "2099-01-01T00:00:00Z", "Sooner")
        page = (await ana.get("/overview/now")).text
    assert page.index(f"/campaigns/{sooner}") < page.index(f"/campaigns/{later}")


async def scheduled(home: House, tenant_id: int, at: str, name: str) -> int:
    new = NewCampaign(name=name, text="Hello")
    shown = await home.context.orders.create_campaign(tenant_id, new)
    await home.context.orders.schedule(tenant_id, shown.campaign.id, at)
    return int(shown.campaign.id)
