"""Campaigns scheduled in the small hours of a day on which the clocks change: each starts once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from paceline.clock import VirtualClock
from paceline.engine.chores import Chores
from paceline.engine.drafts import NewCampaign
from paceline.engine.orders import Orders
from paceline.engine.rules import Rules
from paceline.settings import load, sqlalchemy_url
from paceline.storage import accounts, contacts, migrate, tenants
from paceline.storage import campaigns as campaigns_table
from paceline.storage.database import Database
from paceline.storage.schema import messages
from tests.api.serving import ACCOUNT

# Two in the morning, half an hour, midnight, south of the equator; in the order of time.
CHANGES = [
    ("America/New_York", "2027-03-14"),
    ("Europe/Athens", "2027-03-28"),
    ("Australia/Lord_Howe", "2027-04-04"),
    ("Africa/Cairo", "2027-10-29"),
    ("Europe/Athens", "2027-10-31"),
    ("America/Havana", "2027-11-07"),
]
TICK_MIN = 30


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(round(datetime(2027, 3, 1, tzinfo=UTC).timestamp() * 1000))


@pytest.fixture
def database(database_url: str, clock: VirtualClock) -> Iterator[Database]:
    database = Database(sqlalchemy_url(database_url), clock=clock)
    migrate.upgrade(database)
    database.write_now(accounts.keep, name="main", values=ACCOUNT)
    yield database
    database.close()


@pytest.fixture
def orders(database: Database) -> Orders:
    return Orders(database, load({}), wake=lambda: None)


@pytest.fixture
def chores(database: Database, clock: VirtualClock) -> Chores:
    rules = Rules.of(load({}))
    return Chores(database, rules, clock, wake=lambda: None, at_rest=lambda: True)


@pytest.fixture
def tenant(database: Database) -> int:
    """A tenant with one contact."""
    tenant_id = int(database.write_now(tenants.keep, "acme").id)
    database.write_now(contacts.create, tenant_id, phone="+306912345678")
    return tenant_id


async def test_each_starts_once_at_the_moment_that_was_answered(
    database: Database, clock: VirtualClock, orders: Orders, chores: Chores, tenant: int
) -> None:
    made: dict[int, int] = {}
    for zone, day in CHANGES:
        for time in ("00:30", "01:30", "02:30", "03:30"):
            new = NewCampaign(name=zone, text="t", scheduled_at=f"{day}T{time}", timezone=zone)
            shown = await orders.create_campaign(tenant, new)
            made[shown.campaign.id] = shown.campaign.scheduled_at
    started: dict[int, list[int]] = {campaign_id: [] for campaign_id in made}
    for day in sorted({day for _, day in CHANGES}):
        before = datetime.fromisoformat(f"{day}T00:00+00:00") - timedelta(hours=14)
        clock.advance(round(before.timestamp()) - clock.now_ms() / 1000)
        for _ in range(36 * 60 // TICK_MIN):
            due = database.read_now(campaigns_table.due)
            await chores.start_due_campaigns()
            for campaign_id in due:
                started[campaign_id].append(clock.now_ms())
            clock.advance(TICK_MIN * 60)
    for campaign_id, scheduled_at in made.items():
        (at,) = started[campaign_id]
        assert scheduled_at <= at < scheduled_at + TICK_MIN * 60_000
        row = database.read_now(campaigns_table.get, tenant, campaign_id)
        assert (row.status, row.started_at) == ("sending", at)
    rows = database.read_now(lambda c: c.execute(messages.select()).all())
    assert sorted(row.campaign_id for row in rows) == sorted(made)


async def test_after_an_outage_that_outlasts_start_by_a_campaign_fails_and_says_why(
    database: Database, clock: VirtualClock, orders: Orders, chores: Chores, tenant: int
) -> None:
    made = [
        await orders.create_campaign(
            tenant,
            NewCampaign(
                name="offer",
                text="Only today",
                scheduled_at="2027-03-02T09:00",
                timezone="Europe/Athens",
                start_by=start_by,
            ),
        )
        for start_by in ("2027-03-02T18:00", "2027-03-03T18:00", None)
    ]
    clock.advance(41 * 3600)  # nobody was there at nine
    await chores.start_due_campaigns()
    late, in_time, whenever = [
        database.read_now(campaigns_table.get, tenant, each.campaign.id) for each in made
    ]
    assert (late.status, in_time.status, whenever.status) == ("failed", "sending", "sending")
    assert late.error is not None
    assert "had to start by 2027-03-02T16:00:00.000Z" in late.error


async def test_who_takes_a_campaign_off_the_schedule_or_moves_it_at_the_last_moment_is_heeded(
    database: Database,
    clock: VirtualClock,
    orders: Orders,
    chores: Chores,
    tenant: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Several are due at once, and the first one takes its time to start."""
    new = NewCampaign(name="n", text="t", scheduled_at="2027-03-01T01:00Z")
    first, taken_off, moved = [
        (await orders.create_campaign(tenant, new)).campaign.id for _ in range(3)
    ]
    clock.advance(3600)
    due = database.read_now(campaigns_table.due)
    assert sorted(due) == [first, taken_off, moved]
    await orders.unschedule(tenant, taken_off)
    await orders.schedule(tenant, moved, "2027-03-02T01:00Z")
    monkeypatch.setattr(campaigns_table, "due", lambda _: due)
    await chores.start_due_campaigns()
    status = [
        (await orders.campaign(tenant, each)).campaign.status for each in (first, taken_off, moved)
    ]
    assert status == ["sending", "draft", "scheduled"]
