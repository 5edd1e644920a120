"""Where campaigns stand: everything that is shown of one, read by one statement.

Many clients poll it while the machine is busy sending, and then each statement more is a wait more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, Label, Table, bindparam, select

from paceline.domain.campaign import CampaignStatus
from paceline.domain.errors import NotFoundError
from paceline.domain.message import BatchStatus
from paceline.storage import campaigns as campaigns_table
from paceline.storage.among import among
from paceline.storage.batches import queued
from paceline.storage.database import READ_AT, AnyRow, read_at
from paceline.storage.schema import batches, campaigns, messages, tenants, traffic_accounts


@dataclass(frozen=True, slots=True)
class Standing:
    """A campaign's row and what decides what it waits for."""

    campaign: AnyRow
    """All its columns, and more."""
    tenant: Any
    """Its ``grants``, ``rate_max`` and ``rate_window_ms``."""
    account: Any
    """The same and its ``name``, ``held_at``, ``held_why``, ``closed_until``, ``closed_why``."""
    at: int
    """The moment of the snapshot."""
    due_at: int | None = None
    """When its next queued batch may go; None: nothing is queued, or it is not sending."""
    error: str | None = None
    """What befell that batch at its last try."""
    in_hand: bool = False
    """A worker has one of its batches."""
    waits_for: str | None = None
    """The other time of the day that its next batch waits for, if it does (``WaitsFor``)."""


def of(connection: Connection, tenant_id: int, campaign_id: int) -> Standing:
    """One campaign's standing.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    standings = _standings(connection, tenant_id, [campaign_id])
    if not standings:
        raise NotFoundError("campaign", campaign_id)
    return standings[0]


def page(
    connection: Connection,
    tenant_id: int,
    *,
    before: int | None = None,
    limit: int = 50,
    status: str | None = None,
    name: str | None = None,
) -> list[Standing]:
    """A tenant's campaigns; arguments as ``campaigns.page``."""
    rows = campaigns_table.page(
        connection, tenant_id, before=before, limit=limit, status=status, name=name
    )
    return _standings(connection, tenant_id, [row.id for row in rows]) if rows else []


def those(connection: Connection, tenant_id: int, ids: list[int]) -> list[Standing]:
    """These of a tenant's campaigns, newest first."""
    return _standings(connection, tenant_id, ids) if ids else []


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


def _standings(connection: Connection, tenant_id: int, ids: list[int]) -> list[Standing]:
    """Those of a tenant's campaigns, newest first."""
    rows = connection.execute(_SHOWN, {"tenant": tenant_id, "ids": ids}).all()
    return [
        Standing(
            row,
            _part(row, "tenant", _OF_TENANT),
            _part(row, "account", _OF_ACCOUNT),
            read_at(connection, row),
            due_at=row.next_due_at,
            error=row.next_error,
            in_hand=bool(row.in_hand),
            waits_for=row.next_waits_for,
        )
        for row in rows
    ]


def _part(row: AnyRow, whose: str, columns: Sequence[str]) -> SimpleNamespace:
    return SimpleNamespace(**{name: getattr(row, f"its_{whose}_{name}") for name in columns})


def _labelled(table: Table, whose: str, columns: Sequence[str]) -> list[Label[Any]]:
    return [table.c[name].label(f"its_{whose}_{name}") for name in columns]


_OF_TENANT = ("grants", "rate_max", "rate_window_ms")
_OF_ACCOUNT = (*_OF_TENANT, "name", "held_at", "held_why", "closed_until", "closed_why")
_SENDING = campaigns.c.status == CampaignStatus.SENDING
_queued = batches.alias("queued")
_NEXT = (
    select(_queued.c.id)
    .where(
        _SENDING,
        _queued.c.account_id == campaigns.c.account_id,
        _queued.c.tenant_id == campaigns.c.tenant_id,
        _queued.c.campaign_id == campaigns.c.id,
        queued(_queued),
    )
    .order_by(_queued.c.due_at, _queued.c.id)
    .limit(1)
    .correlate(campaigns)
    .scalar_subquery()
)
_IN_HAND = (
    select(batches.c.id)
    .where(
        _SENDING,
        batches.c.campaign_id == campaigns.c.id,
        batches.c.status.in_((BatchStatus.RESERVED, BatchStatus.SUBMITTING)),
    )
    .correlate(campaigns)
    .exists()
)
_found = (
    select(
        campaigns,
        *_labelled(tenants, "tenant", _OF_TENANT),
        *_labelled(traffic_accounts, "account", _OF_ACCOUNT),
        _NEXT.label("next_id"),
        _IN_HAND.label("in_hand"),
    )
    .join(tenants, tenants.c.id == campaigns.c.tenant_id)
    .join(traffic_accounts, traffic_accounts.c.id == campaigns.c.account_id)
    .where(campaigns.c.tenant_id == bindparam("tenant"), among(campaigns.c.id, "ids"))
    .offset(0)
    .subquery()
)
_following = batches.alias("following")
# The next batch is joined by a plain column: with row-level security PostgreSQL looks nothing up by
# what it has yet to work out, but reads all of a tenant's batches instead.
_SHOWN = (
    select(
        _found,
        _following.c.due_at.label("next_due_at"),
        _following.c.error.label("next_error"),
        _following.c.waits_for.label("next_waits_for"),
        READ_AT,
    )
    .outerjoin(_following, _following.c.id == _found.c.next_id)
    .order_by(_found.c.id.desc())
)
