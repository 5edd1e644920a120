"""Batches that become several: what of a call has to go on separately.

A call that was rejected whole, and whose answer names no message, is taken apart. First one message
of it goes ahead alone, the *scout*, while the rest is parked: when two scouts are rejected with the
same words, the call is at fault (a sender, a template) and no message is, and the rest fails
without using up a permit per message. Otherwise the rest is halved, and each half that is rejected
again, down to the message at fault.

Scouts come from inside a batch: audiences are often sorted, and what is wrong with a few numbers
then stands at an end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, bindparam, insert, select, update

from paceline.domain.message import BatchStatus, MessageStatus
from paceline.storage.among import among
from paceline.storage.batches import new_block
from paceline.storage.database import AnyRow
from paceline.storage.schema import attempts, batches, messages

PARKED_MS = 60_000
"""For so long the rest waits for its scout. Then it goes by itself and is halved if need be: a
scout may be in doubt, or the process that had it may have died."""


def split_off(
    connection: Connection, batch: AnyRow, message_ids: Sequence[int], at: int, **values: Any
) -> int:
    """Move messages into a batch of their own; return its id.

    Args:
        connection: of a write transaction with the locks of the campaign and the batch.
        batch: the row of the batch that has them; its ``size`` is lowered.
        message_ids: some of its messages.
        at: the time.
        values: columns of the new batch that differ from the old one's.
    """
    apart = new_block(connection)
    columns = {
        **batch._mapping,  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
        "id": apart,
        "size": len(message_ids),
        "lease_until": None,
        "confirm_at": None,
        "updated_at": at,
        **values,
    }
    connection.execute(insert(batches), {column.name: columns[column.name] for column in batches.c})
    connection.execute(_MOVE_MESSAGES, {"ids": list(message_ids), "apart": apart})
    connection.execute(_SHRINK, {"batch": batch.id, "fewer": len(message_ids)})
    return apart


def copy_attempts(connection: Connection, batch_id: int, apart: int) -> None:
    """Let a batch that was split off have the attempts of the other: a receipt that knows a message
    by our reference only finds it by the attempts of its batch.
    """
    connection.execute(_COPY_ATTEMPTS, {"batch": batch_id, "apart": apart})


def divide(
    connection: Connection,
    batch: AnyRow,
    error: str,
    at: int,
    *,
    generation: int,
    too_large: bool,
) -> int:
    """Take a batch apart; return when what is left of it is due.

    Locks as ``split_off``. The caller queues the batch itself, without counting a try. What is in
    doubt is halved without scouts: they could only tell that it has failed, which it may not have.

    Args:
        connection: of a write transaction.
        batch: its row.
        error: what the provider said to all of it, as it is to be stored.
        at: the time.
        generation: of both parts; a new one if nothing was accepted.
        too_large: it was only too large: no message is suspected, and no scout needed.
    """
    ids = queued_ids(connection, batch.id)
    fresh = {
        "status": BatchStatus.QUEUED,
        "due_at": at,
        "error": error,
        "generation": generation,
        "sibling_id": None,
    }
    if too_large or batch.in_doubt:
        apart = split_off(connection, batch, ids[len(ids) // 2 :], at, **fresh)
        if batch.in_doubt:
            copy_attempts(connection, batch.id, apart)
        return at
    if batch.rejected is not None:
        split_off(connection, batch, ids[len(ids) // 2 :], at, **fresh | {"rejected": error})
        return at
    scout = fresh | {"sibling_id": batch.id, "rejected": None}
    split_off(connection, batch, [ids[len(ids) // 3]], at, **scout)
    connection.execute(_REJECTED, {"batch": batch.id, "why": error})
    return at + PARKED_MS


def queued_ids(connection: Connection, batch_id: int) -> list[int]:
    """The messages of a batch that are neither sent nor failed, by id."""
    return list(connection.execute(_QUEUED_IDS, {"batch": batch_id}).scalars())


_QUEUED = (messages.c.batch_id == bindparam("batch"), messages.c.status == MessageStatus.QUEUED)
_QUEUED_IDS = select(messages.c.id).where(*_QUEUED).order_by(messages.c.id)
_MOVE_MESSAGES = (
    update(messages).where(among(messages.c.id, "ids")).values(batch_id=bindparam("apart"))
)
_SHRINK = (
    update(batches)
    .where(batches.c.id == bindparam("batch"))
    .values(size=batches.c.size - bindparam("fewer"))
)
_REJECTED = (
    update(batches).where(batches.c.id == bindparam("batch")).values(rejected=bindparam("why"))
)
_COPIED = [column for column in attempts.c if column.name not in {"id", "batch_id"}]
_COPY_ATTEMPTS = insert(attempts).from_select(
    ["batch_id", *(column.name for column in _COPIED)],
    select(bindparam("apart", type_=BigInteger), *_COPIED).where(
        attempts.c.batch_id == bindparam("batch")
    ),
)
