"""One campaign's page: figures that are true at every read, why messages failed, and its speed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from sqlalchemy import Connection, insert, select, update

from paceline.domain.message import MessageStatus, Reason
from paceline.domain.role import Role
from paceline.engine.drafts import NewCampaign
from paceline.storage import accounts, audit, batches, campaigns, counters, users, watching
from paceline.storage.database import now
from paceline.storage.schema import batches as batch_rows
from paceline.storage.schema import campaigns as campaign_rows
from paceline.storage.schema import messages
from tests.acceptance.world import World, world
from tests.web.test_live import events
from tests.web.test_pages import started, words
from tests.web.visiting import House, Reader, house

PATIENCE_S = 30.0


def figures(html: str) -> dict[str, int]:
    """The numbers of a campaign's page, by their name; ``total`` from the sentence below them."""
    found = re.findall(
        r'id="(queued|sent|delivered|failed|processed|unconfirmed)"[^>]*>([\d,]+)<', html
    )
    total = re.search(
        r"([\d,]+) in all = ([\d,]+) queued \+ ([\d,]+) sent \+ ([\d,]+) failed", html
    )
    assert total is not None, html
    numbers = {name: int(written.replace(",", "")) for name, written in found}
    assert len(numbers) == 6, found
    told = [int(written.replace(",", "")) for written in total.groups()]
    assert told[1:] == [numbers["queued"], numbers["sent"], numbers["failed"]]
    return {**numbers, "total": told[0]}


def assert_it_sums(shown: dict[str, int]) -> None:
    assert shown["queued"] + shown["sent"] + shown["failed"] == shown["total"]
    assert shown["processed"] == shown["sent"] + shown["failed"]
    assert shown["delivered"] <= shown["sent"]
    assert shown["unconfirmed"] <= shown["queued"]


