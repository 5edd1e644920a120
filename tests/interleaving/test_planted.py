"""Bugs planted in the engine, each of which some schedule has to show, and the judge to see."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, select, update

from paceline.domain.message import BatchStatus, Reason
from paceline.domain.verdict import Fail, GiveBack
from paceline.storage import (
    conclusion,
    counters,
    gate,
    intents,
    opt_outs,
    outcomes,
    turns,
    work,
)
from paceline.storage.schema import batches
from paceline.storage.schema import campaigns as campaigns_table
from tests.interleaving import operations as op
from tests.interleaving.cases import Case
from tests.interleaving.running import explore
from tests.interleaving.scenes import (
    LATE,
    QUEUED,
    RESENT,
    RESERVED,
    SUBMITTING,
    Plan,
    accepted,
)

Plant = Callable[[pytest.MonkeyPatch], None]


def without_lock(module, *names: str) -> Plant:
    """Queries of a module that no longer lock what they read."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        for name in names:
            bare = getattr(module, name)._generate()
            bare._for_update_arg = None
            patch.setattr(module, name, bare)

    return plant


def suppressions_read_before_the_lock(patch: pytest.MonkeyPatch) -> None:
    real = intents._Passage.without_opt_outs
    seen: dict[int, list[int]] = {}

    def without_opt_outs(passage, wishes):
        for wish in wishes:
            seen[wish.batch.id] = opt_outs.newly_suppressed(passage.connection, wish.batch)
        return real(passage, wishes)

    patch.setattr(intents._Passage, "without_opt_outs", without_opt_outs)
    patch.setattr(intents, "newly_suppressed", lambda _connection, batch: seen[batch.id])


def silence_that_queues_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(outcomes, "judge_silence", lambda *_: GiveBack(""))


def silence_that_is_a_failure(patch: pytest.MonkeyPatch) -> None:
    verdict = Fail(Reason.ATTEMPTS_EXHAUSTED, "")
    patch.setattr(outcomes, "judge_silence", lambda *_: verdict)


def nobody_takes_back_what_ran_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(outcomes, "expire", lambda *_: None)


def any_fence_will_do(patch: pytest.MonkeyPatch) -> None:
    """An answer is carried out whatever has become of the batch."""
    patch.setattr(outcomes, "_answers", lambda *_: True)


def counters_read_and_written_back(patch: pytest.MonkeyPatch) -> None:
    def write(tally, connection: Connection, at: int) -> None:
        for campaign_id, changes in tally._changes.items():
            row = connection.execute(
                select(campaigns_table).where(campaigns_table.c.id == campaign_id)
            ).one()
            sent, queued = row.sent + changes["d_sent"], row.queued + changes["d_queued"]
            connection.execute(
                update(campaigns_table)
                .where(campaigns_table.c.id == campaign_id)
                .values(sent=sent, queued=queued, processed=sent, updated_at=at)
            )

    patch.setattr(counters.Tally, "write", write)
    without_lock(counters, "_LOCK_ALL")(patch)


def batches_before_campaigns(patch: pytest.MonkeyPatch) -> None:
    real = outcomes.record

    def record(connection, results, **options):
        conclusion.lock_batches(connection, {each.attempt.batch.id for each in results})
        return real(connection, results, **options)

    patch.setattr(outcomes, "record", record)


def reserved_without_asking_twice(patch: pytest.MonkeyPatch) -> None:
    """Whoever saw the batch queued takes it, and no lock keeps two from seeing it."""
    real = turns._Turns._run

    def run(self, statement, tenant_id, **more):
        if statement.is_dml:
            first = select(batches.c.id).where(batches.c.status == BatchStatus.QUEUED).limit(1)
            found = self.connection.execute(first).scalar()
            if found is None:
                return []
            statement = statement._generate()
            statement._where_criteria = (batches.c.id == found,)
        return real(self, statement, tenant_id, **more)

    patch.setattr(turns._Turns, "_run", run)
    without_lock(work, "LOCK_ACCOUNT")(patch)


CASES = [
    (
        suppressions_read_before_the_lock,
        Case("", op.intent("a"), op.opt_out("a", 0), Plan([RESERVED])),
        "had opted out",
    ),
    (
        without_lock(gate, "SHARE_CAMPAIGNS"),
        Case("", op.intent("a"), op.cancel(), Plan([RESERVED])),
        "an intent after its campaign was cancelled",
    ),
    (
        without_lock(gate, "SHARE_CAMPAIGNS"),
        Case("", op.intent("a"), op.pause(), Plan([RESERVED])),
        "an intent after its campaign was paused",
    ),
    (
        without_lock(gate, "LOCK_TENANTS", "LOCK_ACCOUNT"),
        Case("", op.intent("a"), op.intent("b"), Plan([RESERVED] * 2)),
        "permits in its window",
    ),
    (
        without_lock(gate, "LOCK_ACCOUNT"),
        Case("", op.intent("a"), op.intent("b"), Plan([RESERVED] * 2, tenants=2)),
        "traffic_accounts",
    ),
    (
        silence_that_queues_again,
        Case("", op.record(("a", accepted)), op.recover("a"), Plan([LATE])),
        "may be out",
    ),
    (
        silence_that_is_a_failure,
        Case("", op.pause(), op.recover("a"), Plan([LATE])),
        "in the end: message 1 is failed (attempts_exhausted) and may have been accepted",
    ),
    (
        nobody_takes_back_what_ran_out,
        Case("", op.pause(), op.recover("a"), Plan([LATE])),
        "in the end: message 1 is queued (None) and never settled",
    ),
    (
        any_fence_will_do,
        Case("", op.intent("a"), op.record(("a", op.not_sent)), Plan([RESENT])),
        "may be out",
    ),
    (
        counters_read_and_written_back,
        Case(
            "",
            op.record(("a", accepted)),
            op.record(("b", accepted)),
            Plan([SUBMITTING] * 2),
        ),
        "counted",
    ),
    (
        batches_before_campaigns,
        Case("", op.record(("a", accepted)), op.recover("a"), Plan([LATE])),
        "deadlock",
    ),
    (
        reserved_without_asking_twice,
        Case("", op.reserve(), op.reserve(), Plan([QUEUED], room=2)),
        "out of its worker's hands",
    ),
]


@pytest.mark.parametrize(("plant", "case", "what"), CASES)
def test_a_planted_bug_is_found(stage, monkeypatch, plant, case, what):
    plant(monkeypatch)
    found = explore(stage, case, until_broken=True)
    assert any(what in broken for broken in found.broken), found.broken
    assert found.example
