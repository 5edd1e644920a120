"""How long a campaign will take: an estimate, made by playing the turns of its account.

Every call of every lane on the account is granted as the engine would, at the first moment at which
the account's window, the lane's own, and a free hand of the worker allow it: `fairness` says whose
turn it is, and campaigns of one lane go in turn. Time is made of whole milliseconds from now on.

What it does not know: retries, outages, campaigns that are started or paused meanwhile. More
calls than `MOST_PLAYED` are played in groups, all limits made coarser by the same factor.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from paceline.domain.fairness import Lane, credit_of, next_lane, served
from paceline.domain.limits import Limit

MOST_PLAYED: Final = 5_000
"""Calls that are played one by one; beyond, several at a time."""


class Bound(StrEnum):
    """What mostly decides how long it takes; of equals the first."""

    TURNS = "turns"
    """Others on the account have their turns between."""
    TENANT_LIMIT = "tenant_limit"
    ACCOUNT_LIMIT = "account_limit"
    CAMPAIGN_LIMIT = "campaign_limit"
    CALLS = "calls"
    """The provider's answers: so many calls at once, each of which takes its time."""


@dataclass(frozen=True, slots=True)
class Used:
    """A limit, and when its permits were last taken, in milliseconds before now, the oldest
    first; negative: stamped ahead.
    """

    limit: Limit
    ago: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Queue:
    """One tenant's work on the account: its lane's pass, and calls of each thing it sends."""

    tenant_id: int
    pass_: int
    window: Used
    calls: tuple[int, ...]
    """Of each campaign, and of the single messages together."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where the calls go through."""

    window: Used
    turn: int
    at_once: int
    """Calls that the worker makes at the same time."""
    call_ms: int
    """How long one takes."""
    closed_ms: int = 0
    """How long nothing will be sent at first."""


@dataclass(frozen=True, slots=True)
class Eta:
    """`ms` from now until the last call is answered."""

    ms: int
    calls: int
    """Of the campaign itself."""
    ahead: int
    """Calls of others that are played before its last."""
    bound: Bound


