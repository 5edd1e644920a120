"""Carrying out a verdict: messages, batch and counters change together.

The caller holds the locks of the campaign and the batch, in this order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, func, select, update

from paceline.domain.campaign import CampaignStatus
from paceline.domain.message import BatchStatus, MessageStatus, Reason
from paceline.domain.outcome import Answered
from paceline.domain.verdict import Doubt, Fail, GiveBack, Retry, Settle, Split, Verdict
from paceline.storage import splitting, webhook_events
from paceline.storage.among import among
from paceline.storage.batches import tries_before
from paceline.storage.counters import Tally
from paceline.storage.database import READ_AT, AnyRow, is_postgres, read_at
from paceline.storage.schema import batches, messages

ERROR_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of the batch. ``verdict`` None: a newer attempt or a decision was there first,
    and the answer is kept as evidence only.
    """

    verdict: Verdict | None
    sent: int = 0
    failed: int = 0
    was_scout: bool = False
    """The rest of a batch that was rejected whole waits for what became of this one."""


@dataclass(slots=True)
class Conclusions:
    """What batches come to, written for all of them at once."""

    sent_whole: dict[int, int] = field(default_factory=dict)
    """Messages sent, by batch, of those whose every queued message was."""
    moves: list[dict[str, Any]] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def send_whole(self, connection: Connection, batch_ids: Sequence[int], at: int) -> None:
        """Every queued message of these batches is sent; none of them is in doubt."""
        if not batch_ids:
            return
        if is_postgres(connection):
            sent = connection.execute(_SENT_BY_BATCH, {"ids": sorted(batch_ids), "now": at})
            self.sent_whole = dict.fromkeys(batch_ids, 0) | {row.batch_id: row.n for row in sent}
        else:
            self.sent_whole = {
                batch_id: connection.execute(_SENT, {"batch": batch_id, "now": at}).rowcount
                for batch_id in batch_ids
            }

    def write(self, connection: Connection, at: int) -> None:
        if self.moves:
            connection.execute(_MOVE, self.moves)
        self.tally.write(connection, at)


def lock_batch(connection: Connection, batch_id: int) -> AnyRow:
    return connection.execute(_LOCK_BATCH, {"batch": batch_id}).one()


def lock_batches(connection: Connection, batch_ids: Iterable[int]) -> tuple[dict[int, AnyRow], int]:
    """Lock batches by id; return their rows by id, and the time."""
    rows = connection.execute(_LOCK_BATCHES, {"ids": sorted(batch_ids)}).all()
    return {row.id: row for row in rows}, read_at(connection, rows[0])


def _count_in_doubt(connection: Connection, batch_id: int) -> int:
    count: int = connection.execute(_COUNT_IN_DOUBT, {"batch": batch_id}).scalar_one()
    return count


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
            "detail": error and error[:ERROR_LENGTH],
            "now": at,
        },
    ).rowcount


def conclude(
    connection: Connection,
    batch: AnyRow,
    campaign_status: str | None,
    verdict: Verdict,
    at: int,
    conclusions: Conclusions,
    answered: tuple[Sequence[int], Answered] | None = None,
    *,
    called_at: int | None = None,
) -> Recorded:
    """Carry out the verdict on the messages. What becomes of the batch and of the campaign's
    counters goes to the conclusions, which the caller has to write. If it is in doubt now, it is so
    since ``called_at``: a provider forgets from the call on, not from when we noticed.
    """
    if isinstance(verdict, Split) and campaign_status != CampaignStatus.CANCELLED:
        return _take_apart(connection, batch, verdict, at, conclusions)
    doubtful = _count_in_doubt(connection, batch.id) if batch.in_doubt else 0
    sent = failed = 0
    if isinstance(verdict, Settle):
        assert answered is not None  # noqa: S101 - only an answer is settled
        if (whole := conclusions.sent_whole.get(batch.id)) is not None:
            sent = whole
        else:
            if campaign_status == CampaignStatus.CANCELLED:
                verdict = _without_tries(verdict)
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
    moved = _moved(batch, verdict, at, in_doubt=still_doubtful > 0)
    _end_if_proven(connection, moved)
    if called_at is not None and moved["in_doubt_after"] and batch.doubt_since is None:
        moved["doubtful_since"] = min(called_at, at)
    conclusions.moves.append(moved)
    conclusions.tally.add(
        batch.campaign_id,
        queued=-(sent + failed),
        sent=sent,
        failed=failed,
        unconfirmed=still_doubtful - doubtful,
    )
    return Recorded(verdict, sent, failed, was_scout=batch.sibling_id is not None)


