"""Whose turn it is: reservations, lane by lane (the rule itself is ``domain.fairness``)."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    and_,
    bindparam,
    exists,
    func,
    null,
    or_,
    select,
    union_all,
    update,
)

from paceline.domain import limits
from paceline.domain.campaign import CampaignStatus
from paceline.domain.fairness import Lane, next_lane, served
from paceline.domain.limits import Limit, Window
from paceline.domain.message import BatchStatus
from paceline.storage.batches import BLOCK, ReservedBatch, due, queued
from paceline.storage.database import AnyRow, now
from paceline.storage.limits import Pacing, Strategy, limit_of
from paceline.storage.schema import batches, campaigns, lanes, tenants, traffic_accounts

LOOKAHEAD_MS = 200
"""A batch is reserved when a permit for it will be free within this time, so that it waits at the
gate, rendered, when the window opens; and no longer, so that it never keeps a place from a lane
whose windows are open."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """What there was to do; ``next_at`` is when there may be more, if the database knows."""

    batches: list[ReservedBatch]
    at: int
    next_at: int | None


def reserve(
    connection: Connection, *, want: int, lease_ms: int, pacing: Pacing, first_account: int = 0
) -> Reservation:
    """Reserve up to ``want`` batches, each from the lane whose turn it is.

    Args:
        connection: of a write transaction.
        want: how many the worker has hands for.
        lease_ms: after this long an unfinished reservation is void.
        pacing: the limits; under ``pace`` a lane whose window stays shut is passed over.
        first_account: where to begin among the accounts, so that a worker can go round.
    """
    reserved: list[ReservedBatch] = []
    later: list[int] = []
    at: int | None = None
    for position, account_id in enumerate(_accounts_with_work(connection, first_account)):
        # Only the first lock is waited for: workers go round from different ends, and who waited
        # with one account in hand could wait for ever. Whoever has the others serves them.
        lock = _LOCK_ACCOUNT if position == 0 else _TRY_ACCOUNT
        account = connection.execute(lock, {"account": account_id}).first()
        if account is None:
            continue
        turn = _Turns(connection, account, lease_ms, pacing)
        reserved += turn.take(want - len(reserved))
        later += turn.later
        at = turn.at
        if len(reserved) == want:
            break
    at = now(connection) if at is None else at
    if len(reserved) < want:
        later += _next_due(connection, at)
    return Reservation(reserved, at, min(later, default=None))


@dataclass(slots=True)
class _OpenLane:
    """A lane with work and room. What it has to send is what there was as the turns began."""

    lane: Lane
    room: int
    singles: bool
    campaigns: deque[int]
    """Ids, in the order of their turns."""
    last_campaign: int | None


class _Turns:
    """One account's turns, under the lock of its row."""

    def __init__(
        self, connection: Connection, account: AnyRow, lease_ms: int, pacing: Pacing
    ) -> None:
        self.connection = connection
        self.account = account
        self.at = now(connection)
        self.lease_until = self.at + lease_ms
        self.pacing = pacing
        self.later: list[int] = []

    def take(self, want: int) -> Iterator[ReservedBatch]:
        account = self.account
        if account.held_at is not None:
            return
        if account.closed_until is not None and account.closed_until > self.at:
            self.later.append(account.closed_until)
            return
        probing = account.failures > 0
        leased = self._leased()
        if probing and leased:
            return
        room = self._room(account, self.pacing.account, sum(leased.values()))
        want = min(want, room, 1 if probing else want)
        if want > 0:
            yield from self._go_round(want, leased, probing=probing)

    def _go_round(
        self, want: int, leased: dict[int, int], *, probing: bool
    ) -> Iterator[ReservedBatch]:
        turn = self.account.turn
        open_lanes = self._open_lanes(leased)
        served_lanes: dict[int, _OpenLane] = {}
        while want and (lane := next_lane((each.lane for each in open_lanes.values()), turn)):
            chosen = open_lanes[lane.tenant_id]
            batch = self._probe(chosen) if probing else self._pick(chosen)
            if batch is None:
                del open_lanes[lane.tenant_id]
                continue
            chosen.lane, turn = served(lane, turn, cost=1)
            served_lanes[lane.tenant_id] = chosen
            chosen.room -= 1
            if chosen.room == 0:
                del open_lanes[lane.tenant_id]
            want -= 1
            yield batch
        self._remember(turn, served_lanes.values())

    def _leased(self) -> dict[int, int]:
        """Batches by tenant that are reserved (pace) or in hand at all (probing)."""
        statuses = [BatchStatus.RESERVED]
        if self.account.failures > 0:
            statuses.append(BatchStatus.SUBMITTING)
        rows = self.connection.execute(_LEASED, {"account": self.account.id, "statuses": statuses})
        return {row.tenant_id: row.n for row in rows}

    def _room(self, row: Any, default: Limit, reserved: int) -> int:
        """How many more batches may soon pass this row's window."""
        if self.pacing.strategy is Strategy.BACKOFF:
            return BLOCK
        window, limit = Window.decode(row.grants), limit_of(row, default)
        soon = self.at + LOOKAHEAD_MS
        free = limits.free(window, limit, soon)
        room = free - reserved
        if room <= 0:
            if free > 0:  # those are for the reserved; what opens after them is the next
                window = limits.grant(window, limit, free, soon)
            self.later.append(max(limits.open_at(window, limit, soon) - LOOKAHEAD_MS, self.at + 1))
        return room

    def _open_lanes(self, leased: dict[int, int]) -> dict[int, _OpenLane]:
        """The lanes with work whose window has room, by tenant."""
        open_lanes: dict[int, _OpenLane] = {}
        work = self.connection.execute(_WORK, {"account": self.account.id, "at": self.at})
        for tenant_id, rows in groupby(work, key=lambda row: row.tenant_id):
            things = list(rows)
            lane = things[0]
            room = self._room(lane, self.pacing.tenant, leased.get(tenant_id, 0))
            if room > 0:
                campaign_ids = [row.campaign_id for row in things if row.campaign_id is not None]
                open_lanes[tenant_id] = _OpenLane(
                    Lane(tenant_id, lane.pass_),
                    room,
                    singles=len(campaign_ids) < len(things),
                    campaigns=_behind(lane.last_campaign_id or 0, campaign_ids),
                    last_campaign=lane.last_campaign_id,
                )
        return open_lanes

    def _pick(self, lane: _OpenLane) -> ReservedBatch | None:
        """Reserve the lane's next batch: single messages first, then campaigns in turn."""
        if lane.singles:
            if (batch := self._reserve(_RESERVE_SINGLE, lane)) is not None:
                return batch
            lane.singles = False
        while lane.campaigns:
            campaign = lane.campaigns[0]
            batch = self._reserve(_RESERVE_OF_CAMPAIGN, lane, campaign=campaign)
            if batch is not None:
                lane.campaigns.rotate(-1)
                lane.last_campaign = campaign
                return batch
            lane.campaigns.popleft()
        return None

    def _probe(self, lane: _OpenLane) -> ReservedBatch | None:
        batch = self._reserve(_RESERVE_PROBE, lane)
        if batch is not None:
            lane.last_campaign = batch.campaign_id or lane.last_campaign
        return batch

    def _reserve(self, statement: Any, lane: _OpenLane, **more: int) -> ReservedBatch | None:
        row = self.connection.execute(
            statement,
            {
                "account": self.account.id,
                "tenant": lane.lane.tenant_id,
                "at": self.at,
                "lease_until": self.lease_until,
                **more,
            },
        ).first()
        return None if row is None else ReservedBatch(*row)

    def _remember(self, turn: int, lanes_served: Collection[_OpenLane]) -> None:
        if not lanes_served:
            return
        self.connection.execute(_SET_TURN, {"account": self.account.id, "turn": turn})
        self.connection.execute(
            _SET_PASS,
            [
                {
                    "account": self.account.id,
                    "tenant": each.lane.tenant_id,
                    "pass_": each.lane.pass_,
                    "last_campaign": each.last_campaign,
                }
                for each in sorted(lanes_served, key=lambda each: each.lane.tenant_id)
            ],
        )


