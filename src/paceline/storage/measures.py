"""What an operator watches, measured on one snapshot.

Only what is under way is counted, by way of the indexes that dispatching uses: a scrape must cost
the same after a year of finished campaigns as on the first day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, case, exists, func, or_, select

from paceline.domain import limits
from paceline.domain.campaign import CampaignStatus
from paceline.domain.limits import Limit, Window
from paceline.domain.message import UNFINISHED, BatchStatus
from paceline.storage import doubt
from paceline.storage.database import AnyRow, now
from paceline.storage.limits import Pacing, limit_of
from paceline.storage.schema import (
    batches,
    campaigns,
    lanes,
    receipts,
    tenants,
    traffic_accounts,
)


@dataclass(frozen=True, slots=True)
class AccountMeasures:
    """One traffic account. ``closed`` includes the time in which the breaker probes it; ``used`` is
    the share of its window that is taken, 0 to 1.
    """

    id: int
    held: bool
    closed: bool
    used: float


@dataclass(frozen=True, slots=True)
class Measures:
    """The installation at one moment."""

    batches: Mapping[str, int]
    campaigns: Mapping[str, int]
    oldest_queued_ms: int
    """For how long the batch that waits longest could have gone; what is paused does not wait."""
    unconfirmed: int
    """Messages in doubt."""
    receipts: int
    accounts: tuple[AccountMeasures, ...]
    tenant_used: float
    """The fullest window among the tenants that have batches queued, 0 to 1."""


def measure(connection: Connection, pacing: Pacing) -> Measures:
    """Measure everything; ``pacing`` has the limits of those who have none of their own."""
    at = now(connection)
    queued, oldest = connection.execute(_QUEUE).one()
    leased = _by_status(connection, _LEASED)
    unconfirmed = sum(connection.execute(each).scalar_one() for each in _UNCONFIRMED_BATCHES)
    in_doubt = sum(connection.execute(each).scalar_one() for each in _IN_DOUBT)
    by_status = _by_status(connection, _CAMPAIGNS)
    return Measures(
        batches={status: leased.get(status, 0) for status in UNFINISHED}
        | {BatchStatus.QUEUED: queued, BatchStatus.UNCONFIRMED: unconfirmed},
        campaigns={status: by_status.get(status, 0) for status in CampaignStatus},
        oldest_queued_ms=0 if oldest is None else max(at - oldest, 0),
        unconfirmed=in_doubt,
        receipts=connection.execute(_RECEIPTS).scalar_one(),
        accounts=tuple(_account(row, pacing, at) for row in connection.execute(_ACCOUNTS)),
        tenant_used=max(
            (_used(row, pacing.tenant, at) for row in connection.execute(_TENANTS_WITH_WORK)),
            default=0.0,
        ),
    )


def _by_status(connection: Connection, counts: Select[Any]) -> dict[str, int]:
    return {row.status: row.n for row in connection.execute(counts)}


def _account(row: AnyRow, pacing: Pacing, at: int) -> AccountMeasures:
    closed = row.failures > 0 or (row.closed_until is not None and row.closed_until > at)
    return AccountMeasures(row.id, row.held_at is not None, closed, _used(row, pacing.account, at))


def _used(row: AnyRow, default: Limit, at: int) -> float:
    limit = limit_of(row, default)
    return 1 - limits.free(Window.decode(row.grants), limit, at) / limit.max


_QUEUED = batches.c.status == BatchStatus.QUEUED
_MAY_GO = or_(
    batches.c.campaign_id.is_(None),
    and_(campaigns.c.status == CampaignStatus.SENDING, campaigns.c.rate_max.is_(None)),
)
"""What has a speed of its own waits because it is to."""
_SINCE = case((batches.c.due_at > 0, batches.c.due_at), else_=batches.c.created_at)
_QUEUE = (
    select(func.count(), func.min(case((_MAY_GO, _SINCE))))
    .select_from(batches.outerjoin(campaigns, campaigns.c.id == batches.c.campaign_id))
    .where(_QUEUED)
)
_LEASED = (
    select(batches.c.status, func.count().label("n"))
    .where(batches.c.lease_until.is_not(None))
    .group_by(batches.c.status)
)
_SINGLE = batches.c.campaign_id.is_(None)
_OF_DOUBTFUL_CAMPAIGN = batches.c.campaign_id.in_(
    select(campaigns.c.id).where(campaigns.c.unconfirmed > 0)
)
# Two counts each, since with an OR no index would serve.
_UNCONFIRMED_BATCHES = tuple(
    select(func.count()).where(whose, batches.c.status == BatchStatus.UNCONFIRMED)
    for whose in (_SINGLE, _OF_DOUBTFUL_CAMPAIGN)
)
_IN_DOUBT = (
    select(func.coalesce(func.sum(campaigns.c.unconfirmed), 0)),
    doubt.SINGLES_IN_DOUBT,
)
_CAMPAIGNS = select(campaigns.c.status, func.count().label("n")).group_by(campaigns.c.status)
_RECEIPTS = select(func.count()).select_from(receipts)
_ACCOUNTS = select(
    traffic_accounts.c.id,
    traffic_accounts.c.held_at,
    traffic_accounts.c.closed_until,
    traffic_accounts.c.failures,
    traffic_accounts.c.grants,
    traffic_accounts.c.rate_max,
    traffic_accounts.c.rate_window_ms,
).order_by(traffic_accounts.c.id)
_TENANTS_WITH_WORK = select(tenants.c.grants, tenants.c.rate_max, tenants.c.rate_window_ms).where(
    tenants.c.id.in_(
        select(lanes.c.tenant_id).where(
            exists().where(
                batches.c.account_id == lanes.c.account_id,
                batches.c.tenant_id == lanes.c.tenant_id,
                _QUEUED,
            )
        )
    )
)