@asynccontextmanager
async def looking_at(here: World) -> AsyncIterator[Reader]:
    """Somebody who has signed in to a world's dashboard."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        reader = Reader(session, here.call.base, here.call.tenant_id)
        secret = await here.database.write(users.make_link, reader.tenant_id, Role.SENDER)
        assert (await reader.post(f"/sign-in/{secret}", csrf="")).status == 200
        yield reader


async def test_the_figures_sum_at_every_read_of_a_run(database_url: str) -> None:
    """One follows the stream, another loads the page as often as it can, until it is over."""
    async with (
        world(
            database_url,
            controls={"reject_share": 0.1, "latency_ms": 5, "next": ["ok", "throttle"]},
            SMS_BATCH_SIZE="10",
            RATE_LIMIT_TENANT_MAX="40",
        ) as here,
        looking_at(here) as ana,
        asyncio.timeout(PATIENCE_S),
    ):
        campaign = await here.started(600)
        told: list[dict[str, int]] = []

        async def follow() -> None:
            async with ana.session.get(f"{ana.base}/campaigns/{campaign}/events") as stream:
                async for name, html in events(stream):
                    assert name == "figures"
                    told.append(figures(html))
                    if not told[-1]["queued"]:
                        return

        following = asyncio.create_task(follow())
        loaded = []
        while not following.done():
            loaded.append(figures((await ana.get(f"/campaigns/{campaign}")).text))
        await following
        for shown in [*told, *loaded]:
            assert_it_sums(shown)
        assert len({each["processed"] for each in loaded}) > 2, "it was hardly read while it ran"
        assert len(told) > 2
        assert told[-1]["total"] == 600
        assert told[-1]["sent"] == here.provider().accepted
        assert told[-1]["failed"] > 0


def settled(
    connection: Connection, tenant_id: int, account_id: int, sent: int, failed: dict[Reason, int]
) -> int:
    """A completed campaign with so many messages, made of rows and not of calls."""
    campaign = campaigns.create(
        connection, tenant_id, account_id=account_id, name="Mixed", text="Hello", sender="Paceline"
    )
    reasons: list[Reason | None] = [None] * sent
    for reason, count in failed.items():
        reasons += [reason] * count
    at, count = now(connection), len(reasons)
    batch = batches.new_block(connection)
    connection.execute(
        insert(batch_rows),
        {
            "id": batch,
            "tenant_id": tenant_id,
            "account_id": account_id,
            "campaign_id": campaign.id,
            "status": "done",
            "size": count,
            "created_at": at,
            "updated_at": at,
        },
    )
    connection.execute(
        insert(messages),
        [
            {
                "tenant_id": tenant_id,
                "campaign_id": campaign.id,
                "batch_id": batch,
                "phone": f"+3069{10_000_000 + number}",
                "status": MessageStatus.FAILED if reason else MessageStatus.SENT,
                "reason": reason,
                "created_at": at,
                "sent_at": None if reason else at,
                "failed_at": at if reason else None,
            }
            for number, reason in enumerate(reasons)
        ],
    )
    connection.execute(
        update(campaign_rows)
        .where(campaign_rows.c.id == campaign.id)
        .values(status="sending", audience=count, started_at=at)
    )
    counters.add(
        connection, campaign.id, at=at, total=count, sent=sent, failed=sum(failed.values())
    )
    return int(campaign.id)


async def test_5000_sent_and_100_failed_read_so_on_the_page_and_in_the_list(
    database_url: str,
) -> None:
    async with house(database_url) as home, home.reader(role=Role.VIEWER) as ana:
        account = home.account.id
        failed = {Reason.REJECTED: 70, Reason.UNDELIVERED: 30}
        campaign = await home.database.write(settled, ana.tenant_id, account, 5000, failed)
        assert await home.database.read(audit.differences) == []
        page = (await ana.get(f"/campaigns/{campaign}")).text
        listed = (await ana.get("/campaigns")).text
        for reason, count in failed.items():
            link = f"/messages?campaign={campaign}&status=failed&reason={reason}"
            assert link.replace("&", "&amp;") in page
            found = (await ana.get(link)).text
            assert found.count('href="/messages/') >= min(count, 50)
    shown = figures(page)
    assert (shown["sent"], shown["failed"], shown["processed"]) == (5000, 100, 5100)
    assert_it_sums(shown)
    for text in ("Sent 5,000", "Failed 100", "Processed 5,100", "Rejected by the provider 70"):
        assert text in words(page)
    assert "Completed" in words(listed)
    assert "5,000 100 5,100" in words(listed)


async def test_failures_are_counted_by_their_index_alone(database_url: str) -> None:
    """A million of them are counted every few seconds while somebody watches."""
    async with house(database_url) as home, home.reader() as ana:
        failed = {Reason.REJECTED: 300, Reason.EXPIRED: 20}
        campaign = await home.database.write(settled, ana.tenant_id, home.account.id, 50, failed)
        found = await home.database.read(watching.reasons, campaign)
        assert [(row.reason, row.messages) for row in found] == [("rejected", 300), ("expired", 20)]
        plan = await home.database.read(explained, watching._REASONS, {"campaign": campaign})
    assert "messages_reason" in plan


def explained(connection: Connection, query: Any, values: dict[str, Any]) -> str:
    how = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    written = query.params(values).compile(connection, compile_kwargs={"literal_binds": True})
    return str(connection.exec_driver_sql(f"{how} {written}").all())


async def sending(home: House, reader: Reader) -> str:
    return f"/campaigns/{await started(home, reader.tenant_id)}"


async def pace_of(home: House, path: str) -> tuple[Any, ...]:
    columns = ("rate_max", "rate_window_ms", "window_from", "window_until")
    query = select(*(campaign_rows.c[name] for name in columns)).where(
        campaign_rows.c.id == int(path.rpartition("/")[2])
    )
    return tuple(await home.database.read(lambda connection: connection.execute(query).one()))


FAST = {"rate_max": "3", "rate_window_ms": "2000", "from": "09:00", "until": "21:30"}


async def test_its_speed_and_hours_are_changed_while_it_is_sent_and_taken_away(home: House) -> None:
    async with home.reader(role=Role.SENDER) as ana:
        path = await sending(home, ana)
        assert (await ana.post(f"{path}/speed", FAST)).path == path
        assert await pace_of(home, path) == (3, 2000, 540, 1290)
        page = (await ana.get(path)).text
        assert 'value="3"' in page
        assert 'value="21:30"' in page
        changed = await ana.post(f"{path}/speed", dict.fromkeys(FAST, ""), HX_Request="true")
        assert "It holds from the next call on" in changed.text
        assert await pace_of(home, path) == (None, None, None, None)


@pytest.mark.parametrize(
    ("wrong", "where", "why"),
    [
        ({"rate_max": "many"}, "rate_max", "whole number"),
        ({"rate_max": "0"}, "rate_max", "from 1 to"),
        ({"rate_max": "9" * 5000}, "rate_max", "from 1 to"),
        ({"rate_max": ""}, "rate_window_ms", "without rate_max"),
        ({"rate_window_ms": "86400001"}, "rate_window_ms", "from 1 to"),
        ({"from": "25:00"}, "from", "time of the day"),
        ({"until": ""}, "until", "time of the day"),
    ],
)
async def test_a_speed_that_cannot_be_is_kept_in_the_form_with_what_is_wrong(
    home: House, wrong: dict[str, str], where: str, why: str
) -> None:
    async with home.reader(role=Role.SENDER) as ana:
        path = await sending(home, ana)
        for how in ({}, {"HX_Request": "true"}):
            answer = await ana.post(f"{path}/speed", FAST | wrong, **how)
            assert answer.status == 422
            field = re.search(rf'<input id="speed-{where}"[^>]*>', answer.text)
            assert field is not None
            assert 'aria-invalid="true"' in field[0]
            told = re.search(rf'id="wrong-{where}">([^<]*)<', answer.text)
            assert told is not None
            assert why in told[1]
            for name, value in (FAST | wrong).items():
                assert re.search(rf'name="{name}" value="{value}"', answer.text)
        assert await pace_of(home, path) == (None, None, None, None)


async def test_hours_that_begin_and_end_at_once_are_refused_in_words(home: House) -> None:
    async with home.reader(role=Role.SENDER) as ana:
        path = await sending(home, ana)
        answer = await ana.post(f"{path}/speed", {"from": "09:00", "until": "09:00"})
    assert answer.status == 422
    assert "begins and ends at the same time" in words(answer.text)


async def test_the_speed_of_a_campaign_that_is_over_is_shown_and_stays(home: House) -> None:
    async with home.reader(role=Role.SENDER) as ana:
        path = await sending(home, ana)
        await ana.post(f"{path}/speed", FAST)
        await ana.post(f"{path}/cancel")
        late = await ana.post(f"{path}/speed", FAST | {"rate_max": "9"})
        assert late.status == 409
        page = (await ana.get(path)).text
    assert "/speed" not in page
    assert "3 calls in 2 seconds" in words(page)
    assert "09:00 to 21:30" in words(page)


async def test_only_who_may_send_changes_a_speed_and_only_their_own(home: House) -> None:
    async with (
        home.reader(role=Role.SENDER) as ana,
        home.reader(role=Role.VIEWER) as viewer,
        home.reader("rival", Role.SENDER) as eve,
    ):
        path = await sending(home, ana)
        assert (await viewer.post(f"{path}/speed", FAST)).status == 403
        assert "speed-rate_max" not in (await viewer.get(path)).text
        assert (await eve.post(f"{path}/speed", FAST)).status == 404
        assert await pace_of(home, path) == (None, None, None, None)


async def test_an_order_that_comes_too_late_says_so_and_the_page_goes_on_watching(
    home: House,
) -> None:
    async with home.reader(role=Role.SENDER) as ana:
        path = await sending(home, ana)
        await ana.post(f"{path}/cancel")
        late = await ana.post(f"{path}/pause", HX_Request="true")
        assert late.status == 409
        assert "this one is cancelled" in words(late.text)
        assert "sse-connect" in late.text
        odd = await ana.post(f"{path}/unconfirmed", {"action": "eat"})
        assert odd.status == 422


async def test_what_it_waits_for_is_said_with_until_when(home: House) -> None:
    async with home.reader() as ana:
        path = await sending(home, ana)
        at = await home.database.read(now)
        closed = {"closed_until": at + 80_000, "closed_why": "503 from the provider", "failures": 1}
        await home.database.write(accounts.change, home.account.id, closed)
        assert "next batch in 1 minute" in words((await ana.get(path)).text)
        held = {"held_at": at, "held_why": "401"}
        await home.database.write(accounts.change, home.account.id, held)
        home.context.watched.forget()
        assert "held until somebody releases it" in words((await ana.get(path)).text)
        assert 'id="eta"' not in (await ana.get(path)).text


async def test_how_long_it_takes_yet_is_said_with_what_decides_it(database_url: str) -> None:
    """Two calls of one message each, one of them a minute."""
    async with (
        house(database_url, SMS_BATCH_SIZE="1") as home,
        home.reader(role=Role.SENDER) as ana,
    ):
        campaign = await started(home, ana.tenant_id, people=3)
        pace = {"rate_max": 1, "rate_window_ms": 60_000}
        await home.context.orders.change(ana.tenant_id, campaign, pace)
        page = words((await ana.get(f"/campaigns/{campaign}")).text)
    assert "About 2 minutes to go" in page
    assert "Decided by: its own speed" in page


async def test_a_speed_that_comes_too_late_is_refused_with_what_holds(home: House) -> None:
    async with home.reader(role=Role.SENDER) as ana:
        path = await sending(home, ana)
        await ana.post(f"{path}/cancel")
        late = await ana.post(
            f"{path}/speed", {"from": "03:00", "until": "04:00"}, HX_Request="true"
        )
    assert late.status == 409
    assert "Nothing was changed." in words(late.text)
    assert "03:00" not in late.text


async def test_a_start_shows_the_page_anew_which_has_other_parts_then(home: House) -> None:
    async with home.reader(role=Role.SENDER) as ana:
        await sending(home, ana)
        new = NewCampaign(name="n", text="Hello")
        draft = (await home.context.orders.create_campaign(ana.tenant_id, new)).campaign.id
        began = await ana.post(f"/campaigns/{draft}/start", HX_Request="true")
    assert began.status == 204
    assert began.headers["HX-Redirect"] == f"/campaigns/{draft}"
