"""The frequency cap: to one person at most so many messages of campaigns in so many days.

It is counted at the intent, under the tenant's lock: each message of an intent is noted in the
transaction that commits it, once, whatever its tries. A message in doubt was perhaps received, so
it counts; one whose permit was void counts once, with the intent that follows. Messages without a
campaign (a code that somebody asked for) are neither counted nor held back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    bindparam,
    case,
    delete,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from paceline.domain.hours import DAY_MS
from paceline.domain.message import BatchStatus, MessageStatus, Reason
from paceline.storage import counters, webhook_events
from paceline.storage.batches import ReservedBatch, lock_reserved
from paceline.storage.database import AnyRow, now
from paceline.storage.leaving_out import leave_out, left_in
from paceline.storage.schema import batches, contacted, messages, tenants

FORGET_AT_ONCE = 5_000
"""Rows that one transaction forgets."""


@dataclass(frozen=True, slots=True)
class Cap:
    """At most ``most`` messages to one person in any ``days`` days."""

    most: int
    days: int


def cap_of(tenant: AnyRow) -> Cap | None:
    """A tenant's cap, from a row with ``frequency_max`` and ``frequency_days``."""
    if tenant.frequency_max is None or tenant.frequency_days is None:
        return None
    return Cap(tenant.frequency_max, tenant.frequency_days)


def had_enough(connection: Connection, batch: ReservedBatch, cap: Cap, at: int) -> list[int]:
    """The messages of a batch whose recipients have had as many others as they may.

    Read it in a later statement than the one that locks the tenant: in the same one PostgreSQL
    shows what was noted before the wait.
    """
    return list(
        connection.execute(
            _HAD_ENOUGH,
            {
                "batch": batch.id,
                "tenant": batch.tenant_id,
                "most": cap.most,
                "since": at - cap.days * DAY_MS,
            },
        ).scalars()
    )


def note(connection: Connection, batch: ReservedBatch, at: int) -> None:
    """Note who is written to by the intent of a batch; of a message that was noted before, when."""
    connection.execute(_NOTE[connection.dialect.name], {"batch": batch.id, "now": at})


def drop(connection: Connection, batch: ReservedBatch) -> tuple[list[int], int]:
    """Fail the recipients of a reserved batch who have had enough. A batch that is emptied by this
    is done.

    Returns:
        The message ids that are not to be sent, and how many are left.

    Raises:
        LostReservationError: the batch is no longer ours.
    """
    counters.lock(connection, batch.campaign_id)
    tenant = connection.execute(_LOCK_TENANT, {"tenant": batch.tenant_id}).one()
    lock_reserved(connection, batch)
    at = now(connection)
    cap = cap_of(tenant)
    dropped = [] if cap is None else had_enough(connection, batch, cap, at)
    leave_out(connection, batch, dropped, Reason.FREQUENCY_CAP, at)
    left = left_in(connection, batch)
    after = BatchStatus.RESERVED if left else BatchStatus.DONE
    connection.execute(_LIGHTEN, {"batch": batch.id, "status_after": after, "now": at})
    if dropped:
        webhook_events.batches(connection, [batch.id], at)
    return dropped, left


def forget_old(connection: Connection) -> int:
    """Forget some of those notes that no cap looks at any more; return how many they were."""
    keys = connection.execute(_OLD, {"now": now(connection), "limit": FORGET_AT_ONCE}).all()
    if keys:
        connection.execute(
            _FORGET,
            [
                {"tenant": key.tenant_id, "number": key.phone, "message": key.message_id}
                for key in keys
            ],
        )
    return len(keys)


_BATCH: Any = bindparam("batch")
_TO_BE_SENT = messages.c.status == MessageStatus.QUEUED
_OTHERS = (
    select(func.count())
    .where(
        contacted.c.tenant_id == bindparam("tenant"),
        contacted.c.phone == messages.c.phone,
        contacted.c.message_id != messages.c.id,
        contacted.c.at > bindparam("since"),
    )
    .correlate(messages)
    .scalar_subquery()
)
_HAD_ENOUGH = (
    select(messages.c.id)
    .where(messages.c.batch_id == _BATCH, _TO_BE_SENT, bindparam("most") <= _OTHERS)
    .order_by(messages.c.id)
)
_COLUMNS = ["tenant_id", "phone", "message_id", "at"]
_THOSE_OF_THE_INTENT = (
    select(
        messages.c.tenant_id,
        messages.c.phone,
        messages.c.id,
        bindparam("now", type_=contacted.c.at.type),
    )
    .where(messages.c.batch_id == _BATCH, _TO_BE_SENT)
    .order_by(messages.c.phone)
)


def _noting(make: Any) -> Any:
    statement = make(contacted).from_select(_COLUMNS, _THOSE_OF_THE_INTENT)
    return statement.on_conflict_do_update(
        index_elements=list(contacted.primary_key), set_={"at": statement.excluded.at}
    )


_NOTE = {"postgresql": _noting(postgresql.insert), "sqlite": _noting(sqlite.insert)}
_LOCK_TENANT = (
    select(tenants.c.frequency_max, tenants.c.frequency_days)
    .where(tenants.c.id == bindparam("tenant"))
    .with_for_update(key_share=True)
)
_EMPTIED = bindparam("status_after") == BatchStatus.DONE
_LIGHTEN = (
    update(batches)
    .where(batches.c.id == _BATCH)
    .values(
        status=bindparam("status_after"),
        lease_until=case((_EMPTIED, None), else_=batches.c.lease_until),
        updated_at=bindparam("now"),
    )
)
_OLD = (
    select(contacted.c.tenant_id, contacted.c.phone, contacted.c.message_id)
    .join(tenants, tenants.c.id == contacted.c.tenant_id)
    .where(
        contacted.c.at
        <= bindparam("now")
        - case(
            (tenants.c.frequency_max.is_(None), 0), else_=func.coalesce(tenants.c.frequency_days, 0)
        )
        * literal(DAY_MS, BigInteger)
    )
    .order_by(contacted.c.at)
    .limit(bindparam("limit"))
    # Not those that an intent is just noting anew: so this never waits for one.
    .with_for_update(of=contacted, skip_locked=True)
)
_FORGET = delete(contacted).where(
    contacted.c.tenant_id == bindparam("tenant"),
    contacted.c.phone == bindparam("number"),
    contacted.c.message_id == bindparam("message"),
)
