"""Record: what came of an attempt, in one transaction, however often it is tried.

The order is fixed: campaign → account → batch → messages. Nothing here can lead to the call being
made again except a verdict that says so (``domain.verdict``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, select, update

from paceline.domain.errors import RateLimitExceeded
from paceline.domain.message import BatchStatus, Reason
from paceline.domain.outcome import (
    Answered,
    NoAnswer,
    Outcome,
    OutcomeKind,
    Rejection,
    ServerError,
)
from paceline.domain.verdict import (
    Doubt,
    Fail,
    GiveBack,
    Policy,
    Settle,
    Split,
    Verdict,
    judge,
    judge_denial,
    judge_silence,
)
from paceline.storage import accounts, counters, doubt, webhook_events
from paceline.storage.batches import Attempt, LostReservationError, ReservedBatch, tries_of
from paceline.storage.conclusion import (
    ERROR_LENGTH,
    Conclusions,
    Recorded,
    conclude,
    conclude_alone,
    lock_batch,
    lock_batches,
)
from paceline.storage.database import AnyRow, now
from paceline.storage.provider_messages import Names, remember
from paceline.storage.schema import attempts, batches, tenants


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one attempt: the messages of its call, in its order, what the adapter made of
    the answer, and how to judge that on this account.
    """

    attempt: Attempt
    message_ids: Sequence[int]
    outcome: Outcome
    policy: Policy


def record(
    connection: Connection, results: Sequence[Result], *, tell: frozenset[int] = frozenset()
) -> list[Recorded]:
    """Write down what submissions told us; return what became of their batches, in their order.

    Args:
        connection: of a write transaction.
        results: at most one of each attempt.
        tell: tenants that want to be told of their messages.
    """
    # Before the locks: it needs none, and other batches wait for the campaigns'.
    _remember_ids(connection, results)
    sent = [result.attempt.batch for result in results]
    statuses = counters.lock_all(connection, (batch.campaign_id for batch in sent))
    for result in results:
        attempt = result.attempt
        accounts.feel(
            connection,
            attempt.batch.account_id,
            result.outcome,
            attempt.started_at,
            result.policy,
            was_well=attempt.account_was_well,
        )
    rows, at = lock_batches(connection, {batch.id for batch in sent})
    _finish(connection, results, at)
    judged = [_judged(connection, rows[each.attempt.batch.id], each, at) for each in results]
    conclusions = Conclusions()
    conclusions.send_whole(connection, [each.batch.id for each in judged if each.sent_whole()], at)
    recorded = [
        _carry_out(connection, each, statuses.get(each.batch.campaign_id), at, conclusions)
        for each in judged
    ]
    conclusions.write(connection, at)
    if told := [each.batch.id for each in judged if each.verdict and each.batch.tenant_id in tell]:
        webhook_events.batches(connection, told, at)
    return recorded


@dataclass(frozen=True, slots=True)
class _Judged:
    """A result, its batch, and what is to be done; None: the batch does not wait for it."""

    result: Result
    batch: AnyRow
    verdict: Verdict | None

    def sent_whole(self) -> bool:
        """Whether all that is queued of the batch was sent and nothing else is to be said."""
        outcome = self.result.outcome
        return (
            isinstance(self.verdict, Settle)
            and isinstance(outcome, Answered)
            and not outcome.rejections
            and not self.batch.in_doubt
        )


def _judged(connection: Connection, batch: AnyRow, result: Result, at: int) -> _Judged:
    attempt, outcome = result.attempt, result.outcome
    if not _answers(batch, attempt.batch):
        return _Judged(result, batch, None)
    if batch.in_doubt and _ends_its_own_doubt(connection, attempt, outcome):
        doubt.end(connection, batch, at)
        batch = lock_batch(connection, batch.id)
    size = len(result.message_ids)
    return _Judged(result, batch, judge(outcome, tries_of(batch, at), result.policy, size=size))


def _carry_out(
    connection: Connection,
    judged: _Judged,
    campaign_status: str | None,
    at: int,
    conclusions: Conclusions,
) -> Recorded:
    if judged.verdict is None:
        return Recorded(None)
    result, outcome = judged.result, judged.result.outcome
    answered = (result.message_ids, outcome) if isinstance(outcome, Answered) else None
    return conclude(
        connection,
        judged.batch,
        campaign_status,
        judged.verdict,
        at,
        conclusions,
        answered,
        called_at=result.attempt.started_at,
    )


