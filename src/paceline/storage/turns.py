"""Whose turn it is: reservations, lane by lane (the rule itself is ``domain.fairness``)."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from types import SimpleNamespace
from typing import Any, TypeAlias

from sqlalchemy import Connection

from paceline.domain import limits
from paceline.domain.fairness import Lane, credit_of, next_lane, served
from paceline.domain.limits import Limit, Whose, Window
from paceline.domain.message import BatchStatus
from paceline.storage import work
from paceline.storage.batches import BLOCK, ReservedBatch
from paceline.storage.database import AnyRow, is_postgres, now, read_at
from paceline.storage.limits import Pacing, Strategy, limit_of, speed_of

LOOKAHEAD_MS = 200
"""A batch is reserved when a permit for it will be free within this time, so that it waits at the
gate, rendered, when the window opens; and no longer, so that it never keeps a place from a lane
whose windows are open."""


@dataclass(frozen=True, slots=True)
class Opening:
    """When a batch's permit will be free, if those that were reserved before take theirs first."""

    at: int
    held_by: Whose


@dataclass(frozen=True, slots=True)
class Reservation:
    """What there was to do; ``next_at`` is when there may be more, if the database knows."""

    batches: list[ReservedBatch]
    at: int
    next_at: int | None
    openings: dict[int, Opening]
    """By batch id, of those that may not ask at once."""


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
    if is_postgres(connection):
        connection.execute(work.FOLLOW_THE_INDEX)
    reserved: list[ReservedBatch] = []
    later: list[int] = []
    seen: list[int] = []
    openings: dict[int, Opening] = {}
    at: int | None = None
    while len(reserved) < want:
        # Only the first lock is waited for: workers go round from different ends, and who waited
        # with one account in hand could wait for ever. Whoever has the others serves them.
        lock = work.TRY_ACCOUNT if seen else work.LOCK_ACCOUNT
        account = connection.execute(lock, {"first": first_account, "seen": seen}).first()
        if account is None:
            break
        turn = _Turns(connection, account, lease_ms, pacing)
        reserved += turn.take(want - len(reserved))
        later += turn.later
        openings |= turn.openings
        at = turn.at
        seen.append(account.id)
    at = now(connection) if at is None else at
    if len(reserved) < want:
        later += _next_due(connection, at)
    return Reservation(reserved, at, min(later, default=None), openings)


_Thing: TypeAlias = int | None
"""What a lane can send: a campaign's id; None stands for its single messages."""


@dataclass(slots=True)
class _OpenLane:
    """A lane with work and room. What it has to send is what there was as the turns began."""

    row: AnyRow
    """Of ``work.WORK``, with the tenant's window."""
    lane: Lane
    room: int
    things: deque[_Thing]
    """In the order of their turns; single messages go first while there are any."""
    last_campaign: int | None
    speeds: dict[int, int]
    """How many batches more of a campaign may soon go by its own speed, if it has one."""

    def serve(self, thing: _Thing, turn: int, credit: int) -> int:
        """One batch of it is taken; return the account's new turn."""
        self.lane, turn = served(self.lane, turn, credit, cost=1)
        self.room -= 1
        if thing is not None:
            self.things.remove(thing)
            if thing in self.speeds:
                self.speeds[thing] -= 1
            if self.speeds.get(thing, 1) > 0:
                self.things.append(thing)
            self.last_campaign = thing
        return turn


