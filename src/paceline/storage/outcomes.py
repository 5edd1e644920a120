"""Record: what came of an attempt, in one transaction, however often it is tried.

The order is fixed: campaign → account → batch → messages. Nothing here can lead to the call being
made again except a verdict that says so (``domain.verdict``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, func, select, update

from paceline.domain.campaign import CampaignStatus
from paceline.domain.errors import RateLimitExceeded
from paceline.domain.message import BatchStatus, MessageStatus, Reason
from paceline.domain.outcome import Answered, NoAnswer, Outcome, OutcomeKind, ServerError
from paceline.domain.verdict import (
    Doubt,
    Fail,
    GiveBack,
    Policy,
    Retry,
    Settle,
    Tries,
    Verdict,
    judge,
    judge_denial,
)
from paceline.storage import accounts, counters, doubt
from paceline.storage.batches import Attempt, LostReservationError, ReservedBatch
from paceline.storage.database import AnyRow, now
from paceline.storage.provider_messages import remember
from paceline.storage.schema import attempts, batches, messages

_ERROR_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of the batch. ``verdict`` None: a newer attempt or a decision was there first,
    and the answer is kept as evidence only.
    """

    verdict: Verdict | None
    sent: int = 0
    failed: int = 0


def record(
    connection: Connection,
    attempt: Attempt,
    message_ids: Sequence[int],
    outcome: Outcome,
    policy: Policy,
) -> Recorded:
    """Write down what one submission told us.

    Args:
        connection: of a write transaction.
        attempt: the committed intent.
        message_ids: the messages of the call, in its order.
        outcome: what the adapter made of it.
        policy: how to judge it on this account.
    """
    campaign_status = counters.lock(connection, attempt.batch.campaign_id)
    accounts.feel(connection, attempt.batch.account_id, outcome, attempt.started_at, policy)
    batch = _lock_batch(connection, attempt.batch.id)
    at = now(connection)
    _finish(connection, attempt, outcome, at)
    if isinstance(outcome, Answered):
        _remember_ids(connection, attempt, message_ids, outcome)
    if not _answers(batch, attempt.batch):
        return Recorded(None)
    if _ends_its_own_doubt(batch, attempt, outcome):
        doubt.end(connection, batch, at)
        batch = _lock_batch(connection, attempt.batch.id)
    verdict = judge(outcome, _tries(batch, at), policy)
    answered = (message_ids, outcome) if isinstance(outcome, Answered) else None
    return _conclude(connection, batch, campaign_status, verdict, at, answered)


def record_unsent(
    connection: Connection, batch: ReservedBatch, outcome: Outcome, policy: Policy
) -> Recorded:
    """Write down that no connection could be had: a try without an attempt, nothing in doubt."""
    campaign_status = counters.lock(connection, batch.campaign_id)
    accounts.feel(connection, batch.account_id, outcome, None, policy)
    return _conclude_reserved(
        connection, batch, campaign_status, lambda tries: judge(outcome, tries, policy)
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
    row = _lock_batch(connection, batch.id)
    at = now(connection)
    if row.fence != batch.fence:
        return Recorded(None)
    verdicts: dict[str, Verdict] = {
        BatchStatus.RESERVED: Doubt(error) if row.in_doubt else Fail(Reason.INTERNAL_ERROR, error),
        BatchStatus.SUBMITTING: Doubt(error),
    }
    if (verdict := verdicts.get(row.status)) is None:
        return Recorded(None)
    return _conclude(connection, row, campaign_status, verdict, at)


def void(connection: Connection, attempt: Attempt, lease_ms: int) -> ReservedBatch:
    """Undo an intent whose permit ran out before the first byte: no call, no try, no doubt.

    Returns:
        The batch, reserved anew under a fence of its own.

    Raises:
        LostReservationError: the lease ran out and the batch is no longer ours.
    """
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
    connection: Connection, batch_id: int, *, all_of_them: bool = False
) -> BatchStatus | None:
    """Take a batch back from a worker whose lease ran out; ``all_of_them``: whatever its lease.

    A reservation is queued again. A submission is unconfirmed, never queued; its fence is kept, so
    that a late answer still settles it.
    """
    campaign_id = connection.execute(
        select(batches.c.campaign_id).where(batches.c.id == batch_id)
    ).scalar_one()
    campaign_status = counters.lock(connection, campaign_id)
    batch = _lock_batch(connection, batch_id)
    at = now(connection)
    if batch.lease_until is None or (batch.lease_until > at and not all_of_them):
        return None
    error = "The worker stopped before it could record an answer."
    if batch.status == BatchStatus.SUBMITTING:
        connection.execute(
            _LOST, {"batch": batch_id, "held": batch.fence, "now": at, "error": error}
        )
        _conclude(connection, batch, campaign_status, Doubt(error), at)
        return BatchStatus.UNCONFIRMED
    _conclude(connection, batch, campaign_status, GiveBack(""), at)
    return BatchStatus.QUEUED


