"""Suppressions against batches: nobody who opted out is in an intent that comes after it."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import BigInteger, Connection, bindparam, case, func, insert, select, update

from paceline.domain.message import BatchStatus, MessageStatus, Reason
from paceline.storage import counters
from paceline.storage.batches import ReservedBatch, lock_reserved, new_block
from paceline.storage.conclusion import fail_messages
from paceline.storage.database import now
from paceline.storage.schema import attempts, batches, messages, suppressions, tenants


def newly_suppressed(connection: Connection, batch: ReservedBatch) -> list[int]:
    """Message ids of the batch whose numbers were suppressed since it was last checked."""
    return list(
        connection.execute(
            _NEWLY_SUPPRESSED,
            {"batch": batch.id, "tenant": batch.tenant_id, "seen": batch.seen_opt_outs},
        ).scalars()
    )


def drop(connection: Connection, batch: ReservedBatch) -> tuple[list[int], ReservedBatch]:
    """Fail the recipients of a reserved batch who opted out since it was last checked.

    One who is in doubt stays in doubt, in an unconfirmed batch of his own. A batch that is emptied
    by this is done.

    Returns:
        The message ids that are not to be sent, and the batch as it is now.

    Raises:
        LostReservationError: the batch is no longer ours.
    """
    counters.lock(connection, batch.campaign_id)
    opt_outs = connection.execute(_LOCK_TENANT, {"tenant": batch.tenant_id}).scalar_one()
    lock_reserved(connection, batch)
    dropped = newly_suppressed(connection, batch)
    at = now(connection)
    if dropped:
        failed = fail_messages(
            connection, dropped, reason=Reason.OPTED_OUT, error=None, at=at, even_in_doubt=False
        )
        _keep_apart_those_in_doubt(connection, batch, at)
        counters.add(connection, batch.campaign_id, at=at, queued=-failed, failed=failed)
    left = connection.execute(_LEFT, {"batch": batch.id}).scalar_one()
    connection.execute(
        _CHECKED,
        {
            "batch": batch.id,
            "held": batch.fence,
            "heeded": opt_outs,
            "status_after": BatchStatus.RESERVED if left else BatchStatus.DONE,
            "now": at,
        },
    )
    return dropped, replace(batch, seen_opt_outs=opt_outs)


def _keep_apart_those_in_doubt(connection: Connection, batch: ReservedBatch, at: int) -> None:
    in_doubt = newly_suppressed(connection, batch)
    if not in_doubt:
        return
    apart = new_block(connection)
    source = connection.execute(select(batches).where(batches.c.id == batch.id)).one()
    connection.execute(
        batches.insert(),
        {
            **source._mapping,  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
            "id": apart,
            "status": BatchStatus.UNCONFIRMED,
            "size": len(in_doubt),
            "lease_until": None,
            "updated_at": at,
        },
    )
    connection.execute(update(messages).where(messages.c.id.in_(in_doubt)).values(batch_id=apart))
    connection.execute(_COPY_ATTEMPTS, {"batch": batch.id, "apart": apart})


# A receipt that knows a message by our reference only finds it by the attempts of its batch.
_COPIED = [column for column in attempts.c if column.name not in {"id", "batch_id"}]
_COPY_ATTEMPTS = insert(attempts).from_select(
    ["batch_id", *(column.name for column in _COPIED)],
    select(bindparam("apart", type_=BigInteger), *_COPIED).where(
        attempts.c.batch_id == bindparam("batch")
    ),
)
_NEWLY_SUPPRESSED = (
    select(messages.c.id)
    .where(
        messages.c.batch_id == bindparam("batch"),
        messages.c.status == MessageStatus.QUEUED,
        messages.c.phone.in_(
            select(suppressions.c.phone).where(
                suppressions.c.tenant_id == bindparam("tenant"),
                suppressions.c.seq > bindparam("seen"),
            )
        ),
    )
    .order_by(messages.c.id)
)
_LOCK_TENANT = (
    select(tenants.c.opt_outs)
    .where(tenants.c.id == bindparam("tenant"))
    .with_for_update(key_share=True)
)
_LEFT = select(func.count()).where(
    messages.c.batch_id == bindparam("batch"), messages.c.status == MessageStatus.QUEUED
)
_EMPTIED = bindparam("status_after") == BatchStatus.DONE
_CHECKED = (
    update(batches)
    .where(
        batches.c.id == bindparam("batch"),
        batches.c.fence == bindparam("held"),
        batches.c.status == BatchStatus.RESERVED,
    )
    .values(
        seen_opt_outs=bindparam("heeded"),
        status=bindparam("status_after"),
        lease_until=case((_EMPTIED, None), else_=batches.c.lease_until),
        updated_at=bindparam("now"),
    )
)
