"""Suppressions against batches: nobody who opted out is in an intent that comes after it."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, bindparam, case, select, update

from paceline.domain.message import BatchStatus, MessageStatus, Reason
from paceline.storage import counters, webhook_events
from paceline.storage.batches import ReservedBatch, lock_reserved
from paceline.storage.database import now
from paceline.storage.leaving_out import leave_out, left_in
from paceline.storage.schema import batches, messages, suppressions, tenants


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
    leave_out(connection, batch, dropped, Reason.OPTED_OUT, at)
    left = left_in(connection, batch)
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
    if dropped:
        webhook_events.batches(connection, [batch.id], at)
    return dropped, replace(batch, seen_opt_outs=opt_outs)


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
