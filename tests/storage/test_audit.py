"""The audit finds a difference of every kind, and none where there is none."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, text, update

from paceline.domain.outcome import Answered, NoAnswer, NotSent, Rejection
from paceline.storage import audit, campaigns
from paceline.storage.audit import Difference
from paceline.storage.schema import batches, messages
from paceline.storage.schema import campaigns as campaigns_table
from tests.storage.guards import guards_lifted

Q, S, F = "queued", "sent", "failed"


@pytest.fixture
def busy(world):
    """A campaign with a message of every kind: sent, failed, delivered, in doubt, queued."""
    campaign = world.sending(12)
    world.record(world.call(), Answered(["a", "b", None], {2: Rejection("30")}))
    world.record(world.call(), NoAnswer("timed out"))
    world.pass_time(3000)
    world.record(world.call(), NotSent("down"))
    world.pass_time(6000)
    world.receive(("a", "delivered"))
    return campaign


def plant(world, *statements):
    def work(connection):
        with guards_lifted(connection):
            for statement in statements:
                connection.execute(statement)

    world.database.write_now(work)


def test_good_news_is_an_empty_list(world, busy):
    assert world.read(audit.differences) == []
    world.write(campaigns.cancel, world.acme, busy)
    world.write(campaigns.sweep_cancelled, busy)
    world.single()
    world.draft()
    assert world.read(audit.differences) == []


COUNTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"total": campaigns_table.c.total + 1, Q: campaigns_table.c.queued + 1}, {"total", Q}),
    ({"total": campaigns_table.c.total + 1, "sent": 3, "processed": 4}, {"total", S}),
    ({S: 1, F: 2}, {S, F}),
    ({"delivered": 0}, {"delivered"}),
    ({"delivered": 2}, {"delivered"}),
    ({"unconfirmed": 2}, {"unconfirmed"}),
]


@pytest.mark.parametrize(
    ("values", "found"), COUNTERS, ids=["-".join(values) for values, _ in COUNTERS]
)
def test_a_counter_that_is_not_its_rows_is_found(world, busy, values, found):
    plant(world, update(campaigns_table).values(**values))
    differences = world.read(audit.differences)
    assert {difference.what for difference in differences} == found
    assert {difference.campaign_id for difference in differences} == {busy}


def test_a_difference_tells_what_is_stored_and_what_was_counted(world, busy):
    plant(world, update(campaigns_table).values(delivered=2))
    assert world.read(audit.differences) == [Difference(busy, "delivered", 2, 1)]


def test_a_campaign_whose_messages_are_gone_is_found(world, busy):
    plant(world, delete(messages))
    assert Difference(busy, "total", 12, 0) in world.read(audit.differences)


FIRST = update(messages).where(messages.c.id == 1)


@pytest.mark.parametrize(
    ("statements", "what"),
    [
        ([FIRST.values(batch_id=7)], "messages without their batch"),
        (
            [update(messages).where(messages.c.status == F).values(reason=None)],
            "failed messages without a reason",
        ),
        ([FIRST.values(reason="rejected")], "failed messages without a reason"),
        (
            [
                FIRST.values(in_doubt=True),
                update(campaigns_table).values(unconfirmed=4),
            ],
            "messages in doubt that are not queued",
        ),
        (
            [update(batches).where(batches.c.status == Q).values(status="done")],
            "queued messages whose batch is over",
        ),
        (
            [update(batches).where(batches.c.status == Q).values(status="cancelled")],
            "queued messages whose batch is over",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_state_that_cannot_be_is_found(world, busy, statements, what):
    plant(world, *statements)
    assert what in [difference.what for difference in world.read(audit.differences)]


@pytest.mark.parametrize("status", ["sending", "paused"])
def test_a_campaign_that_could_be_completed_is_found(world, status):
    world.sending(3)
    world.send()
    plant(world, update(campaigns_table).values(status=status))
    (difference,) = world.read(audit.differences)
    assert difference.what == "campaigns that could be completed and are not"


def test_a_campaign_that_is_still_launching_is_not_one_of_them(world):
    world.sending(3)
    world.send()
    plant(world, text("UPDATE campaigns SET status = 'sending', launching = TRUE"))
    assert world.read(audit.differences) == []
