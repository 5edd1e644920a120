"""Finding and reserving what there is to send: the statements of ``turns``.

They look at queued batches by the index that is made for it, and only at the first of each kind,
however many there are.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    and_,
    bindparam,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
    union_all,
    update,
)

from paceline.domain.campaign import CampaignStatus
from paceline.domain.message import BatchStatus
from paceline.storage.among import among, among_those
from paceline.storage.batches import due, queued
from paceline.storage.database import READ_AT
from paceline.storage.schema import (
    account_turns,
    batches,
    campaigns,
    lanes,
    tenants,
    traffic_accounts,
)

_AT: BindParameter[int] = bindparam("at")
_ACCOUNT: BindParameter[int] = bindparam("account")
_TENANT: BindParameter[int] = bindparam("tenant")

# Here and below: the first by the order of the index. Without an order PostgreSQL may think that
# one is found soon anyhow, and read the batches of all other tenants before it is.
_FIRST_OF_ACCOUNT = (
    select(batches.c.id)
    .where(batches.c.account_id == traffic_accounts.c.id, queued())
    .order_by(batches.c.tenant_id, batches.c.campaign_id, batches.c.due_at, batches.c.id)
    .limit(1)
    .scalar_subquery()
)
_NEXT_ACCOUNT = (
    select(traffic_accounts, account_turns.c.turn, READ_AT)
    .join(account_turns, account_turns.c.account_id == traffic_accounts.c.id)
    .where(
        _FIRST_OF_ACCOUNT.is_not(None),
        not_(among(traffic_accounts.c.id, "seen")),
    )
    .order_by(traffic_accounts.c.id < bindparam("first"), traffic_accounts.c.id)
    .limit(1)
)
"""Has queued batches; from the first on and then round."""
LOCK_ACCOUNT = _NEXT_ACCOUNT.with_for_update(of=account_turns)
TRY_ACCOUNT = _NEXT_ACCOUNT.with_for_update(of=account_turns, skip_locked=True)

LEASED = (
    select(batches.c.tenant_id, func.count().label("n"))
    .where(
        batches.c.account_id == _ACCOUNT,
        batches.c.lease_until.is_not(None),
        batches.c.status.in_(bindparam("statuses", expanding=True)),
    )
    .group_by(batches.c.tenant_id)
)

_OF_CAMPAIGN_ROW = and_(
    batches.c.account_id == campaigns.c.account_id,
    batches.c.tenant_id == campaigns.c.tenant_id,
    batches.c.campaign_id == campaigns.c.id,
)

# One look at the index for each lane and each campaign: an EXISTS may become a join that reads all
# that is queued. By way of the campaigns, so that a paused one costs one look, not one per batch.
_FIRST_SINGLE = (
    select(batches.c.id)
    .where(
        batches.c.account_id == lanes.c.account_id,
        batches.c.tenant_id == lanes.c.tenant_id,
        batches.c.campaign_id.is_(None),
        due(_AT),
    )
    .order_by(batches.c.campaign_id, batches.c.due_at, batches.c.id)
    .limit(1)
    .scalar_subquery()
)
_FIRST_OF_CAMPAIGN = (
    select(batches.c.id)
    .where(_OF_CAMPAIGN_ROW, due(_AT))
    .order_by(batches.c.due_at, batches.c.id)
    .limit(1)
)
_SINGLES = select(
    lanes.c.tenant_id,
    null().label("campaign_id"),
    null().label("own_rate_max"),
    null().label("own_rate_window_ms"),
    null().label("own_grants"),
).where(lanes.c.account_id == _ACCOUNT, _FIRST_SINGLE.is_not(None))
_CAMPAIGNS = select(
    campaigns.c.tenant_id,
    campaigns.c.id,
    campaigns.c.rate_max,
    campaigns.c.rate_window_ms,
    campaigns.c.grants,
).where(
    campaigns.c.account_id == _ACCOUNT,
    campaigns.c.status == CampaignStatus.SENDING,
    _FIRST_OF_CAMPAIGN.scalar_subquery().is_not(None),
)
_THINGS = union_all(_SINGLES, _CAMPAIGNS).subquery()
# A row for each thing that a lane can send: a campaign, or (without a campaign) single messages.
WORK = (
    select(
        _THINGS.c.tenant_id,
        _THINGS.c.campaign_id,
        _THINGS.c.own_rate_max,
        _THINGS.c.own_rate_window_ms,
        _THINGS.c.own_grants,
        lanes.c["pass"].label("pass_"),
        lanes.c.last_campaign_id,
        tenants.c.grants,
        tenants.c.rate_max,
        tenants.c.rate_window_ms,
    )
    .join(lanes, and_(lanes.c.tenant_id == _THINGS.c.tenant_id, lanes.c.account_id == _ACCOUNT))
    .join(tenants, tenants.c.id == _THINGS.c.tenant_id)
    .order_by(_THINGS.c.tenant_id)
)

RESERVED_OF = select(func.count()).where(
    batches.c.campaign_id == bindparam("campaign"), batches.c.status == BatchStatus.RESERVED
)

FOLLOW_THE_INDEX = select(
    *(
        func.set_config(f"enable_{way}", "off", True)
        for way in ("sort", "incremental_sort", "hashjoin", "mergejoin", "bitmapscan")
    )
)
"""For PostgreSQL, until the transaction ends. It keeps the plan that it made for a statement at its
first executions, of what was queued then and of what it knew of the table; with little queued, or
before the first ANALYZE, it is as good to read all that a campaign has and sort it. Later it is
not."""


def _reserving(picked: Any) -> Any:
    """Reserve the batches whose ids a query picks, where they are still queued: asked in words
    that no index answers, so that they are found by id.
    """
    still_queued = batches.c.status.concat("") == literal_column(f"'{BatchStatus.QUEUED}'")
    return (
        update(batches)
        .where(among_those(batches.c.id, picked), still_queued)
        .values(
            status=BatchStatus.RESERVED,
            fence=batches.c.fence + 1,
            lease_until=bindparam("lease_until"),
            waits_for=None,
            updated_at=_AT,
        )
        .returning(  # the fields of ReservedBatch
            batches.c.id,
            batches.c.tenant_id,
            batches.c.account_id,
            batches.c.campaign_id,
            batches.c.fence,
            batches.c.generation,
            batches.c.seen_opt_outs,
        )
    )


_PICK = batches.alias("pick")


def _first(most: int, *conditions: Any, order: tuple[Any, ...]) -> Any:
    """The first so many batches of the lane. The number stands in the statement, or PostgreSQL
    would have to plan for a tenth of all that is queued.
    """
    return (
        select(_PICK.c.id, _PICK.c.due_at)
        .where(
            _PICK.c.account_id == _ACCOUNT,
            _PICK.c.tenant_id == _TENANT,
            queued(_PICK),
            *conditions,
        )
        .order_by(*order)
        .limit(literal_column(str(most)))
        .subquery()
    )


_OLDEST = (_PICK.c.due_at, _PICK.c.id)


@cache
def reserve_singles(most: int) -> Any:
    order = (_PICK.c.campaign_id, *_OLDEST)  # all of them NULL, but it is the order of the index
    singles = _first(most, _PICK.c.campaign_id.is_(None), _PICK.c.due_at <= _AT, order=order)
    return _reserving(select(singles.c.id))


@cache
def reserve_of_campaign(most: int) -> Any:
    """Retries that are due first: they have waited their time, and fresh batches may be many."""
    of_campaign = _PICK.c.campaign_id == bindparam("campaign")
    retries = _first(most, of_campaign, _PICK.c.due_at > 0, _PICK.c.due_at <= _AT, order=_OLDEST)
    fresh = _first(most, of_campaign, _PICK.c.due_at == 0, order=_OLDEST)
    both = union_all(
        select(retries.c.id, literal_column("0").label("rank"), retries.c.due_at),
        select(fresh.c.id, literal_column("1").label("rank"), fresh.c.due_at),
    ).subquery()
    return _reserving(
        select(both.c.id)
        .order_by(both.c.rank, both.c.due_at, both.c.id)
        .limit(literal_column(str(most)))
    )


# After failures: the due batch with the fewest tries goes ahead, so that an outage spreads its
# failed tries over many batches instead of using up those of a few.
_PROBES = _first(
    1,
    _PICK.c.due_at <= _AT,
    or_(
        _PICK.c.campaign_id.is_(None),
        _PICK.c.campaign_id.in_(
            select(campaigns.c.id).where(
                campaigns.c.account_id == _ACCOUNT,
                campaigns.c.tenant_id == _TENANT,
                campaigns.c.status == CampaignStatus.SENDING,
            )
        ),
    ),
    order=(_PICK.c.tries, _PICK.c.due_at, _PICK.c.id),
)
RESERVE_PROBE = _reserving(select(_PROBES.c.id))

SET_TURN = (
    update(account_turns)
    .where(account_turns.c.account_id == _ACCOUNT)
    .values(turn=bindparam("turn"))
)
SET_PASS = (
    update(lanes)
    .where(lanes.c.account_id == _ACCOUNT, lanes.c.tenant_id == _TENANT)
    .values({"pass": bindparam("pass_"), "last_campaign_id": bindparam("last_campaign")})
)
NEXT_DUE = select(func.min(batches.c.due_at)).where(queued(), batches.c.due_at > _AT)
