"""The queue and who works on it, as an operator looks at it, on one snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
)

from paceline.domain.campaign import MAY_DOUBT, CampaignStatus
from paceline.domain.message import BatchStatus
from paceline.storage import doubt
from paceline.storage.batches import queued
from paceline.storage.database import AnyRow, now
from paceline.storage.schema import attempts, batches, campaigns, receipts, traffic_accounts


class Place(StrEnum):
    """Where a batch is that is not finished, and how it gets away from there."""

    READY = "ready"
    """Queued and due; waits for its turn and for the limits. A worker reserves it."""
    RETRYING = "retrying"
    """Queued after a failed try; its backoff ends by itself."""
    ANOTHER_TIME = "another_time"
    """Queued until another time of the day: quiet hours, a send window, a daily cap."""
    STOPPED = "stopped"
    """Queued in a campaign that is paused; somebody resumes it."""
    ACCOUNT_SHUT = "account_shut"
    """Queued on an account that is held or closed; it is released, or opens by itself."""
    IN_HAND = "in_hand"
    """Reserved by a worker: rendered, at the gate. It is submitted or given back."""
    SUBMITTING = "submitting"
    """Its call is under way. The answer is recorded, or its lease runs out."""
    UNCONFIRMED = "unconfirmed"
    """May have been accepted. A receipt, the provider or an operator decides."""


@dataclass(frozen=True, slots=True)
class Here:
    """Batches in one place, and their messages."""

    batches: int = 0
    messages: int = 0


@dataclass(frozen=True, slots=True)
class Queue:
    """What is not finished, of one tenant or of all."""

    at: int
    places: Mapping[Place, Here]
    oldest_ms: int | None
    """For how long the oldest ready batch could have gone; None: there is none. What has a speed of
    its own waits because it is to, and is not looked at."""
    next_retry_at: int | None
    """When the next backoff ends."""
    leases_run_out: int
    """Batches in the hands of a worker that fell silent; another one will take them back."""
    unconfirmed: int
    """Messages in doubt."""
    receipts: int | None
    """In the inbox; None: they are no tenant's."""


def queue(connection: Connection, tenant_id: int | None) -> Queue:
    """Look at all that is under way; what is over is not read.

    Args:
        connection: of a read, which for everybody's sees everybody's rows.
        tenant_id: whose; None: everybody's.
    """
    at = now(connection)
    places = dict.fromkeys(Place, Here())
    oldest = next_retry = None
    for row in connection.execute(_whose(_QUEUED, tenant_id), {"now": at}):
        places[Place(row.place)] = Here(row.batches, row.messages)
        if row.place == Place.READY:
            oldest = row.since
        if row.place == Place.RETRYING:
            next_retry = row.due_at
    for row in connection.execute(_whose(_LEASED, tenant_id)):
        if row.status in _LEASED_PLACES:
            places[_LEASED_PLACES[row.status]] = Here(row.batches, row.messages)
    doubtful = [connection.execute(_whose(each, tenant_id)).one() for each in _UNCONFIRMED]
    places[Place.UNCONFIRMED] = Here(*(sum(column) for column in zip(*doubtful, strict=True)))
    everybodys = tenant_id is None
    return Queue(
        at,
        places,
        None if oldest is None else max(at - oldest, 0),
        next_retry,
        len(doubt.expired(connection)) if everybodys else 0,
        in_doubt(connection, tenant_id),
        connection.execute(_RECEIPTS).scalar_one() if everybodys else None,
    )


def in_doubt(connection: Connection, tenant_id: int | None) -> int:
    """How many messages may have been sent, with and without a campaign; None: everybody's."""
    of_campaigns = select(func.coalesce(func.sum(campaigns.c.unconfirmed), 0)).where(
        campaigns.c.status.in_(MAY_DOUBT)
    )
    if tenant_id is not None:
        of_campaigns = of_campaigns.where(campaigns.c.tenant_id == tenant_id)
    singles = connection.execute(_whose(doubt.SINGLES_IN_DOUBT, tenant_id)).scalar_one()
    return int(connection.execute(of_campaigns).scalar_one() + singles)


def errors(connection: Connection, tenant_id: int | None, *, limit: int = 20) -> Sequence[AnyRow]:
    """What befell queued and unconfirmed batches at their last try (``error``), with how many
    ``batches`` and ``messages`` it befell and how often they were tried at most (``tries``).

    Args:
        connection: of a read.
        tenant_id: whose; None: everybody's.
        limit: the most frequent ones.
    """
    return connection.execute(_whose(_ERRORS, tenant_id), {"most": limit}).all()


