"""Batches: their ids, their lanes, and giving back what was reserved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    and_,
    bindparam,
    case,
    insert,
    literal_column,
    select,
    update,
)

from paceline.domain.hours import WaitsFor
from paceline.domain.message import BatchStatus, MessageStatus
from paceline.domain.verdict import Tries
from paceline.storage.database import AnyRow, insert_new, now
from paceline.storage.schema import batch_blocks, batches, lanes, messages

BLOCK = 1 << 16
"""Batch ids come in blocks of this many; the largest launch chunk has fewer messages."""


@dataclass(frozen=True, slots=True)
class ReservedBatch:
    """A batch in a worker's hands. No permit is held and nothing is in doubt."""

    id: int
    tenant_id: int
    account_id: int
    campaign_id: int | None
    fence: int
    generation: int
    seen_opt_outs: int
    """The tenant's count of opt-outs that this batch's messages are known to heed."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A committed intent: the call may be made from now on."""

    id: int
    batch: ReservedBatch
    started_at: int
    """When its permits were granted, by the database's clock."""
    stamped_at: int
    """From when on they count, by the same clock: the wish's lead after their grant."""
    granted_at: float
    """The worker's monotonic clock, read just before the database's for ``started_at``."""
    send_by: float
    """Until when the call's first byte may go out, on the worker's monotonic clock."""
    account_was_well: bool = False
    """Its account had no failures then."""
    size: int = 0
    """Messages of its call."""
    day: int | None = None
    """The tenant's day that they count for."""


class LostReservationError(Exception):
    """The reservation ran out and the batch is somebody else's: undo everything."""


def new_block(connection: Connection) -> int:
    """The first id of a block of batch ids that is nobody else's."""
    block: int = connection.execute(
        insert(batch_blocks).returning(batch_blocks.c.id), {"created_at": now(connection)}
    ).scalar_one()
    return block * BLOCK


def open_lane(connection: Connection, account_id: int, tenant_id: int) -> None:
    """Make sure that the lane exists."""
    insert_new(connection, lanes, [{"account_id": account_id, "tenant_id": tenant_id}])


def queued(table: FromClause = batches) -> ColumnElement[bool]:
    """In the words of the partial indexes: with a parameter for the status, PostgreSQL could not
    keep a plan that uses them and would plan at every execution.
    """
    return table.c.status == literal_column(f"'{BatchStatus.QUEUED}'")


def due(at: Any) -> ColumnElement[bool]:
    """Queued, and its time has come."""
    return and_(queued(), batches.c.due_at <= at)


def tries_of(batch: AnyRow, at: int) -> Tries:
    """A batch's past, for a verdict."""
    age = at - batch.doubt_since if batch.doubt_since is not None else 0
    return Tries(tries_before(batch), in_doubt=batch.in_doubt, doubt_age_ms=age)


def tries_before(batch: AnyRow) -> int:
    """Tries before the one that is judged. An unconfirmed batch has counted that one already, but
    for one that an operator has let begin anew.
    """
    return max(int(batch.tries - (batch.status == BatchStatus.UNCONFIRMED)), 0)


def give_back(connection: Connection, batch: ReservedBatch) -> None:
    """Queue a reserved batch again, unless the reservation has run out already. If receipts have
    proven every message meanwhile, it is done.
    """
    connection.execute(_GIVE_BACK, {"batch": batch.id, "held": batch.fence, "now": now(connection)})


def postpone(connection: Connection, batch: ReservedBatch, until: int, waits_for: WaitsFor) -> None:
    """As ``give_back``, and it is not due again until another time of the day."""
    connection.execute(
        _POSTPONE,
        {
            "batch": batch.id,
            "held": batch.fence,
            "now": now(connection),
            "until": until,
            "cause": waits_for,
        },
    )


def leave_in_doubt(connection: Connection, batch: ReservedBatch) -> None:
    """Leave a reserved batch that is in doubt to its operator: it must not be sent any more."""
    connection.execute(
        _LEAVE_IN_DOUBT, {"batch": batch.id, "held": batch.fence, "now": now(connection)}
    )


def lock_reserved(connection: Connection, batch: ReservedBatch) -> None:
    """Lock a batch that we have reserved.

    Raises:
        LostReservationError: the batch is no longer ours.
    """
    row = connection.execute(_LOCK, {"batch": batch.id}).one()
    if row.fence != batch.fence or row.status != BatchStatus.RESERVED:
        raise LostReservationError(batch.id)


_LOCK = (
    select(batches.c.fence, batches.c.status)
    .where(batches.c.id == bindparam("batch"))
    .with_for_update()
)
_ANY_QUEUED = (
    select(messages.c.id)
    .where(messages.c.batch_id == batches.c.id, messages.c.status == MessageStatus.QUEUED)
    .correlate(batches)
    .exists()
)
QUEUED_OR_DONE = case((_ANY_QUEUED, BatchStatus.QUEUED), else_=BatchStatus.DONE)
"""What becomes of a batch that is given up: is any of its messages still to be sent?"""
_GIVE_BACK = (
    update(batches)
    .where(
        batches.c.id == bindparam("batch"),
        batches.c.fence == bindparam("held"),
        batches.c.status == BatchStatus.RESERVED,
    )
    .values(
        status=QUEUED_OR_DONE,
        lease_until=None,
        updated_at=bindparam("now"),
    )
)
_POSTPONE = _GIVE_BACK.values(due_at=bindparam("until"), waits_for=bindparam("cause"))
_LEAVE_IN_DOUBT = _GIVE_BACK.values(status=BatchStatus.UNCONFIRMED)
