"""Ending doubt with the provider's help: what it is asked about, and what its answer comes to.

An unconfirmed batch whose provider can help has a ``confirm_at``, the end of the quiet period. Any
worker takes it up then, for as long as a lease; what came of it is written under the fence of the
attempt that is in doubt, so a late answer or an operator may have settled it before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select, update

from paceline.domain.message import BatchStatus, Delivery, MessageStatus, reference
from paceline.domain.outcome import Answered, Known, NoAnswer
from paceline.domain.verdict import Policy, Settle, Verdict, judge, judge_unknown
from paceline.storage import counters, doubt, inbox
from paceline.storage.among import among
from paceline.storage.batches import tries_of
from paceline.storage.conclusion import Recorded, conclude_alone, lock_batch
from paceline.storage.database import AnyRow, now
from paceline.storage.inbox import InboxRow
from paceline.storage.provider_messages import Names, remember
from paceline.storage.schema import (
    attempts,
    batches,
    installation,
    messages,
    traffic_accounts,
)


@dataclass(frozen=True, slots=True)
class Doubted:
    """A batch whose doubt may be ended now."""

    batch_id: int
    fence: int
    generation: int
    account: AnyRow
    references: Mapping[str, int]
    """Of the messages that are in doubt: reference → message id."""
    age_ms: int
    """How long it has been in doubt."""


def claim(connection: Connection, *, limit: int, lease_ms: int) -> list[Doubted]:
    """Take up batches whose quiet period is over, the longest overdue first. Who takes none of them
    further leaves them to the next after ``lease_ms``.
    """
    at = now(connection)
    rows = connection.execute(_DUE, {"now": at, "limit": limit}).all()
    if not rows:
        return []
    connection.execute(
        _TAKEN, [{"batch": row.id, "next": _next(row.status, at + lease_ms)} for row in rows]
    )
    prefix = connection.execute(select(installation.c.prefix)).scalar_one()
    return [
        _doubted(connection, row, prefix, at)
        for row in rows
        if row.status == BatchStatus.UNCONFIRMED
    ]


def _next(status: str, at: int) -> int | None:
    """What was settled meanwhile is not looked at again."""
    return at if status == BatchStatus.UNCONFIRMED else None


def _doubted(connection: Connection, row: AnyRow, prefix: str, at: int) -> Doubted:
    account = connection.execute(
        select(traffic_accounts).where(traffic_accounts.c.id == row.account_id)
    ).one()
    ids = connection.execute(_IN_DOUBT, {"batch": row.id}).scalars()
    known_by = {reference(prefix, message_id, row.generation): message_id for message_id in ids}
    return Doubted(
        row.id, row.fence, row.generation, account, known_by, at - (row.doubt_since or at)
    )


def postpone(connection: Connection, batch_id: int, in_ms: int | None) -> None:
    """Look again later; None: never, nothing can be done."""
    at = None if in_ms is None else now(connection) + in_ms
    connection.execute(_TAKEN, {"batch": batch_id, "next": at})


def send_again(connection: Connection, doubted: Doubted, policy: Policy) -> Recorded:
    """Queue a batch again under the references that the provider deduplicates on, if it may be."""
    found = _lock(connection, doubted)
    if found is None:
        return Recorded(None)
    batch, campaign_status, at = found
    verdict = judge(NoAnswer(batch.error or ""), tries_of(batch, at), policy)
    return conclude_alone(connection, batch, campaign_status, verdict, at)


def record(
    connection: Connection, doubted: Doubted, known: Mapping[str, Known], policy: Policy
) -> Recorded:
    """Write down what the provider knows: those messages are sent; it never accepted the others,
    which are tried again or, out of tries, have failed.

    Args:
        connection: of a write transaction.
        doubted: the batch, as it was claimed.
        known: by reference; what is missing is unknown to the provider.
        policy: on the batch's account.
    """
    accepted = {
        message_id: known[ref] for ref, message_id in doubted.references.items() if ref in known
    }
    # Before the locks, as in a record, which could wait for them with names of the same attempt.
    _remember(connection, doubted, accepted)
    found = _lock(connection, doubted)
    if found is None:
        return Recorded(None)
    batch, campaign_status, at = found
    ids = {"ids": sorted(accepted), "now": at}
    sent = connection.execute(_SENT, ids).rowcount if accepted else 0
    counters.add(connection, batch.campaign_id, at=at, queued=-sent, sent=sent, unconfirmed=-sent)
    doubt.end(connection, batch, at)
    tries = tries_of(batch, at)
    batch = lock_batch(connection, batch.id)
    verdict: Verdict = Settle()
    nothing_left: tuple[list[int], Answered] | None = ([], Answered([]))
    if connection.execute(_COUNT_QUEUED, {"batch": batch.id}).scalar_one():
        verdict = judge_unknown(batch.error or "unknown to the provider", tries, policy)
        nothing_left = None
    recorded = conclude_alone(connection, batch, campaign_status, verdict, at, nothing_left)
    return Recorded(recorded.verdict, recorded.sent + sent, recorded.failed)


def _lock(connection: Connection, doubted: Doubted) -> tuple[AnyRow, str | None, int] | None:
    """Campaign and batch, if the batch is still in this doubt; and the time."""
    campaign_id = connection.execute(_CAMPAIGN_OF, {"batch": doubted.batch_id}).scalar_one()
    campaign_status = counters.lock(connection, campaign_id)
    batch = lock_batch(connection, doubted.batch_id)
    if batch.status != BatchStatus.UNCONFIRMED or batch.fence != doubted.fence:
        return None
    return batch, campaign_status, now(connection)


def _remember(connection: Connection, doubted: Doubted, accepted: Mapping[int, Known]) -> None:
    """Keep what the provider calls the messages, and what it says of their delivery."""
    if not accepted:
        return
    attempt_id = connection.execute(
        _ATTEMPT, {"batch": doubted.batch_id, "generation": doubted.generation}
    ).scalar_one()
    names = {message_id: each.provider_message_id for message_id, each in accepted.items()}
    remember(connection, [Names(doubted.account.id, attempt_id, names)])
    told = [
        InboxRow(each.provider_message_id, "", each.delivery, "", None)
        for each in accepted.values()
        if each.delivery != Delivery.NONE
    ]
    if told:
        inbox.put(connection, doubted.account.id, told)


_IN_DOUBT_NOW = (messages.c.status == MessageStatus.QUEUED, messages.c.in_doubt)
_DUE = (
    select(
        batches.c.id,
        batches.c.status,
        batches.c.account_id,
        batches.c.fence,
        batches.c.generation,
        batches.c.doubt_since,
    )
    .where(batches.c.confirm_at <= bindparam("now"))
    .order_by(batches.c.confirm_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_TAKEN = (
    update(batches).where(batches.c.id == bindparam("batch")).values(confirm_at=bindparam("next"))
)
_IN_DOUBT = (
    select(messages.c.id)
    .where(messages.c.batch_id == bindparam("batch"), *_IN_DOUBT_NOW)
    .order_by(messages.c.id)
)
_COUNT_QUEUED = select(func.count()).where(
    messages.c.batch_id == bindparam("batch"), messages.c.status == MessageStatus.QUEUED
)
_CAMPAIGN_OF = select(batches.c.campaign_id).where(batches.c.id == bindparam("batch"))
_ATTEMPT = select(func.max(attempts.c.id)).where(
    attempts.c.batch_id == bindparam("batch"), attempts.c.generation == bindparam("generation")
)
_SENT = (
    update(messages)
    .where(among(messages.c.id, "ids"), *_IN_DOUBT_NOW)
    .values(status=MessageStatus.SENT, sent_at=bindparam("now"), in_doubt=False)
)
