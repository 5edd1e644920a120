"""Deliveries: each is one event on its way to one endpoint, a row that any worker can take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Text, bindparam, cast, exists, literal, select, update

from paceline.domain.errors import ConflictError, NotFoundError
from paceline.domain.webhook_event import WAITS_MS, DeliveryStatus, wait_ms
from paceline.storage import webhook_endpoints as endpoints
from paceline.storage.among import among
from paceline.storage.database import AnyRow, now
from paceline.storage.schema import (
    installation,
    webhook_deliveries,
    webhook_endpoints,
    webhook_events,
)

TAKEN_AT_ONCE = 20
"""Deliveries of one endpoint that a worker takes."""
_LOOKED_AT = 1_000
REPLAY_AT_ONCE = 5_000
"""Deliveries that one transaction of a replay takes."""
_GONE = 410
_DISABLED = "the endpoint is disabled"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One to be made now."""

    id: int
    endpoint_id: int
    tries: int
    """Before this one."""
    event_id: str
    """What the endpoint knows the event by, the same in every try."""
    payload: str = field(repr=False)
    url: str = field(repr=False)
    """It may hold a password."""
    secret: str = field(repr=False)
    """Sealed."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one try."""

    delivery: Delivery
    http_status: int | None
    """None: there was no answer."""
    error: str | None = None
    """None: delivered."""
    retry_after_ms: int | None = None


def due(connection: Connection, *, busy: Collection[int], most: int) -> list[list[int]]:
    """Ids of deliveries that are due, by endpoint, in the order in which they were written.

    Args:
        connection: of a read.
        busy: endpoints that are not to be troubled now.
        most: so many endpoints, those that have waited longest.
    """
    rows = connection.execute(
        select(webhook_deliveries.c.id, webhook_deliveries.c.endpoint_id)
        .where(
            webhook_deliveries.c.due_at <= now(connection),
            webhook_deliveries.c.endpoint_id.not_in(busy),
        )
        .order_by(webhook_deliveries.c.due_at, webhook_deliveries.c.id)
        .limit(_LOOKED_AT)
    )
    by_endpoint: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        by_endpoint[row.endpoint_id].append(row.id)
    return [sorted(ids)[:TAKEN_AT_ONCE] for ids in list(by_endpoint.values())[:most]]


def take(connection: Connection, delivery_ids: Sequence[int], *, lease_ms: int) -> list[Delivery]:
    """Take those of the deliveries that are still due: unless something is recorded of them before
    the lease ends, they are due again then. Those of a disabled endpoint have failed.
    """
    rows = connection.execute(_LOCK_DUE, {"ids": list(delivery_ids), "at": now(connection)}).all()
    at = now(connection)
    to_be_made = [row for row in rows if row.disabled_at is None]
    connection.execute(_LEASE, {"ids": [row.id for row in to_be_made], "until": at + lease_ms})
    in_vain = [row.id for row in rows if row.disabled_at is not None]
    connection.execute(_FAIL, {"ids": in_vain, "why": _DISABLED})
    return [
        Delivery(
            row.id,
            row.endpoint_id,
            row.tries,
            row.event_id,
            row.payload,
            row.url,
            row.secret,
        )
        for row in to_be_made
    ]


def record(connection: Connection, tried: Sequence[Tried], untried: Sequence[int] = ()) -> bool:
    """Write down what came of tries to one endpoint, and give back those that were not tried.

    An endpoint is disabled when it answers 410, or when a delivery has had its last try and none
    other could be made in all that time.

    Returns:
        Whether that was done.
    """
    disabled = any(_ends_endpoint(connection, each) for each in tried)
    at = now(connection)
    for each in tried:
        connection.execute(_RECORD, _outcome(each, at))
    connection.execute(_LEASE, {"ids": list(untried), "until": at})
    return disabled


def page(
    connection: Connection,
    tenant_id: int,
    endpoint_id: int,
    *,
    before: int | None = None,
    limit: int = 50,
) -> list[AnyRow]:
    """Deliveries to an endpoint and their events, the newest first, from the one before ``before``.

    Raises:
        NotFoundError: this tenant has no such endpoint.
    """
    endpoints.get(connection, tenant_id, endpoint_id)
    query = _LISTED.where(webhook_deliveries.c.endpoint_id == endpoint_id)
    if before is not None:
        query = query.where(webhook_deliveries.c.id < before)
    return list(connection.execute(query.order_by(webhook_deliveries.c.id.desc()).limit(limit)))


def require_enabled(connection: Connection, tenant_id: int, endpoint_id: int) -> None:
    """Say no to an endpoint that nothing is delivered to.

    Raises:
        NotFoundError: this tenant has no such endpoint.
        ConflictError: it is disabled.
    """
    if endpoints.get(connection, tenant_id, endpoint_id).disabled_at is not None:
        raise ConflictError("The webhook endpoint is disabled: enable it first.")