def fail_messages(
    connection: Connection,
    message_ids: Sequence[int],
    *,
    reason: Reason,
    error: str | None,
    at: int,
    even_in_doubt: bool,
) -> int:
    """Fail these messages where they are queued; return how many were."""
    statement = _FAIL_MESSAGES if even_in_doubt else _FAIL_MESSAGES.where(_CERTAIN)
    return connection.execute(
        statement,
        {
            "ids": list(message_ids),
            "why": reason,
            "detail": error and error[:_ERROR_LENGTH],
            "now": at,
        },
    ).rowcount


def _conclude_reserved(
    connection: Connection, batch: ReservedBatch, campaign_status: str | None, verdict_of: Any
) -> Recorded:
    row = _lock_batch(connection, batch.id)
    at = now(connection)
    if row.status != BatchStatus.RESERVED or row.fence != batch.fence:
        return Recorded(None)
    return _conclude(connection, row, campaign_status, verdict_of(_tries(row, at)), at)


def _conclude(
    connection: Connection,
    batch: AnyRow,
    campaign_status: str | None,
    verdict: Verdict,
    at: int,
    answered: tuple[Sequence[int], Answered] | None = None,
) -> Recorded:
    """Carry out the verdict: messages, batch, counters."""
    doubtful = _count_in_doubt(connection, batch.id) if batch.in_doubt else 0
    sent = failed = 0
    if isinstance(verdict, Settle):
        assert answered is not None  # noqa: S101 - only an answer is settled
        sent, failed = _settle(connection, batch, verdict, at, *answered)
    elif isinstance(verdict, Fail):
        failed = _fail_batch(connection, batch.id, verdict.reason, verdict.error, at)
    elif campaign_status == CampaignStatus.CANCELLED and not isinstance(verdict, Doubt):
        verdict = _into_cancelled(batch, verdict)
        if isinstance(verdict, Fail):
            failed = _fail_batch(connection, batch.id, verdict.reason, verdict.error, at)
    in_doubt = isinstance(verdict, Doubt) or (isinstance(verdict, Retry) and verdict.in_doubt)
    if in_doubt:
        connection.execute(_DOUBT_MESSAGES, {"batch": batch.id})
    in_doubt = in_doubt or bool(batch.in_doubt)
    still_doubtful = _count_in_doubt(connection, batch.id) if in_doubt else 0
    _move_batch(connection, batch, verdict, at, in_doubt=still_doubtful > 0)
    counters.add(
        connection,
        batch.campaign_id,
        at=at,
        queued=-(sent + failed),
        sent=sent,
        failed=failed,
        unconfirmed=still_doubtful - doubtful,
    )
    return Recorded(verdict, sent, failed)


def _into_cancelled(batch: AnyRow, verdict: Verdict) -> Verdict:
    """A batch that would go back to a cancelled campaign ends here; in doubt it stays so."""
    error = getattr(verdict, "error", "")
    if batch.in_doubt or (isinstance(verdict, Retry) and verdict.in_doubt):
        return Doubt(error)
    return Fail(Reason.CANCELLED, error)


def _settle(
    connection: Connection,
    batch: AnyRow,
    verdict: Settle,
    at: int,
    message_ids: Sequence[int],
    outcome: Answered,
) -> tuple[int, int]:
    """Give every message of the call its answer; return how many were sent and failed."""
    failed = 0
    if outcome.rejections and verdict.rejection_is_proof:
        by_cause: dict[tuple[str, str], list[int]] = defaultdict(list)
        for position, rejection in outcome.rejections.items():
            by_cause[rejection.reason, str(rejection)].append(message_ids[position])
        for (reason, error), ids in by_cause.items():
            failed += fail_messages(
                connection, ids, reason=Reason(reason), error=error, at=at, even_in_doubt=True
            )
    statement = _SENT_IN_DOUBT if batch.in_doubt else _SENT
    if outcome.rejections and not verdict.rejection_is_proof:
        undecided = [message_ids[position] for position in outcome.rejections]
        statement = statement.where(messages.c.id.not_in(undecided))
    sent = connection.execute(statement, {"batch": batch.id, "now": at}).rowcount
    return sent, failed


def _fail_batch(connection: Connection, batch_id: int, reason: Reason, error: str, at: int) -> int:
    return connection.execute(
        _FAIL_BATCH,
        {"batch": batch_id, "why": reason, "detail": error[:_ERROR_LENGTH] or None, "now": at},
    ).rowcount


