"""Where campaigns stand: everything that is shown of one, read on one snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from paceline.domain.campaign import CampaignStatus
from paceline.domain.errors import NotFoundError
from paceline.domain.message import BatchStatus
from paceline.storage import campaigns as campaigns_table
from paceline.storage.database import AnyRow, now
from paceline.storage.schema import batches, messages, tenants, traffic_accounts


@dataclass(frozen=True, slots=True)
class Standing:
    """A campaign's row and what decides what it waits for."""

    campaign: AnyRow
    tenant: AnyRow
    account: AnyRow
    at: int
    """The moment of the snapshot."""
    due_at: int | None = None
    """When its next queued batch may go; None: nothing is queued, or it is not sending."""
    error: str | None = None
    """What befell that batch at its last try."""
    in_hand: bool = False
    """A worker has one of its batches."""


def of(connection: Connection, tenant_id: int, campaign_id: int) -> Standing:
    """One campaign's standing.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    campaign = campaigns_table.get(connection, tenant_id, campaign_id)
    return _standings(connection, tenant_id, [campaign])[0]


def page(
    connection: Connection,
    tenant_id: int,
    *,
    before: int | None = None,
    limit: int = 50,
    status: str | None = None,
) -> list[Standing]:
    """A tenant's campaigns, newest first, from the one before ``before`` on."""
    rows = campaigns_table.page(connection, tenant_id, before=before, limit=limit, status=status)
    return _standings(connection, tenant_id, rows) if rows else []


def unconfirmed_batch(connection: Connection, tenant_id: int, message_id: int) -> int | None:
    """The batch of a single message that is unconfirmed; None if the message is not.

    Raises:
        NotFoundError: this tenant has no single message with this id.
    """
    row = connection.execute(
        select(messages.c.batch_id, batches.c.status)
        .join(batches, batches.c.id == messages.c.batch_id)
        .where(
            messages.c.id == message_id,
            messages.c.tenant_id == tenant_id,
            messages.c.campaign_id.is_(None),
        )
    ).first()
    if row is None:
        raise NotFoundError("single message", message_id)
    return row.batch_id if row.status == BatchStatus.UNCONFIRMED else None


def _standings(connection: Connection, tenant_id: int, rows: list[AnyRow]) -> list[Standing]:
    tenant = connection.execute(select(tenants).where(tenants.c.id == tenant_id)).one()
    account_ids = {row.account_id for row in rows}
    accounts = {
        row.id: row
        for row in connection.execute(
            select(traffic_accounts).where(traffic_accounts.c.id.in_(account_ids))
        )
    }
    at = now(connection)
    return [
        Standing(row, tenant, accounts[row.account_id], at, **_queue(connection, row))
        for row in rows
    ]


def _queue(connection: Connection, campaign: AnyRow) -> dict[str, Any]:
    if campaign.status != CampaignStatus.SENDING:
        return {}
    lane = {
        "account": campaign.account_id,
        "tenant": campaign.tenant_id,
        "campaign": campaign.id,
    }
    following = connection.execute(_NEXT, lane).first()
    in_hand = connection.execute(_IN_HAND, {"campaign": campaign.id}).scalar_one()
    return {
        "due_at": following.due_at if following else None,
        "error": following.error if following else None,
        "in_hand": bool(in_hand),
    }


_NEXT = (
    select(batches.c.due_at, batches.c.error)
    .where(
        batches.c.account_id == bindparam("account"),
        batches.c.tenant_id == bindparam("tenant"),
        batches.c.campaign_id == bindparam("campaign"),
        batches.c.status == BatchStatus.QUEUED,
    )
    .order_by(batches.c.due_at, batches.c.id)
    .limit(1)
)
_IN_HAND = select(func.count()).where(
    batches.c.campaign_id == bindparam("campaign"),
    batches.c.status.in_((BatchStatus.RESERVED, BatchStatus.SUBMITTING)),
)