def replay_one(connection: Connection, tenant_id: int, endpoint_id: int, delivery_id: int) -> None:
    """Make a delivery again, whatever became of it.

    Raises:
        NotFoundError: this tenant has no such endpoint, or that one no such delivery.
        ConflictError: the endpoint is disabled.
    """
    require_enabled(connection, tenant_id, endpoint_id)
    found = select(webhook_deliveries.c.id).where(
        webhook_deliveries.c.id == delivery_id, webhook_deliveries.c.endpoint_id == endpoint_id
    )
    if connection.execute(found).first() is None:
        raise NotFoundError("delivery", delivery_id)
    connection.execute(_REPLAY, {"ids": [delivery_id], "at": now(connection)})


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one transaction of a replay did; ``last``: where to go on, None: that was all."""

    count: int
    last: int | None


def replay_since(
    connection: Connection, endpoint_id: int, since: int, *, after: int, delivered_too: bool
) -> Replayed:
    """Make some deliveries again that failed, of events since a moment.

    Args:
        connection: of a write transaction.
        endpoint_id: to which endpoint; the caller knows whose it is.
        since: milliseconds since 1970.
        after: go on behind this delivery.
        delivered_too: repeat those that were delivered as well.
    """
    over = {DeliveryStatus.FAILED} | ({DeliveryStatus.DELIVERED} if delivered_too else set())
    ids = (
        connection.execute(
            select(webhook_deliveries.c.id)
            .join(webhook_events, webhook_events.c.id == webhook_deliveries.c.event_id)
            .where(
                webhook_deliveries.c.endpoint_id == endpoint_id,
                webhook_deliveries.c.id > after,
                webhook_deliveries.c.status.in_(over),
                webhook_events.c.created_at >= since,
            )
            .order_by(webhook_deliveries.c.id)
            .limit(REPLAY_AT_ONCE)
        )
        .scalars()
        .all()
    )
    connection.execute(_REPLAY, {"ids": list(ids), "at": now(connection)})
    return Replayed(len(ids), ids[-1] if len(ids) == REPLAY_AT_ONCE else None)


def _ends_endpoint(connection: Connection, tried: Tried) -> bool:
    """Disable the endpoint if this try shows that there is nobody."""
    endpoint_id = tried.delivery.endpoint_id
    if tried.http_status == _GONE:
        return endpoints.disable(connection, endpoint_id, "It answered 410 Gone.")
    if tried.error is None or wait_ms(tried.delivery.tries + 1) is not None:
        return False
    since = now(connection) - sum(WAITS_MS)
    if connection.execute(_HEARD_OF, {"endpoint": endpoint_id, "since": since}).scalar_one():
        return False
    return endpoints.disable(connection, endpoint_id, "Nothing could be delivered for five days.")


def _outcome(tried: Tried, at: int) -> dict[str, object]:
    """Parameters of ``_RECORD``."""
    tries = tried.delivery.tries
    wait = wait_ms(tries + 1, tried.retry_after_ms)
    if tried.error is None:
        status = DeliveryStatus.DELIVERED
    elif wait is None or tried.http_status == _GONE:
        status = DeliveryStatus.FAILED
    else:
        status = DeliveryStatus.PENDING
    return {
        "delivery": tried.delivery.id,
        "tries_before": tries,
        "status_after": status,
        "due": at + (wait or 0) if status is DeliveryStatus.PENDING else None,
        "answer": tried.http_status,
        "why": tried.error,
        "delivered": at if status is DeliveryStatus.DELIVERED else None,
    }


_KNOWN_AS = (
    literal("evt_")
    + select(installation.c.prefix).scalar_subquery()
    + literal("_")
    + cast(webhook_events.c.id, Text)
).label("event_id")
"""An event's id outside. A restored database has a new prefix, so none is used twice."""
_PENDING = webhook_deliveries.c.status == DeliveryStatus.PENDING
_LOCK_DUE = (
    select(
        webhook_deliveries.c.id,
        webhook_deliveries.c.endpoint_id,
        _KNOWN_AS,
        webhook_deliveries.c.tries,
        webhook_events.c.payload,
        webhook_endpoints.c.url,
        webhook_endpoints.c.secret,
        webhook_endpoints.c.disabled_at,
    )
    .join(webhook_events, webhook_events.c.id == webhook_deliveries.c.event_id)
    .join(webhook_endpoints, webhook_endpoints.c.id == webhook_deliveries.c.endpoint_id)
    .where(among(webhook_deliveries.c.id, "ids"), webhook_deliveries.c.due_at <= bindparam("at"))
    .order_by(webhook_deliveries.c.id)
    .with_for_update(of=webhook_deliveries, skip_locked=True)
)
_LEASE = (
    update(webhook_deliveries)
    .where(among(webhook_deliveries.c.id, "ids"), _PENDING)
    .values(due_at=bindparam("until"))
)
_FAIL = (
    update(webhook_deliveries)
    .where(among(webhook_deliveries.c.id, "ids"), _PENDING)
    .values(status=DeliveryStatus.FAILED, due_at=None, error=bindparam("why"))
)
_RECORD = (
    update(webhook_deliveries)
    .where(
        webhook_deliveries.c.id == bindparam("delivery"),
        _PENDING,
        # A lease that ran out, or a replay: then a later try says what became of it.
        webhook_deliveries.c.tries == bindparam("tries_before"),
    )
    .values(
        status=bindparam("status_after"),
        tries=bindparam("tries_before") + 1,
        due_at=bindparam("due"),
        http_status=bindparam("answer"),
        error=bindparam("why"),
        delivered_at=bindparam("delivered"),
    )
)
_REPLAY = (
    update(webhook_deliveries)
    .where(among(webhook_deliveries.c.id, "ids"))
    .values(
        status=DeliveryStatus.PENDING,
        tries=0,
        due_at=bindparam("at"),
        http_status=None,
        error=None,
        delivered_at=None,
    )
)
_HEARD_OF = select(
    exists().where(
        webhook_deliveries.c.endpoint_id == bindparam("endpoint"),
        webhook_deliveries.c.delivered_at >= bindparam("since"),
    )
)
_LISTED = select(
    webhook_deliveries.c.id,
    _KNOWN_AS,
    webhook_events.c.type,
    webhook_deliveries.c.status,
    webhook_deliveries.c.tries,
    webhook_deliveries.c.due_at,
    webhook_deliveries.c.http_status,
    webhook_deliveries.c.error,
    webhook_deliveries.c.delivered_at,
    webhook_events.c.created_at,
).join(webhook_events, webhook_events.c.id == webhook_deliveries.c.event_id)
