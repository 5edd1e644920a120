"""What a campaign waits for, times as people write them, and orders that race."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from paceline.domain.errors import InvalidInputError, WrongStateError
from paceline.domain.limits import Limit, Window
from paceline.engine.drafts import NewCampaign
from paceline.engine.orders import Enqueued, Orders
from paceline.engine.schedule import moment
from paceline.engine.waiting import Cause, waiting_for
from paceline.settings import load, sqlalchemy_url
from paceline.storage import accounts, audit, contacts, migrate, tenants
from paceline.storage.database import Database
from paceline.storage.limits import Pacing
from paceline.storage.standings import Standing

NOW = 1_000_000
PACING = Pacing(tenant=Limit(2, 1000, 50), account=Limit(3, 1000, 50))
FULL = Window(((NOW - 50, 3),)).encode()


def standing(**changes: Any) -> Standing:
    """A sending campaign with a batch that is due, on an account that is well."""
    rows: dict[str, dict[str, Any]] = {
        "campaign": {
            "status": "sending",
            "queued": 5,
            "unconfirmed": 0,
            "launching": False,
            "scheduled_at": None,
            "window_from": 540,
            "window_until": 1200,
            "rate_max": None,
            "rate_window_ms": None,
            "grants": "",
        },
        "tenant": {"grants": "", "rate_max": None, "rate_window_ms": None},
        "account": {
            "name": "main",
            "grants": "",
            "rate_max": None,
            "rate_window_ms": None,
            "held_at": None,
            "held_why": None,
            "closed_until": None,
            "closed_why": None,
        },
    }
    values: dict[str, Any] = {"at": NOW, "due_at": 0, "error": None, "in_hand": False}
    for name, value in changes.items():
        row, _, column = name.partition("__")
        if column:
            rows[row][column] = value
        else:
            values[name] = value
    return Standing(**{key: SimpleNamespace(**row) for key, row in rows.items()}, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "cause", "until"),
    [
        ({}, None, None),
        ({"campaign__status": "completed"}, None, None),
        ({"campaign__status": "paused"}, Cause.PAUSED, None),
        (
            {"campaign__status": "scheduled", "campaign__scheduled_at": NOW + 9},
            Cause.SCHEDULED,
            NOW + 9,
        ),
        ({"account__held_at": 1}, Cause.ACCOUNT_HELD, None),
        ({"account__closed_until": NOW + 7}, Cause.ACCOUNT_CLOSED, NOW + 7),
        ({"account__closed_until": NOW}, None, None),
        ({"due_at": NOW + 5}, Cause.RETRY, NOW + 5),
        ({"due_at": NOW + 5, "account__closed_until": NOW + 3}, Cause.RETRY, NOW + 5),
        ({"due_at": NOW + 3, "account__closed_until": NOW + 5}, Cause.ACCOUNT_CLOSED, NOW + 5),
        ({"due_at": NOW + 5, "in_hand": True}, None, None),
        ({"due_at": NOW + 5, "waits_for": "quiet_hours"}, Cause.QUIET_HOURS, NOW + 5),
        ({"due_at": NOW + 5, "waits_for": "send_window"}, Cause.SEND_WINDOW, NOW + 5),
        ({"due_at": NOW + 5, "waits_for": "daily_cap"}, Cause.DAILY_CAP, NOW + 5),
        ({"due_at": NOW + 5, "waits_for": "daily_cap", "in_hand": True}, None, None),
        ({"due_at": NOW, "waits_for": "quiet_hours"}, None, None),
        (
            {"campaign__grants": FULL, "campaign__rate_max": 2, "campaign__rate_window_ms": 3000},
            Cause.CAMPAIGN_LIMIT,
            NOW + 3000,
        ),
        ({"campaign__grants": FULL}, None, None),
        ({"tenant__grants": FULL}, Cause.TENANT_LIMIT, NOW + 1000),
        ({"account__grants": FULL}, Cause.ACCOUNT_LIMIT, NOW + 1000),
        ({"account__grants": FULL, "account__rate_max": 4}, None, None),
        ({"due_at": None}, None, None),
        ({"due_at": None, "campaign__unconfirmed": 5}, Cause.DECISION, None),
        ({"due_at": None, "campaign__unconfirmed": 5, "in_hand": True}, None, None),
        ({"campaign__status": "cancelled", "campaign__unconfirmed": 5}, Cause.DECISION, None),
        ({"campaign__unconfirmed": 4}, None, None),
    ],
)
def test_a_campaign_waits_for(
    changes: dict[str, Any], cause: Cause | None, until: int | None
) -> None:
    waiting = waiting_for(standing(**changes), PACING)
    assert (waiting and waiting.cause, waiting and waiting.until) == (cause, until)


@pytest.mark.parametrize(
    ("written", "timezone", "expected"),
    [
        ("1970-01-01T00:00:01Z", None, 1_000),
        ("1970-01-01T02:00:01.5+02:00", None, 1_500),
        ("1970-07-01T02:00", "Asia/Tokyo", 15_613_200_000),
        # The hour that is repeated when the clocks go back: the first one, in summer time.
        ("2025-10-26T03:30", "Europe/Athens", 1_761_438_600_000),
        # The hour that is leapt over when they go forward: as long after the leap.
        ("2025-03-30T03:30", "Europe/Athens", 1_743_298_200_000),
        ("2025-03-30T04:30", "Europe/Athens", 1_743_298_200_000),
    ],
)
def test_a_time_is_read(written: str, timezone: str | None, expected: int) -> None:
    assert moment(written, timezone) == expected


@pytest.mark.parametrize(
    ("written", "timezone", "words"),
    [
        ("soon", None, "ISO 8601"),
        ("2025-10-26T03:30", None, "offset"),
        ("2025-10-26T03:30", "Europe", "IANA"),
        ("2025-10-26T03:30", "../etc/passwd", "IANA"),
    ],
)
def test_a_time_that_means_nothing_is_refused(
    written: str, timezone: str | None, words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        moment(written, timezone)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(sqlalchemy_url(database_url))
    migrate.upgrade(database)
    account = {
        "provider": "mitto",
        "base_url": "http://127.0.0.1:9",
        "external_id": "a",
        "api_key": "k",
        "sender": "Paceline",
    }
    database.write_now(accounts.keep, name="main", values=account)
    yield database
    database.close()


async def test_of_two_that_start_a_campaign_one_does(database: Database) -> None:
    orders = Orders(database, load({}), wake=lambda: None)
    tenant = database.write_now(tenants.keep, "acme").id
    for i in range(10):
        database.write_now(contacts.create, tenant, phone=f"+30691234567{i}")
    made = await orders.create_campaign(tenant, NewCampaign(name="n", text="t"))
    results = await asyncio.gather(
        *(orders.enqueue(tenant, made.campaign.id) for _ in range(4)), return_exceptions=True
    )
    assert [each for each in results if not isinstance(each, WrongStateError)] == [
        Enqueued(made.campaign.id, created=10, batches=1)
    ]
    await asyncio.gather(
        *(orders.cancel(tenant, made.campaign.id) for _ in range(2)), return_exceptions=True
    )
    shown = await orders.campaign(tenant, made.campaign.id)
    assert (shown.campaign.status, shown.campaign.failed) == ("cancelled", 10)
    assert database.read_now(audit.differences) == []


async def test_a_tenant_without_an_account_is_told_so(tmp_path: Any) -> None:
    database = Database(sqlalchemy_url(f"sqlite:///{tmp_path}/paceline.db"))
    migrate.upgrade(database)
    tenant = database.write_now(tenants.keep, "acme").id
    orders = Orders(database, load({}), wake=lambda: None)
    with pytest.raises(InvalidInputError) as refused:
        await orders.send(tenant, to="+306912345678", text="Hi")
    assert [each.where for each in refused.value.problems] == ["traffic_account_id"]
    database.close()