def _behind(last: int, campaign_ids: list[int]) -> deque[int]:
    """The campaigns in the order of their turns: those behind the last one served, then round."""
    ids = sorted(campaign_ids)
    return deque([i for i in ids if i > last] + [i for i in ids if i <= last])


def _accounts_with_work(connection: Connection, first: int) -> list[int]:
    """Accounts that have queued batches, from ``first`` on and then round."""
    ids = list(connection.execute(_ACCOUNTS_WITH_WORK).scalars())
    return [i for i in ids if i >= first] + [i for i in ids if i < first]


def _next_due(connection: Connection, at: int) -> list[int]:
    """When the next waiting retry is due, if one waits."""
    due_at = connection.execute(_NEXT_DUE, {"at": at}).scalar()
    return [] if due_at is None else [due_at]


_AT: BindParameter[int] = bindparam("at")
_ACCOUNT: BindParameter[int] = bindparam("account")
_TENANT: BindParameter[int] = bindparam("tenant")

_ACCOUNTS_WITH_WORK = (
    select(traffic_accounts.c.id)
    .where(
        exists().where(
            batches.c.account_id == traffic_accounts.c.id,
            queued(),
        )
    )
    .order_by(traffic_accounts.c.id)
)

_ONE_ACCOUNT = select(traffic_accounts).where(traffic_accounts.c.id == _ACCOUNT)
_LOCK_ACCOUNT = _ONE_ACCOUNT.with_for_update(key_share=True)
_TRY_ACCOUNT = _ONE_ACCOUNT.with_for_update(key_share=True, skip_locked=True)