def conclude_alone(
    connection: Connection,
    batch: AnyRow,
    campaign_status: str | None,
    verdict: Verdict,
    at: int,
    answered: tuple[Sequence[int], Answered] | None = None,
    *,
    called_at: int | None = None,
) -> Recorded:
    """As ``conclude``, for one batch and whole: nothing is left to write."""
    conclusions = Conclusions()
    recorded = conclude(
        connection,
        batch,
        campaign_status,
        verdict,
        at,
        conclusions,
        answered,
        called_at=called_at,
    )
    conclusions.write(connection, at)
    webhook_events.batches(connection, [batch.id], at)
    return recorded


def _take_apart(
    connection: Connection, batch: AnyRow, verdict: Split, at: int, conclusions: Conclusions
) -> Recorded:
    """Queue a batch in smaller ones. That a call was rejected whole proves that nothing of it was
    accepted this time, and nothing about an earlier attempt that is in doubt: the answer is about
    the call and knows no reference. Then the references stay, for the provider deduplicates on them
    (``verdict.judge``).
    """
    proof = batch.status != BatchStatus.RESERVED and not batch.in_doubt
    error = verdict.error[:ERROR_LENGTH]
    generation = batch.generation + proof
    due_at = splitting.divide(
        connection, batch, error, at, generation=generation, too_large=verdict.too_large
    )
    again = {"due": due_at, "generation_after": generation}
    move = _moved(batch, GiveBack(error), at, in_doubt=bool(batch.in_doubt))
    conclusions.moves.append(move | again)
    return Recorded(verdict)


def _without_tries(verdict: Settle) -> Settle:
    """In a cancelled campaign nothing is tried again."""
    passing = verdict.rejected_for_now
    if not isinstance(passing, Retry):
        return verdict
    return replace(verdict, rejected_for_now=Fail(Reason.CANCELLED, passing.error))


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
        failed = _reject(connection, batch, verdict.rejected_for_now, at, message_ids, outcome)
    statement = _SENT_IN_DOUBT if batch.in_doubt else _SENT
    if outcome.rejections and not verdict.rejection_is_proof:
        undecided = [message_ids[position] for position in outcome.rejections]
        statement = statement.where(messages.c.id.not_in(undecided))
    sent = connection.execute(statement, {"batch": batch.id, "now": at}).rowcount
    return sent, failed


def _reject(
    connection: Connection,
    batch: AnyRow,
    for_now: Retry | Fail | None,
    at: int,
    message_ids: Sequence[int],
    outcome: Answered,
) -> int:
    """Let rejected messages go on by themselves, or fail; return how many failed."""
    passing: list[int] = []
    by_cause: dict[tuple[str, str], list[int]] = defaultdict(list)
    for position, rejection in outcome.rejections.items():
        reason = rejection.reason
        if rejection.retryable and isinstance(for_now, Retry):
            passing.append(message_ids[position])
            continue
        if rejection.retryable and isinstance(for_now, Fail):
            reason = for_now.reason
        by_cause[reason, str(rejection)].append(message_ids[position])
    if isinstance(for_now, Retry) and passing:
        _carry_on(connection, batch, passing, for_now, at)
    return sum(
        fail_messages(
            connection, ids, reason=Reason(reason), error=error, at=at, even_in_doubt=True
        )
        for (reason, error), ids in by_cause.items()
    )


def _carry_on(
    connection: Connection, batch: AnyRow, message_ids: Sequence[int], again: Retry, at: int
) -> None:
    """Queue messages that were rejected for now in a batch of their own, with the batch's tries."""
    tries = tries_before(batch) + 1
    if batch.in_doubt:
        connection.execute(_CERTAIN_AFTER_ALL, {"ids": list(message_ids)})
    splitting.split_off(
        connection,
        batch,
        message_ids,
        at,
        status=BatchStatus.QUEUED,
        tries=tries,
        retry_count=tries,
        due_at=at + again.delay_ms,
        generation=batch.generation + 1,
        error=again.error[:ERROR_LENGTH],
        in_doubt=False,
        doubt_since=None,
        sibling_id=None,
        rejected=None,
    )


def _fail_batch(connection: Connection, batch_id: int, reason: Reason, error: str, at: int) -> int:
    return connection.execute(
        _FAIL_BATCH,
        {"batch": batch_id, "why": reason, "detail": error[:ERROR_LENGTH] or None, "now": at},
    ).rowcount