def record_unsent(
    connection: Connection, batch: ReservedBatch, outcome: Outcome, policy: Policy
) -> Recorded:
    """Write down that no connection could be had: a try without an attempt, nothing in doubt."""
    campaign_status = counters.lock(connection, batch.campaign_id)
    accounts.feel(connection, batch.account_id, outcome, None, policy)
    return _conclude_reserved(
        connection, batch, campaign_status, lambda tries: judge(outcome, tries, policy)
    )


def divide(connection: Connection, batch: ReservedBatch, most: int) -> Recorded:
    """Take a reserved batch apart that has more messages than the provider takes in a call."""
    campaign_status = counters.lock(connection, batch.campaign_id)
    rejection = Rejection("too_large", f"at most {most} messages in a call")
    return _conclude_reserved(
        connection, batch, campaign_status, lambda _tries: Split(rejection, too_large=True)
    )


def record_denial(
    connection: Connection, batch: ReservedBatch, denial: RateLimitExceeded, policy: Policy
) -> Recorded:
    """Write down that our own limits denied the batch (strategy ``backoff``)."""
    campaign_status = counters.lock(connection, batch.campaign_id)
    return _conclude_reserved(
        connection, batch, campaign_status, lambda tries: judge_denial(denial, tries, policy)
    )


def record_bug(connection: Connection, batch: ReservedBatch, error: str) -> Recorded:
    """Write down that our own code failed: before the intent the batch has failed, after it the
    batch is unconfirmed. A bug is never retried.
    """
    campaign_status = counters.lock(connection, batch.campaign_id)
    row = lock_batch(connection, batch.id)
    at = now(connection)
    if row.fence != batch.fence:
        return Recorded(None)
    verdicts: dict[str, Verdict] = {
        BatchStatus.RESERVED: Doubt(error) if row.in_doubt else Fail(Reason.INTERNAL_ERROR, error),
        BatchStatus.SUBMITTING: Doubt(error),
    }
    if (verdict := verdicts.get(row.status)) is None:
        return Recorded(None)
    return conclude_alone(connection, row, campaign_status, verdict, at)


def void(connection: Connection, attempt: Attempt, lease_ms: int) -> ReservedBatch:
    """Undo an intent whose permit ran out before the first byte: no call, no try, no doubt, and
    nothing to count for the tenant's day.

    Returns:
        The batch, reserved anew under a fence of its own.

    Raises:
        LostReservationError: the lease ran out and the batch is no longer ours.
    """
    if attempt.day is not None:  # before the batch, in the order of the locks
        connection.execute(
            _UNCOUNT,
            {"tenant": attempt.batch.tenant_id, "counted_on": attempt.day, "n": attempt.size},
        )
    at = now(connection)
    undone = connection.execute(
        _BACK_TO_THE_GATE,
        {
            "batch": attempt.batch.id,
            "held": attempt.batch.fence,
            "lease": at + lease_ms,
            "now": at,
        },
    )
    if undone.rowcount == 0:
        raise LostReservationError(attempt.batch.id)
    connection.execute(
        _FINISH,
        {"attempt": attempt.id, "now": at, "kind": OutcomeKind.VOID, "status": None, "error": None}
        | {"bulk": None},
    )
    return replace(attempt.batch, fence=attempt.batch.fence + 1)


def expire(
    connection: Connection,
    batch_id: int,
    policy_of: Callable[[AnyRow], Policy],
    *,
    all_of_them: bool = False,
) -> BatchStatus | None:
    """Take a batch back from a worker whose lease ran out.

    A reservation is queued again. A submission is unconfirmed, never queued; its fence is kept, so
    that a late answer still settles it.

    Args:
        connection: of a write transaction.
        batch_id: the batch.
        policy_of: the policy on an account, from its row.
        all_of_them: whatever its lease.
    """
    campaign_id = connection.execute(
        select(batches.c.campaign_id).where(batches.c.id == batch_id)
    ).scalar_one()
    campaign_status = counters.lock(connection, campaign_id)
    batch = lock_batch(connection, batch_id)
    at = now(connection)
    if batch.lease_until is None or (batch.lease_until > at and not all_of_them):
        return None
    error = "The worker stopped before it could record an answer."
    if batch.status == BatchStatus.SUBMITTING:
        called_at = connection.execute(
            _LOST, {"batch": batch_id, "held": batch.fence, "now": at, "error": error}
        ).scalar()
        policy = policy_of(accounts.get(connection, batch.account_id))
        verdict = judge_silence(error, tries_of(batch, at), policy)
        conclude_alone(connection, batch, campaign_status, verdict, at, called_at=called_at)
        return BatchStatus.UNCONFIRMED
    conclude_alone(connection, batch, campaign_status, GiveBack(""), at)
    return BatchStatus.QUEUED