_LEASED = (
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
    .limit(1)
    .scalar_subquery()
)
_FIRST_OF_CAMPAIGN = select(batches.c.id).where(_OF_CAMPAIGN_ROW, due(_AT)).limit(1)
_SINGLES = select(lanes.c.tenant_id, null().label("campaign_id")).where(
    lanes.c.account_id == _ACCOUNT, _FIRST_SINGLE.is_not(None)
)
_CAMPAIGNS = select(campaigns.c.tenant_id, campaigns.c.id).where(
    campaigns.c.account_id == _ACCOUNT,
    campaigns.c.status == CampaignStatus.SENDING,
    _FIRST_OF_CAMPAIGN.scalar_subquery().is_not(None),
)
_THINGS = union_all(_SINGLES, _CAMPAIGNS).subquery()
# A row for each thing that a lane can send: a campaign, or (without a campaign) single messages.
_WORK = (
    select(
        _THINGS.c.tenant_id,
        _THINGS.c.campaign_id,
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


def _reserve(*candidates: Any) -> Any:
    """Reserve the first of the candidate batches (scalar subqueries) that there is."""
    return (
        update(batches)
        .where(batches.c.id == func.coalesce(*candidates), queued())
        .values(
            status=BatchStatus.RESERVED,
            fence=batches.c.fence + 1,
            lease_until=bindparam("lease_until"),
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


def _first(*conditions: Any, order: tuple[Any, ...]) -> Any:
    return (
        select(_PICK.c.id)
        .where(
            _PICK.c.account_id == _ACCOUNT,
            _PICK.c.tenant_id == _TENANT,
            queued(_PICK),
            *conditions,
        )
        .order_by(*order)
        .limit(1)
        .scalar_subquery()
    )


_OLDEST = (_PICK.c.due_at, _PICK.c.id)

_RESERVE_SINGLE = _reserve(
    _first(_PICK.c.campaign_id.is_(None), _PICK.c.due_at <= _AT, order=_OLDEST), None
)

# Retries that are due first: they have waited their time, and fresh batches may be many.
_RESERVE_OF_CAMPAIGN = _reserve(
    _first(
        _PICK.c.campaign_id == bindparam("campaign"),
        _PICK.c.due_at > 0,
        _PICK.c.due_at <= _AT,
        order=_OLDEST,
    ),
    _first(_PICK.c.campaign_id == bindparam("campaign"), _PICK.c.due_at == 0, order=_OLDEST),
)

# After failures: the due batch with the fewest tries goes ahead, so that an outage spreads its
# failed tries over many batches instead of using up those of a few.
_RESERVE_PROBE = _reserve(
    _first(
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
    ),
    None,
)

_SET_TURN = (
    update(traffic_accounts).where(traffic_accounts.c.id == _ACCOUNT).values(turn=bindparam("turn"))
)
_SET_PASS = (
    update(lanes)
    .where(lanes.c.account_id == _ACCOUNT, lanes.c.tenant_id == _TENANT)
    .values({"pass": bindparam("pass_"), "last_campaign_id": bindparam("last_campaign")})
)
_NEXT_DUE = select(func.min(batches.c.due_at)).where(queued(), batches.c.due_at > _AT)