def _moved(batch: AnyRow, verdict: Verdict, at: int, *, in_doubt: bool) -> dict[str, Any]:
    """The batch as the verdict leaves it; parameters of ``_MOVE``."""
    tries = tries_before(batch) + 1
    move: dict[str, Any] = {
        "batch": batch.id,
        "in_doubt_after": in_doubt,
        "doubtful_since": (batch.doubt_since or at) if in_doubt else None,
        "at": at,
        "error_after": getattr(verdict, "error", "")[:ERROR_LENGTH] or batch.error,
        "retry_count_after": batch.retry_count,
        "due": batch.due_at,
        "generation_after": batch.generation,
        "tries_after": batch.tries,
        "confirm": None,
    }
    match verdict:
        case Retry():
            move |= {
                "status_after": BatchStatus.QUEUED,
                "tries_after": tries,
                "retry_count_after": tries,
                "due": at + verdict.delay_ms,
                "generation_after": batch.generation + verdict.new_generation,
            }
        case GiveBack():
            move |= {"status_after": BatchStatus.QUEUED, "tries_after": tries - 1}
        case Fail(reason=Reason.CANCELLED):
            move["status_after"] = BatchStatus.CANCELLED
        case Doubt() | Settle() | Fail():
            # Not in doubt after all: receipts have proven every message meanwhile.
            move["status_after"] = BatchStatus.UNCONFIRMED if in_doubt else BatchStatus.DONE
            move["tries_after"] = tries
            if in_doubt and isinstance(verdict, Doubt) and verdict.ask_in_ms is not None:
                move["confirm"] = at + verdict.ask_in_ms
    return move


def _end_if_proven(connection: Connection, move: dict[str, Any]) -> None:
    """Do not queue a batch again whose every message receipts have proven meanwhile."""
    if (
        move["status_after"] == BatchStatus.QUEUED
        and connection.execute(_ANY_QUEUED, {"batch": move["batch"]}).first() is None
    ):
        move["status_after"] = BatchStatus.DONE


_BATCH: BindParameter[int] = bindparam("batch")
_QUEUED = messages.c.status == MessageStatus.QUEUED
_CERTAIN = messages.c.in_doubt.is_(False)

_LOCK_BATCH = select(batches).where(batches.c.id == _BATCH).with_for_update()
_LOCK_BATCHES = (
    select(batches, READ_AT)
    .where(among(batches.c.id, "ids"))
    .order_by(batches.c.id)
    .with_for_update()
)
_COUNT_IN_DOUBT = select(func.count()).where(
    messages.c.batch_id == _BATCH, _QUEUED, messages.c.in_doubt
)
_ANY_QUEUED = select(messages.c.id).where(messages.c.batch_id == _BATCH, _QUEUED).limit(1)
_SENT = (
    update(messages)
    .where(messages.c.batch_id == _BATCH, _QUEUED)
    .values(status=MessageStatus.SENT, sent_at=bindparam("now"))
)
_SENT_IN_DOUBT = _SENT.values(in_doubt=False)
_SENT_TOGETHER = (
    update(messages)
    .where(among(messages.c.batch_id, "ids"), _QUEUED)
    .values(status=MessageStatus.SENT, sent_at=bindparam("now"))
    .returning(messages.c.batch_id)
    .cte()
)
_SENT_BY_BATCH = select(_SENT_TOGETHER.c.batch_id, func.count().label("n")).group_by(
    _SENT_TOGETHER.c.batch_id
)
"""Counted in the statement, which SQLite does not know."""
_FAIL = {
    "status": MessageStatus.FAILED,
    "reason": bindparam("why"),
    "error": bindparam("detail"),
    "failed_at": bindparam("now"),
    "in_doubt": False,
}
_FAIL_MESSAGES = update(messages).where(among(messages.c.id, "ids"), _QUEUED).values(**_FAIL)
_FAIL_BATCH = update(messages).where(messages.c.batch_id == _BATCH, _QUEUED).values(**_FAIL)
_MOVE = (
    update(batches)
    .where(batches.c.id == _BATCH)
    .values(
        status=bindparam("status_after"),
        tries=bindparam("tries_after"),
        retry_count=bindparam("retry_count_after"),
        due_at=bindparam("due"),
        generation=bindparam("generation_after"),
        error=bindparam("error_after"),
        in_doubt=bindparam("in_doubt_after"),
        doubt_since=bindparam("doubtful_since"),
        lease_until=None,
        confirm_at=bindparam("confirm"),
        updated_at=bindparam("at"),
    )
)
_CERTAIN_AFTER_ALL = (
    update(messages).where(among(messages.c.id, "ids"), _QUEUED).values(in_doubt=False)
)
_DOUBT_MESSAGES = (
    update(messages).where(messages.c.batch_id == _BATCH, _QUEUED).values(in_doubt=True)
)