def workers(connection: Connection, tenant_id: int | None, *, within_ms: int) -> Sequence[AnyRow]:
    """Who has made calls lately: ``worker``, ``calls`` and ``messages``, how many calls are
    ``under_way``, and when the last one was made (``last_at``) and the last answer recorded
    (``answered_at``).
    """
    query = _WORKERS
    if tenant_id is not None:
        query = query.where(attempts.c.tenant_id == tenant_id)
    return connection.execute(query, {"since": now(connection) - within_ms}).all()


def _whose(query: Select[Any], tenant_id: int | None) -> Select[Any]:
    return query if tenant_id is None else query.where(batches.c.tenant_id == tenant_id)


_LEASED_PLACES = {
    BatchStatus.RESERVED: Place.IN_HAND,
    BatchStatus.SUBMITTING: Place.SUBMITTING,
}
_NOW: Any = bindparam("now")


def _word(place: Place) -> Any:
    """In the statement itself: as a parameter PostgreSQL could not tell its type."""
    return literal_column(f"'{place}'")


_SHUT = or_(
    traffic_accounts.c.held_at.is_not(None),
    func.coalesce(traffic_accounts.c.closed_until, 0) > _NOW,
)
_GOES = or_(
    batches.c.campaign_id.is_(None),
    func.coalesce(campaigns.c.status, "") == CampaignStatus.SENDING,
)
_PLACE = case(
    (_GOES.is_(False), _word(Place.STOPPED)),
    (
        and_(batches.c.due_at > _NOW, batches.c.waits_for.is_not(None)),
        _word(Place.ANOTHER_TIME),
    ),
    (batches.c.due_at > _NOW, _word(Place.RETRYING)),
    (_SHUT, _word(Place.ACCOUNT_SHUT)),
    else_=_word(Place.READY),
)
_SINCE = case((batches.c.due_at > 0, batches.c.due_at), else_=batches.c.created_at)
_QUEUED = (
    select(
        _PLACE.label("place"),
        func.count().label("batches"),
        func.coalesce(func.sum(batches.c.size), 0).label("messages"),
        func.min(case((campaigns.c.rate_max.is_(None), _SINCE))).label("since"),
        func.min(batches.c.due_at).label("due_at"),
    )
    .select_from(
        batches.join(traffic_accounts, traffic_accounts.c.id == batches.c.account_id).outerjoin(
            campaigns, campaigns.c.id == batches.c.campaign_id
        )
    )
    .where(queued())
    .group_by(literal_column("place"))
)
_COUNTED = (
    func.count().label("batches"),
    func.coalesce(func.sum(batches.c.size), 0).label("messages"),
)
_LEASED = (
    select(batches.c.status, *_COUNTED)
    .where(batches.c.lease_until.is_not(None))
    .group_by(batches.c.status)
)
_IS_UNCONFIRMED = batches.c.status == BatchStatus.UNCONFIRMED
# Two, since with an OR no index would serve.
_UNCONFIRMED = (
    select(*_COUNTED).where(batches.c.campaign_id.is_(None), _IS_UNCONFIRMED),
    select(*_COUNTED).where(
        batches.c.campaign_id.in_(
            select(campaigns.c.id).where(
                campaigns.c.status.in_(MAY_DOUBT), campaigns.c.unconfirmed > 0
            )
        ),
        _IS_UNCONFIRMED,
    ),
)
_RECEIPTS = select(func.count()).select_from(receipts)
_ERRORS = (
    select(
        batches.c.error,
        func.count().label("batches"),
        func.sum(batches.c.size).label("messages"),
        func.max(batches.c.tries).label("tries"),
    )
    .where(
        batches.c.error.is_not(None),
        batches.c.status.in_((BatchStatus.QUEUED, BatchStatus.UNCONFIRMED)),
    )
    .group_by(batches.c.error)
    .order_by(func.count().desc(), batches.c.error)
    .limit(bindparam("most"))
)
_WORKERS = (
    select(
        attempts.c.worker,
        func.count().label("calls"),
        func.sum(attempts.c.size).label("messages"),
        func.sum(case((attempts.c.finished_at.is_(None), 1), else_=0)).label("under_way"),
        func.max(attempts.c.started_at).label("last_at"),
        func.max(attempts.c.finished_at).label("answered_at"),
    )
    .where(attempts.c.started_at >= bindparam("since"))
    .group_by(attempts.c.worker)
    .order_by(attempts.c.worker)
)