def _move_batch(
    connection: Connection, batch: AnyRow, verdict: Verdict, at: int, *, in_doubt: bool
) -> None:
    tries = _tries_before(batch) + 1
    values: dict[str, Any] = {
        "lease_until": None,
        "in_doubt": in_doubt,
        "doubt_since": (batch.doubt_since or at) if in_doubt else None,
        "updated_at": at,
    }
    if error := getattr(verdict, "error", ""):
        values["error"] = error[:_ERROR_LENGTH]
    match verdict:
        case Retry():
            values |= {
                "status": BatchStatus.QUEUED,
                "tries": tries,
                "retry_count": tries,
                "due_at": at + verdict.delay_ms,
                "generation": batch.generation + verdict.new_generation,
            }
        case GiveBack():
            values |= {"status": BatchStatus.QUEUED, "tries": tries - 1}
        case Fail(reason=Reason.CANCELLED):
            values["status"] = BatchStatus.CANCELLED
        case Doubt() | Settle() | Fail():
            # Not in doubt after all: receipts have proven every message meanwhile.
            values["status"] = BatchStatus.UNCONFIRMED if in_doubt else BatchStatus.DONE
            values["tries"] = tries
    connection.execute(update(batches).where(batches.c.id == batch.id).values(**values))


def _answers(batch: AnyRow, sent: ReservedBatch) -> bool:
    """Whether this answer is the one the batch waits for."""
    waits = batch.status in {BatchStatus.SUBMITTING, BatchStatus.UNCONFIRMED}
    return waits and bool(batch.fence == sent.fence)


def _tries(batch: AnyRow, at: int) -> Tries:
    age = at - batch.doubt_since if batch.doubt_since is not None else 0
    return Tries(_tries_before(batch), in_doubt=batch.in_doubt, doubt_age_ms=age)


def _tries_before(batch: AnyRow) -> int:
    """Tries before the one that is judged; an unconfirmed batch has counted that one already."""
    return int(batch.tries - (batch.status == BatchStatus.UNCONFIRMED))


def _ends_its_own_doubt(batch: AnyRow, attempt: Attempt, outcome: Outcome) -> bool:
    """Whether the doubt began with this very attempt (its lease ran out) and its answer, come late,
    is proof. Doubt that is older than the attempt is not its to end.
    """
    began_with_it = batch.doubt_since is not None and batch.doubt_since > attempt.started_at
    return began_with_it and not isinstance(outcome, ServerError | NoAnswer)


def _lock_batch(connection: Connection, batch_id: int) -> AnyRow:
    return connection.execute(_LOCK_BATCH, {"batch": batch_id}).one()


def _count_in_doubt(connection: Connection, batch_id: int) -> int:
    count: int = connection.execute(_COUNT_IN_DOUBT, {"batch": batch_id}).scalar_one()
    return count


def _finish(connection: Connection, attempt: Attempt, outcome: Outcome, at: int) -> None:
    connection.execute(
        _FINISH,
        {
            "attempt": attempt.id,
            "now": at,
            "kind": outcome.kind,
            "status": outcome.status,
            "error": outcome.error[:_ERROR_LENGTH] or None,
            "bulk": outcome.bulk_id if isinstance(outcome, Answered) else None,
        },
    )


def _remember_ids(
    connection: Connection, attempt: Attempt, message_ids: Sequence[int], outcome: Answered
) -> None:
    """Keep what the provider calls the messages, for receipts and look-ups."""
    pairs = [
        (provider_id, message_id)
        for message_id, provider_id in zip(message_ids, outcome.provider_ids, strict=True)
        if provider_id is not None
    ]
    if pairs:
        remember(connection, attempt.batch.account_id, attempt.id, pairs)


_BATCH: BindParameter[int] = bindparam("batch")
_QUEUED = messages.c.status == MessageStatus.QUEUED
_CERTAIN = messages.c.in_doubt.is_(False)

_LOCK_BATCH = select(batches).where(batches.c.id == _BATCH).with_for_update()
_COUNT_IN_DOUBT = select(func.count()).where(
    messages.c.batch_id == _BATCH, _QUEUED, messages.c.in_doubt
)
_SENT = (
    update(messages)
    .where(messages.c.batch_id == _BATCH, _QUEUED)
    .values(status=MessageStatus.SENT, sent_at=bindparam("now"))
)
_SENT_IN_DOUBT = _SENT.values(in_doubt=False)
_FAIL = {
    "status": MessageStatus.FAILED,
    "reason": bindparam("why"),
    "error": bindparam("detail"),
    "failed_at": bindparam("now"),
    "in_doubt": False,
}
_FAIL_MESSAGES = (
    update(messages)
    .where(messages.c.id.in_(bindparam("ids", expanding=True)), _QUEUED)
    .values(**_FAIL)
)
_FAIL_BATCH = update(messages).where(messages.c.batch_id == _BATCH, _QUEUED).values(**_FAIL)
_DOUBT_MESSAGES = (
    update(messages).where(messages.c.batch_id == _BATCH, _QUEUED).values(in_doubt=True)
)
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