def _conclude_reserved(
    connection: Connection, batch: ReservedBatch, campaign_status: str | None, verdict_of: Any
) -> Recorded:
    row = lock_batch(connection, batch.id)
    at = now(connection)
    if row.status != BatchStatus.RESERVED or row.fence != batch.fence:
        return Recorded(None)
    return conclude_alone(connection, row, campaign_status, verdict_of(tries_of(row, at)), at)


def _answers(batch: AnyRow, sent: ReservedBatch) -> bool:
    """Whether this answer is the one the batch waits for."""
    waits = batch.status in {BatchStatus.SUBMITTING, BatchStatus.UNCONFIRMED}
    return waits and bool(batch.fence == sent.fence)


def _ends_its_own_doubt(connection: Connection, attempt: Attempt, outcome: Outcome) -> bool:
    """Whether the doubt began with this very attempt (its lease ran out) and its answer, come late,
    is proof. Doubt that is older than the attempt is not its to end.
    """
    if isinstance(outcome, ServerError | NoAnswer):
        return False
    batch = attempt.batch
    older = {"batch": batch.id, "generation": batch.generation, "attempt": attempt.id}
    return connection.execute(_DOUBTFUL_BEFORE, older).first() is None


def _finish(connection: Connection, results: Sequence[Result], at: int) -> None:
    connection.execute(
        _FINISH,
        [
            {
                "attempt": result.attempt.id,
                "now": at,
                "kind": result.outcome.kind,
                "status": result.outcome.status,
                "error": result.outcome.error[:ERROR_LENGTH] or None,
                "bulk": result.outcome.bulk_id if isinstance(result.outcome, Answered) else None,
            }
            for result in results
        ],
    )


def _remember_ids(connection: Connection, results: Sequence[Result]) -> None:
    """Keep what the provider calls the messages, for receipts and look-ups."""
    names = [_names_in(result) for result in results if isinstance(result.outcome, Answered)]
    if named := [each for each in names if each.of_messages]:
        remember(connection, named)


def _names_in(result: Result) -> Names:
    assert isinstance(result.outcome, Answered)  # noqa: S101 - for mypy: its caller has looked
    named = zip(result.message_ids, result.outcome.provider_ids, strict=True)
    return Names(
        result.attempt.batch.account_id,
        result.attempt.id,
        {message_id: name for message_id, name in named if name is not None},
    )


_BATCH: BindParameter[int] = bindparam("batch")

_FINISH = (
    update(attempts)
    .where(attempts.c.id == bindparam("attempt"))
    .values(
        finished_at=bindparam("now"),
        outcome=bindparam("kind"),
        http_status=bindparam("status"),
        error=bindparam("error"),
        bulk_id=bindparam("bulk"),
    )
)
_LOST = (
    update(attempts)
    .where(
        attempts.c.batch_id == _BATCH,
        attempts.c.fence == bindparam("held"),
        attempts.c.outcome.is_(None),
    )
    .values(finished_at=bindparam("now"), outcome=OutcomeKind.NO_ANSWER, error=bindparam("error"))
    .returning(attempts.c.started_at)
)
_DOUBTFUL_BEFORE = (
    select(attempts.c.id)
    .where(
        attempts.c.batch_id == _BATCH,
        attempts.c.generation == bindparam("generation"),
        attempts.c.id < bindparam("attempt"),
        attempts.c.outcome.in_((OutcomeKind.NO_ANSWER, OutcomeKind.SERVER_ERROR)),
    )
    .limit(1)
)
_UNCOUNT = (
    update(tenants)
    .where(tenants.c.id == bindparam("tenant"), tenants.c.day == bindparam("counted_on"))
    .values(day_messages=tenants.c.day_messages - bindparam("n"))
)
_BACK_TO_THE_GATE = (
    update(batches)
    .where(
        batches.c.id == _BATCH,
        batches.c.fence == bindparam("held"),
        batches.c.status == BatchStatus.SUBMITTING,
    )
    .values(
        status=BatchStatus.RESERVED,
        fence=batches.c.fence + 1,
        lease_until=bindparam("lease"),
        updated_at=bindparam("now"),
    )
)
