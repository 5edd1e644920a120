"""Recipients of a reserved batch who are not to be written to after all."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, func, select

from paceline.domain.message import BatchStatus, MessageStatus, Reason
from paceline.storage import counters, splitting
from paceline.storage.among import among
from paceline.storage.batches import ReservedBatch
from paceline.storage.conclusion import fail_messages
from paceline.storage.schema import batches, messages


def leave_out(
    connection: Connection,
    batch: ReservedBatch,
    message_ids: Sequence[int],
    reason: Reason,
    at: int,
) -> None:
    """Fail these messages. One that is in doubt stays in doubt, in an unconfirmed batch of its own.

    Args:
        connection: of a write transaction with the locks of the campaign and the batch.
        batch: the batch that has them.
        message_ids: the messages; none is fine.
        reason: why.
        at: the time.
    """
    if not message_ids:
        return
    failed = fail_messages(
        connection, message_ids, reason=reason, error=None, at=at, even_in_doubt=False
    )
    _keep_apart_those_in_doubt(connection, batch, message_ids, at)
    counters.add(connection, batch.campaign_id, at=at, queued=-failed, failed=failed)


def left_in(connection: Connection, batch: ReservedBatch) -> int:
    """How many messages of a batch are still to be sent."""
    left: int = connection.execute(_LEFT, {"batch": batch.id}).scalar_one()
    return left


def _keep_apart_those_in_doubt(
    connection: Connection, batch: ReservedBatch, message_ids: Sequence[int], at: int
) -> None:
    in_doubt = list(connection.execute(_STILL_QUEUED, {"ids": list(message_ids)}).scalars())
    if not in_doubt:
        return
    source = connection.execute(select(batches).where(batches.c.id == batch.id)).one()
    apart = splitting.split_off(connection, source, in_doubt, at, status=BatchStatus.UNCONFIRMED)
    splitting.copy_attempts(connection, batch.id, apart)


_STILL_QUEUED = (
    select(messages.c.id)
    .where(among(messages.c.id, "ids"), messages.c.status == MessageStatus.QUEUED)
    .order_by(messages.c.id)
)
_LEFT = select(func.count()).where(
    messages.c.batch_id == bindparam("batch"), messages.c.status == MessageStatus.QUEUED
)
