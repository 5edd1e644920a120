"""Batches of which not all may be sent at the same time: made into several at the gate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select, update

from paceline.domain import phone, zones
from paceline.domain.message import BatchStatus, MessageStatus
from paceline.storage import counters, splitting
from paceline.storage.batches import ReservedBatch, lock_reserved
from paceline.storage.database import AnyRow, now
from paceline.storage.schema import batches, messages


def by_region(connection: Connection, batch: ReservedBatch) -> int:
    """Leave the messages of one region in a reserved batch, and queue those of each other region
    in a batch of their own; return how many these are.

    Raises:
        LostReservationError: the batch is no longer ours.
    """
    counters.lock(connection, batch.campaign_id)
    lock_reserved(connection, batch)
    row = connection.execute(_ROW, {"batch": batch.id}).one()
    ids_of_region: dict[str, list[int]] = defaultdict(list)
    for message in connection.execute(_QUEUED, {"batch": batch.id}):
        ids_of_region[phone.region_of(message.phone) or zones.UNKNOWN].append(message.id)
    if not ids_of_region:
        return 0
    stays, *others = sorted(ids_of_region, key=lambda region: (-len(ids_of_region[region]), region))
    for region in others:
        _split_off(connection, row, ids_of_region[region], region)
    connection.execute(_OF_REGION, {"batch": batch.id, "country": stays})
    return len(others)


def to_size(connection: Connection, batch: ReservedBatch, most: int) -> None:
    """Leave the first so many messages in a reserved batch, and queue the others apart.

    Raises:
        LostReservationError: the batch is no longer ours.
    """
    counters.lock(connection, batch.campaign_id)
    lock_reserved(connection, batch)
    row = connection.execute(_ROW, {"batch": batch.id}).one()
    if rest := splitting.queued_ids(connection, batch.id)[most:]:
        _split_off(connection, row, rest, row.region)


def _split_off(
    connection: Connection, row: AnyRow, message_ids: Sequence[int], region: str | None
) -> None:
    """Queue these apart, with the past of the batch that they were in."""
    apart = splitting.split_off(
        connection,
        row,
        message_ids,
        now(connection),
        status=BatchStatus.QUEUED,
        region=region,
        sibling_id=None,
    )
    if row.in_doubt:
        splitting.copy_attempts(connection, row.id, apart)


_ROW = select(batches).where(batches.c.id == bindparam("batch"))
_QUEUED = (
    select(messages.c.id, messages.c.phone)
    .where(messages.c.batch_id == bindparam("batch"), messages.c.status == MessageStatus.QUEUED)
    .order_by(messages.c.id)
)
_OF_REGION = (
    update(batches).where(batches.c.id == bindparam("batch")).values(region=bindparam("country"))
)
