"""The intent: both permits and the attempt, written down before the call, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import Connection, bindparam, insert, select, update

from paceline.domain import limits
from paceline.domain.campaign import CampaignStatus
from paceline.domain.limits import Denied, Window
from paceline.domain.message import BatchStatus
from paceline.storage.batches import Attempt, LostReservationError, ReservedBatch, give_back
from paceline.storage.database import AnyRow, now
from paceline.storage.limits import Pacing, limit_of
from paceline.storage.opt_outs import newly_suppressed
from paceline.storage.schema import (
    attempts,
    batches,
    campaigns,
    tenants,
    traffic_accounts,
)


@dataclass(frozen=True, slots=True)
class Wait:
    """A window is full. ``for_ms`` from now a permit will be free in both, if nobody takes it."""

    for_ms: int
    denied: Denied


@dataclass(frozen=True, slots=True)
class Stale:
    """Recipients opted out since the batch was checked: ``opt_outs.drop`` them, then again."""


@dataclass(frozen=True, slots=True)
class Gone:
    """There is nothing to send any more, or not now; the batch is where it belongs."""

    why: str


Intent: TypeAlias = Attempt | Wait | Stale | Gone


def intend(
    connection: Connection,
    batch: ReservedBatch,
    *,
    size: int,
    pacing: Pacing,
    lease_ms: int,
    worker: str,
    monotonic: Callable[[], float],
) -> Intent:
    """Take one permit of both windows and write the attempt, under every lock it depends on.

    Locks in the order of the house: campaign (shared) → tenant → account → batch.

    Args:
        connection: of a write transaction.
        batch: as reserved.
        size: how many messages the rendered call holds.
        pacing: the limits and what a full window means.
        lease_ms: after this long without a result the attempt is in doubt.
        worker: who makes the call.
        monotonic: read just before the database's clock; the permit's life counts from it.

    Raises:
        LostReservationError: the batch is no longer ours.
    """
    if (why := _not_sending(connection, batch)) is not None:
        return _gone(connection, batch, why)
    tenant = connection.execute(_LOCK_TENANT, {"tenant": batch.tenant_id}).one()
    # A statement after the tenant's lock: in the one that takes it PostgreSQL would still read the
    # suppressions as they were before.
    if tenant.opt_outs != batch.seen_opt_outs and newly_suppressed(connection, batch):
        return Stale()
    account = connection.execute(_LOCK_ACCOUNT, {"account": batch.account_id}).one()
    if account.held_at is not None:
        return _gone(connection, batch, "account held")
    tenant_limit = limit_of(tenant, pacing.tenant)
    account_limit = limit_of(account, pacing.account)
    started = monotonic()
    at = now(connection)
    if account.closed_until is not None and account.closed_until > at:
        return _gone(connection, batch, "account closed")
    granted = limits.take(
        (Window.decode(tenant.grants), tenant_limit),
        (Window.decode(account.grants), account_limit),
        wanted=1,
        now=at,
    )
    if isinstance(granted, Denied):
        _keep_restamped(connection, batch, tenant, account, granted)
        return Wait(max(granted.open_at - at, 1), granted)
    valid_ms = min(tenant_limit.margin_ms, account_limit.margin_ms) // 2
    connection.execute(
        _SPEND_TENANT, {"tenant": batch.tenant_id, "window": granted.tenant.encode()}
    )
    connection.execute(
        _SPEND_ACCOUNT, {"account": batch.account_id, "window": granted.account.encode()}
    )
    if (
        connection.execute(
            _SUBMITTING,
            {"batch": batch.id, "held": batch.fence, "now": at, "lease": at + lease_ms},
        ).rowcount
        == 0
    ):
        raise LostReservationError(batch.id)
    attempt_id = connection.execute(
        _WRITE_ATTEMPT,
        {
            "tenant_id": batch.tenant_id,
            "account_id": batch.account_id,
            "campaign_id": batch.campaign_id,
            "batch_id": batch.id,
            "fence": batch.fence,
            "generation": batch.generation,
            "size": size,
            "worker": worker,
            "started_at": at,
            "send_by": at + valid_ms,
        },
    ).scalar_one()
    return Attempt(attempt_id, batch, at, started + valid_ms / 1000)


def _keep_restamped(
    connection: Connection, batch: ReservedBatch, tenant: AnyRow, account: AnyRow, denied: Denied
) -> None:
    """Store windows that were restamped because the clock was set back."""
    if (window := denied.tenant.encode()) != tenant.grants:
        connection.execute(_SPEND_TENANT, {"tenant": batch.tenant_id, "window": window})
    if (window := denied.account.encode()) != account.grants:
        connection.execute(_SPEND_ACCOUNT, {"account": batch.account_id, "window": window})


def _not_sending(connection: Connection, batch: ReservedBatch) -> str | None:
    """Why the campaign's batches may not go out, if so; locks the campaign against a change."""
    if batch.campaign_id is None:
        return None
    status = connection.execute(_SHARE_CAMPAIGN, {"campaign": batch.campaign_id}).scalar_one()
    return None if status == CampaignStatus.SENDING else f"campaign {status}"


def _gone(connection: Connection, batch: ReservedBatch, why: str) -> Gone:
    give_back(connection, batch)
    return Gone(why)


_LOCK_TENANT = (
    select(tenants.c.grants, tenants.c.rate_max, tenants.c.rate_window_ms, tenants.c.opt_outs)
    .where(tenants.c.id == bindparam("tenant"))
    .with_for_update(key_share=True)
)
_LOCK_ACCOUNT = (
    select(
        traffic_accounts.c.grants,
        traffic_accounts.c.rate_max,
        traffic_accounts.c.rate_window_ms,
        traffic_accounts.c.closed_until,
        traffic_accounts.c.held_at,
    )
    .where(traffic_accounts.c.id == bindparam("account"))
    .with_for_update(key_share=True)
)
# KEY SHARE: holds off whoever changes the status (FOR UPDATE), and nobody who counts
# (FOR NO KEY UPDATE). Records of one campaign would keep its intents waiting otherwise.
_SHARE_CAMPAIGN = (
    select(campaigns.c.status)
    .where(campaigns.c.id == bindparam("campaign"))
    .with_for_update(read=True, key_share=True)
)
_SPEND_TENANT = (
    update(tenants).where(tenants.c.id == bindparam("tenant")).values(grants=bindparam("window"))
)
_SPEND_ACCOUNT = (
    update(traffic_accounts)
    .where(traffic_accounts.c.id == bindparam("account"))
    .values(grants=bindparam("window"))
)
_SUBMITTING = (
    update(batches)
    .where(
        batches.c.id == bindparam("batch"),
        batches.c.fence == bindparam("held"),
        batches.c.status == BatchStatus.RESERVED,
    )
    .values(
        status=BatchStatus.SUBMITTING,
        lease_until=bindparam("lease"),
        updated_at=bindparam("now"),
    )
)
_WRITE_ATTEMPT = insert(attempts).returning(attempts.c.id)
