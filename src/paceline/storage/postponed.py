"""Batches that wait for another time of the day: put off together, and looked at again.

What is postponed at the gate takes all its like along, so that a campaign of a million that has to
wait until morning costs one look and not two thousand. They come back by themselves when they are
due, and at once when somebody changes what they wait for.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select, true, update

from paceline.domain.hours import WaitsFor
from paceline.storage.among import among
from paceline.storage.batches import ReservedBatch, queued
from paceline.storage.database import now
from paceline.storage.schema import batches, campaigns, tenants
from paceline.storage.wishes import Untimely

AT_ONCE = 5_000
"""Batches that one transaction puts off. What is left is put off when its turn comes."""


def alike(connection: Connection, batch: ReservedBatch, untimely: Untimely) -> int:
    """Put off what is due and would be told the same as this batch was: of its campaign and region,
    of its campaign, or of its lane. Return how many batches that are.

    Not if somebody has changed what it waits for since: then it is due again.

    Args:
        connection: of a write transaction.
        batch: what was postponed at the gate.
        untimely: what it was told there.
    """
    if batch.campaign_id is not None:
        connection.execute(_SHARE_CAMPAIGN, {"campaign": batch.campaign_id})
    # Who changes the tenant waits for this, or this for them.
    connection.execute(_LOCK_TENANT, {"tenant": batch.tenant_id})
    row = connection.execute(_ROW, {"batch": batch.id}).one()
    if (row.waits_for, row.due_at) != (untimely.waits_for, untimely.until):
        return 0
    at = now(connection)
    same = _SAME_LANE
    if untimely.waits_for is not WaitsFor.DAILY_CAP:
        same = same.where(batches.c.campaign_id.is_not_distinct_from(batch.campaign_id))
    if untimely.waits_for is WaitsFor.QUIET_HOURS:
        same = same.where(batches.c.region == row.region)
    ids = connection.execute(
        same, {"account": batch.account_id, "tenant": batch.tenant_id, "now": at}
    ).scalars()
    return _set(connection, list(ids), untimely.waits_for, untimely.until, at)


def look_again(connection: Connection, tenant_id: int, campaign_id: int | None = None) -> int:
    """Let what waits for another time of the day ask at the gate again, now: of a tenant or of one
    of its campaigns. Return how many batches that are.

    Needs the lock of the tenant, or of the campaign, that was changed.
    """
    of_campaign = true() if campaign_id is None else batches.c.campaign_id == campaign_id
    ids = connection.execute(_POSTPONED.where(of_campaign), {"tenant": tenant_id}).scalars()
    at = now(connection)
    return _set(connection, list(ids), None, at, at)


def _set(
    connection: Connection, ids: list[int], waits_for: WaitsFor | None, until: int, at: int
) -> int:
    if not ids:
        return 0
    return connection.execute(
        _POSTPONE, {"ids": ids, "cause": waits_for, "until": until, "now": at}
    ).rowcount


_SHARE_CAMPAIGN = (
    select(campaigns.c.id)
    .where(campaigns.c.id == bindparam("campaign"))
    .with_for_update(read=True, key_share=True)
)
_LOCK_TENANT = (
    select(tenants.c.id).where(tenants.c.id == bindparam("tenant")).with_for_update(key_share=True)
)
_ROW = select(batches.c.waits_for, batches.c.due_at, batches.c.region).where(
    batches.c.id == bindparam("batch")
)
# Whoever holds one of them has it for its turn; it is told at the gate.
_SAME_LANE = (
    select(batches.c.id)
    .where(
        batches.c.account_id == bindparam("account"),
        batches.c.tenant_id == bindparam("tenant"),
        queued(),
        batches.c.due_at <= bindparam("now"),
    )
    .order_by(batches.c.id)
    .limit(AT_ONCE)
    .with_for_update(skip_locked=True)
)
_POSTPONED = (
    select(batches.c.id)
    .where(
        queued(),
        batches.c.due_at > 0,
        batches.c.waits_for.is_not(None),
        batches.c.tenant_id == bindparam("tenant"),
    )
    .order_by(batches.c.id)
    .with_for_update(skip_locked=True)
)
_POSTPONE = (
    update(batches)
    .where(among(batches.c.id, "ids"), queued())
    .values(waits_for=bindparam("cause"), due_at=bindparam("until"), updated_at=bindparam("now"))
)