def calls_for(recipients: int, batch_size: int, chunk: int) -> int:
    """How many calls so many recipients take: each chunk of the launch is cut into batches by
    itself, so the last one of each may be small.
    """
    chunks, rest = divmod(recipients, chunk)
    return chunks * -(-chunk // batch_size) + -(-rest // batch_size)


def estimate(
    account: Account,
    queues: Sequence[Queue],
    tenant_id: int,
    calls: int,
    own: Limit | None = None,
    played: int = MOST_PLAYED,
) -> Eta:
    """How long so many calls of a campaign take beside what else is queued.

    Args:
        account: where they go through.
        queues: what is queued on it; the tenant's own lane is among them, if only with no calls.
        tenant_id: whose campaign it is.
        calls: of the campaign, at least one.
        own: the campaign's own speed, if it has one.
        played: calls that are played one by one.
    """
    total = calls + sum(sum(each.calls) for each in queues)
    group = -(-total // played)
    play = _Play(_coarser_account(account, group), [_coarser(each, group) for each in queues])
    play.enter(tenant_id, -(-calls // group), None if own is None else _grouped(own, group))
    last = play.last()
    ahead = min(play.others * group, total - calls)
    return Eta(last + account.call_ms, calls, ahead, play.bound())


class _Window:
    """When permits of one limit were taken, the newest `max` of them."""

    def __init__(self, used: Used) -> None:
        self.span_ms = used.limit.span_ms
        self.max = used.limit.max
        self.taken = deque((-ago for ago in used.ago), maxlen=self.max)

    def opens(self) -> int:
        """When the next permit is free."""
        return self.taken[0] + self.span_ms if len(self.taken) == self.max else 0

    def take(self, at: int) -> None:
        self.taken.append(at)


@dataclass(slots=True, eq=False)
class _Thing:
    """A campaign, or the single messages of a lane, and how many calls it has left."""

    calls: int


@dataclass(slots=True)
class _Lane:
    lane: Lane
    window: _Window
    things: deque[_Thing] = field(default_factory=deque)
    """In the order of their turns."""


class _Play:
    """The turns of one account, from now on."""

    def __init__(self, account: Account, queues: Iterable[Queue]) -> None:
        self.window = _Window(account.window)
        self.hands = _Window(Used(Limit(account.at_once, max(1, account.call_ms), 0)))
        self.turn = account.turn
        self.credit = credit_of(account.window.limit)
        self.closed_ms = account.closed_ms
        self.lanes = {
            each.tenant_id: _Lane(
                Lane(each.tenant_id, each.pass_),
                _Window(each.window),
                deque(_Thing(calls) for calls in each.calls if calls),
            )
            for each in queues
        }
        self.others = 0
        self._bounds: Counter[Bound] = Counter()
        self._mine = _Thing(0)
        self._own: _Window | None = None
        self._tenant_id = 0

    def enter(self, tenant_id: int, calls: int, own: Limit | None) -> None:
        """The campaign whose end is asked for joins its lane."""
        self._mine.calls = calls
        self._tenant_id = tenant_id
        self._own = None if own is None else _Window(Used(own))
        self.lanes[tenant_id].things.append(self._mine)

    def last(self) -> int:
        """Play until its last call; when that is made."""
        at = self.closed_ms
        while self._mine.calls:
            at = self._next(at)
        return at

    def bound(self) -> Bound:
        """What decided most of its calls' times."""
        return max(Bound, key=lambda each: self._bounds[each]) if self._bounds else Bound.CALLS

    def _next(self, before: int) -> int:
        """Make one call, of whose turn it is; when."""
        soonest = max(before, self.window.opens(), self.hands.opens())
        busy = {key: lane for key, lane in self.lanes.items() if lane.things}
        opens = {key: max(lane.window.opens(), self._own_opens(lane)) for key, lane in busy.items()}
        at = max(soonest, min(opens.values()))
        chosen = next_lane(
            (lane.lane for key, lane in busy.items() if opens[key] <= at), self.turn, self.credit
        )
        assert chosen is not None  # noqa: S101 - one of them opens at `at`
        lane = busy[chosen.tenant_id]
        thing = self._next_thing(lane, at)
        if thing is self._mine:
            self._note_wait(lane, at)
        lane.lane, self.turn = served(lane.lane, self.turn, self.credit, cost=1)
        for window in (self.window, self.hands, lane.window):
            window.take(at)
        if thing is not self._mine:
            self.others += 1
            self._note_turn(opens.get(self._tenant_id, at), at)
        elif self._own is not None:
            self._own.take(at)
        thing.calls -= 1
        lane.things.remove(thing)
        if thing.calls:
            lane.things.append(thing)
        return at

    def _own_opens(self, lane: _Lane) -> int:
        """When the lane has something to send, as far as the campaign's own speed decides it."""
        alone = len(lane.things) == 1 and lane.things[0] is self._mine
        return self._own.opens() if alone and self._own is not None else 0

    def _next_thing(self, lane: _Lane, at: int) -> _Thing:
        slow = self._own is not None and self._own.opens() > at
        return next(each for each in lane.things if not (slow and each is self._mine))

    def _note_wait(self, lane: _Lane, at: int) -> None:
        """Note which window the campaign's call has waited for."""
        waits = {
            Bound.TENANT_LIMIT: lane.window.opens(),
            Bound.ACCOUNT_LIMIT: self.window.opens(),
            Bound.CAMPAIGN_LIMIT: 0 if self._own is None else self._own.opens(),
            Bound.CALLS: self.hands.opens(),
        }
        self._bounds.update(name for name, opens in waits.items() if opens == at > 0)

    def _note_turn(self, ours: int, at: int) -> None:
        """Note that another had the last place for now, which the campaign could have taken."""
        full = self.window.opens() > at or self.hands.opens() > at
        if full and ours <= at:
            self._bounds[Bound.TURNS] += 1


def _grouped(limit: Limit, group: int) -> Limit:
    """The limit for groups of so many calls: as many calls in the long run."""
    if group == 1:
        return limit
    most = max(1, limit.max // group)
    span = limit.span_ms * most * group // limit.max
    return Limit(most, max(1, span), 0)


def _coarser(queue: Queue, group: int) -> Queue:
    if group == 1:
        return queue
    calls = tuple(-(-each // group) for each in queue.calls)
    return replace(queue, calls=calls, window=_coarser_window(queue.window, group))


def _coarser_account(account: Account, group: int) -> Account:
    if group == 1:
        return account
    at_once = max(1, account.at_once // group)
    call_ms = account.call_ms * at_once * group // account.at_once
    window = _coarser_window(account.window, group)
    return replace(account, window=window, at_once=at_once, call_ms=call_ms)


def _coarser_window(used: Used, group: int) -> Used:
    return Used(_grouped(used.limit, group), used.ago[group - 1 :: group])
