"""What is queued on a traffic account, and what its calls go through: what an estimate needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BindParameter, Connection, and_, bindparam, func, or_, select

from paceline.domain.campaign import CampaignStatus
from paceline.domain.outcome import OutcomeKind
from paceline.storage.batches import queued
from paceline.storage.database import AnyRow, now
from paceline.storage.schema import (
    account_turns,
    attempts,
    batches,
    campaigns,
    lanes,
    tenants,
    traffic_accounts,
)

_RECENT_ATTEMPTS = 1_000
"""The newest ones of all accounts, among which an account's own are looked for."""


@dataclass(slots=True)
class LaneQueue:
    """What one tenant has to send on the account."""

    row: Any
    """``tenant_id``, ``pass_``, and the tenant's ``grants``, ``rate_max``, ``rate_window_ms``."""
    batches: list[int] = field(default_factory=list)
    """Queued batches of each campaign that is sending, and of single messages together."""
    unwritten: list[int] = field(default_factory=list)
    """Recipients of campaigns whose launch has not come to them yet."""


@dataclass(frozen=True, slots=True)
class AccountQueue:
    """What is queued on one account, at one moment."""

    account: AnyRow
    """All its columns, and its ``turn``."""
    lanes: Sequence[LaneQueue]
    """Of all tenants with work, and of the one that asks."""
    at: int
    call_ms: float | None
    """How long its last calls took on average; None: there were none lately."""
    own: Own
    """What the campaign has that was asked for; it is not among the lanes."""


@dataclass(slots=True)
class Own:
    """Queued batches of one campaign, and recipients whom its launch has not come to yet."""

    batches: int = 0
    unwritten: int = 0


def of_account(
    connection: Connection, account_id: int, tenant_id: int, campaign_id: int | None = None
) -> AccountQueue:
    """What waits on an account.

    Args:
        connection: of a read.
        account_id: which one.
        tenant_id: who asks; has a lane in the answer even with nothing queued.
        campaign_id: one that is told apart from all others.
    """
    account = connection.execute(_ACCOUNT_ROW, {"account": account_id}).one()
    own = Own()
    waiting: dict[int, list[int]] = defaultdict(list)
    for row in connection.execute(_QUEUED, {"account": account_id}):
        if campaign_id is not None and row.campaign_id == campaign_id:
            own.batches = row.n
        else:
            waiting[row.tenant_id].append(row.n)
    unwritten: dict[int, list[int]] = defaultdict(list)
    for row in connection.execute(_LAUNCHING, {"account": account_id}):
        if row.id == campaign_id:
            own.unwritten = row.n
        else:
            unwritten[row.tenant_id].append(row.n)
    ids = sorted({*waiting, *unwritten, tenant_id})
    rows = connection.execute(_LANES, {"account": account_id, "tenants": ids})
    found = [LaneQueue(row, waiting[row.tenant_id], unwritten[row.tenant_id]) for row in rows]
    newest = connection.execute(_NEWEST).scalar() or 0
    recent = {"account": account_id, "after": newest - _RECENT_ATTEMPTS}
    took = connection.execute(_TOOK, recent).scalar()
    call_ms = None if took is None else float(took)
    return AccountQueue(account, found, now(connection), call_ms, own)


_ACCOUNT: BindParameter[int] = bindparam("account")
_ACCOUNT_ROW = (
    select(traffic_accounts, account_turns.c.turn)
    .join(account_turns, account_turns.c.account_id == traffic_accounts.c.id)
    .where(traffic_accounts.c.id == _ACCOUNT)
)
_QUEUED = (
    select(batches.c.tenant_id, batches.c.campaign_id, func.count().label("n"))
    .outerjoin(campaigns, campaigns.c.id == batches.c.campaign_id)
    .where(
        batches.c.account_id == _ACCOUNT,
        queued(),
        or_(batches.c.campaign_id.is_(None), campaigns.c.status == CampaignStatus.SENDING),
    )
    .group_by(batches.c.tenant_id, batches.c.campaign_id)
)
_LAUNCHING = select(
    campaigns.c.id, campaigns.c.tenant_id, (campaigns.c.audience - campaigns.c.total).label("n")
).where(
    campaigns.c.account_id == _ACCOUNT,
    campaigns.c.status == CampaignStatus.SENDING,
    campaigns.c.launching,
    campaigns.c.audience > campaigns.c.total,
)
_LANES = (
    select(
        tenants.c.id.label("tenant_id"),
        func.coalesce(lanes.c["pass"], 0).label("pass_"),
        tenants.c.grants,
        tenants.c.rate_max,
        tenants.c.rate_window_ms,
    )
    .outerjoin(lanes, and_(lanes.c.tenant_id == tenants.c.id, lanes.c.account_id == _ACCOUNT))
    .where(tenants.c.id.in_(bindparam("tenants", expanding=True)))
    .order_by(tenants.c.id)
)
_NEWEST = select(func.max(attempts.c.id))
_TOOK = select(func.avg(attempts.c.finished_at - attempts.c.started_at)).where(
    attempts.c.id > bindparam("after"),
    attempts.c.account_id == _ACCOUNT,
    attempts.c.finished_at.is_not(None),
    attempts.c.outcome.in_((OutcomeKind.ANSWERED, OutcomeKind.REJECTED)),
)