class _Turns:
    """One account's turns, under the lock of its turn's row.

    That is not the account's own row, which every intent goes through: nobody at the gate waits for
    a reservation. So the windows may change meanwhile; it is the gate that counts exactly.
    """

    def __init__(
        self, connection: Connection, account: AnyRow, lease_ms: int, pacing: Pacing
    ) -> None:
        self.connection = connection
        self.account = account
        self.at = read_at(connection, account)
        self.lease_until = self.at + lease_ms
        self.pacing = pacing
        self.credit = credit_of(limit_of(account, pacing.account))
        self.later: list[int] = []
        self.openings: dict[int, Opening] = {}
        self._ahead: Counter[int | None] = Counter()
        """Batches by tenant (None: all of the account) that are reserved, so before the next."""

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
        self._ahead = Counter(leased) + Counter({None: sum(leased.values())})
        room = self._room(account, self.pacing.account, sum(leased.values()))
        if room <= 0:
            self._look_when_open(account, self.pacing.account)
            return
        open_lanes = self._open_lanes(leased)
        if probing:
            yield from self._probe(open_lanes)
            return
        reserved = list(self._go_round(min(want, room), open_lanes))
        if len(reserved) == room:
            self._look_when_open(account, self.pacing.account)
        yield from reserved

    def _go_round(self, want: int, open_lanes: dict[int, _OpenLane]) -> Iterator[ReservedBatch]:
        """Plan whose turns are next, reserve all that one campaign has in the plan at once, and
        plan anew for what the plan could not have.
        """
        turn = self.account.turn
        served_lanes: dict[int, _OpenLane] = {}
        while want and (plan := _plan(open_lanes, turn, self.credit, want)):
            found = {planned: self._reserve(*planned, n) for planned, n in Counter(plan).items()}
            for tenant_id, thing in plan:
                lane = open_lanes[tenant_id]
                if reserved := found[tenant_id, thing]:
                    turn = lane.serve(thing, turn, self.credit)
                    served_lanes[tenant_id] = lane
                    want -= 1
                    yield self._in_line(lane.row, reserved.popleft())
                elif thing in lane.things:
                    lane.things.remove(thing)
            open_lanes = {
                tenant_id: lane
                for tenant_id, lane in open_lanes.items()
                if lane.room and lane.things
            }
        self._remember(turn, served_lanes.values())
        for lane in served_lanes.values():
            if not lane.room:
                self._look_when_open(lane.row, self.pacing.tenant)

    def _probe(self, open_lanes: dict[int, _OpenLane]) -> Iterator[ReservedBatch]:
        """After failures one batch goes ahead alone."""
        turn = self.account.turn
        while lane := next_lane((each.lane for each in open_lanes.values()), turn, self.credit):
            chosen = open_lanes.pop(lane.tenant_id)
            if probe := self._run(work.RESERVE_PROBE, lane.tenant_id):
                thing = probe[0].campaign_id
                chosen.things = deque([thing])
                self._remember(chosen.serve(thing, turn, self.credit), [chosen])
                yield probe[0]
                return

    def _leased(self) -> dict[int, int]:
        """Batches by tenant that are reserved (pace) or in hand at all (probing)."""
        statuses = [BatchStatus.RESERVED]
        if self.account.failures > 0:
            statuses.append(BatchStatus.SUBMITTING)
        rows = self.connection.execute(
            work.LEASED, {"account": self.account.id, "statuses": statuses}
        )
        return {row.tenant_id: row.n for row in rows}

    def _room(self, row: Any, default: Limit, reserved: int) -> int:
        """How many more batches may soon pass this row's window."""
        if self.pacing.strategy is Strategy.BACKOFF:
            return BLOCK
        window, limit = Window.decode(row.grants), limit_of(row, default)
        return limits.free(window, limit, self.at + LOOKAHEAD_MS) - reserved

    def _look_when_open(self, row: Any, default: Limit) -> None:
        """Look again when there is more room in this row's window than is free soon: that is for
        what is reserved.
        """
        if self.pacing.strategy is Strategy.BACKOFF:
            return
        window, limit = Window.decode(row.grants), limit_of(row, default)
        self._look_at(window, limit, limits.free(window, limit, self.at + LOOKAHEAD_MS))

    def _look_at(self, window: Window, limit: Limit, free: int) -> None:
        soon = self.at + LOOKAHEAD_MS
        if free > 0:
            window = limits.grant(window, limit, free, soon)
        self.later.append(max(limits.open_at(window, limit, soon) - LOOKAHEAD_MS, self.at + 1))

    def _in_line(self, row: AnyRow, batch: ReservedBatch) -> ReservedBatch:
        """Note when the batch's permit will be free: all that ask when the first one is would keep
        each other waiting, and the calls.
        """
        if self.pacing.strategy is Strategy.BACKOFF:
            return batch
        self._ahead.update((None, batch.tenant_id))
        tenant_opens = self._opens(row, self.pacing.tenant, self._ahead[batch.tenant_id])
        account_opens = self._opens(self.account, self.pacing.account, self._ahead[None])
        if (opens := max(tenant_opens, account_opens)) > self.at:
            later_in_tenant = tenant_opens >= account_opens
            self.openings[batch.id] = Opening(opens, "tenant" if later_in_tenant else "account")
        return batch

    def _opens(self, row: Any, default: Limit, permits: int) -> int:
        window, limit = Window.decode(row.grants), limit_of(row, default)
        return limits.open_at(window, limit, self.at, min(permits, limit.max))

    def _open_lanes(self, leased: dict[int, int]) -> dict[int, _OpenLane]:
        """The lanes with work whose window has room, by tenant."""
        open_lanes: dict[int, _OpenLane] = {}
        found = self.connection.execute(work.WORK, {"account": self.account.id, "at": self.at})
        for tenant_id, rows in groupby(found, key=lambda row: row.tenant_id):
            found_things = list(rows)
            lane = found_things[0]
            room = self._room(lane, self.pacing.tenant, leased.get(tenant_id, 0))
            if room <= 0:
                self._look_when_open(lane, self.pacing.tenant)
                continue
            speeds = self._speeds(found_things)
            things = [row.campaign_id for row in found_things if speeds.get(row.campaign_id, 1) > 0]
            if things:
                open_lanes[tenant_id] = _OpenLane(
                    lane,
                    Lane(tenant_id, lane.pass_),
                    room,
                    _behind(lane.last_campaign_id or 0, things),
                    lane.last_campaign_id,
                    speeds,
                )
        return open_lanes

    def _speeds(self, things: Sequence[AnyRow]) -> dict[int, int]:
        """Room in the windows of campaigns with a speed of their own: what these cannot send soon
        must not keep places at the gate, and is looked at when it can be.
        """
        rooms: dict[int, int] = {}
        for row in things:
            if row.own_rate_max is None:
                continue
            own = SimpleNamespace(rate_max=row.own_rate_max, rate_window_ms=row.own_rate_window_ms)
            speed = speed_of(own, self.pacing)
            assert speed is not None  # noqa: S101 - it has a maximum
            window, soon = Window.decode(row.own_grants), self.at + LOOKAHEAD_MS
            reserved = self.connection.execute(
                work.RESERVED_OF, {"campaign": row.campaign_id}
            ).scalar_one()
            free = limits.free(window, speed, soon)
            rooms[row.campaign_id] = free - reserved
            self._look_at(window, speed, free)
        return rooms

    def _reserve(self, tenant_id: int, thing: _Thing, most: int) -> deque[ReservedBatch]:
        """Reserve up to so many batches of one thing, in the order of the launch."""
        if thing is None:
            found = self._run(work.reserve_singles(most), tenant_id)
        else:
            found = self._run(work.reserve_of_campaign(most), tenant_id, campaign=thing)
        return deque(sorted(found, key=lambda batch: batch.id))

    def _run(self, statement: Any, tenant_id: int, **more: int) -> list[ReservedBatch]:
        rows = self.connection.execute(
            statement,
            {
                "account": self.account.id,
                "tenant": tenant_id,
                "at": self.at,
                "lease_until": self.lease_until,
                **more,
            },
        )
        return [ReservedBatch(*row) for row in rows]

    def _remember(self, turn: int, lanes_served: Collection[_OpenLane]) -> None:
        if not lanes_served:
            return
        self.connection.execute(work.SET_TURN, {"account": self.account.id, "turn": turn})
        self.connection.execute(
            work.SET_PASS,
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


def _plan(
    open_lanes: Mapping[int, _OpenLane], turn: int, credit: int, most: int
) -> list[tuple[int, _Thing]]:
    """Whose turns are next (tenant, what it sends), if everything had batches without end."""
    lanes = {
        tenant_id: replace(each, things=deque(each.things), speeds=dict(each.speeds))
        for tenant_id, each in open_lanes.items()
    }
    plan: list[tuple[int, _Thing]] = []
    while len(plan) < most:
        lane = next_lane((each.lane for each in lanes.values()), turn, credit)
        if lane is None:
            break
        chosen = lanes[lane.tenant_id]
        thing = chosen.things[0]
        turn = chosen.serve(thing, turn, credit)
        plan.append((lane.tenant_id, thing))
        if chosen.room == 0 or not chosen.things:
            del lanes[lane.tenant_id]
    return plan


def _behind(last: int, things: Sequence[_Thing]) -> deque[_Thing]:
    """What a lane can send in the order of turns: single messages, then the campaigns behind the
    last one served, then round.
    """
    ids = sorted(thing for thing in things if thing is not None)
    singles: list[_Thing] = [None] * (len(ids) < len(things))
    return deque(singles + [i for i in ids if i > last] + [i for i in ids if i <= last])


def _next_due(connection: Connection, at: int) -> list[int]:
    """When the next waiting retry is due, if one waits."""
    due_at = connection.execute(work.NEXT_DUE, {"at": at}).scalar()
    return [] if due_at is None else [due_at]
