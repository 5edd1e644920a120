"""Whose turn it is: start-time fair queueing between the lanes of one traffic account.

Every lane carries a number, its *pass*. Serving a lane moves its pass ahead by what the batch
costs; the smallest pass goes next, so lanes that always have work share the account evenly. The
account remembers the pass at which it last served (its *turn*). Whoever comes back from idling or
from a pause starts there, less the turns of one window that it has left unused: alone it would have
had that window for itself, and only so can a small campaign beside *k* busy tenants be done in
(k + 1) times its time alone plus a window. Nobody hoards more, and nobody is punished for absence.

The cost is counted in permits (1 for a bulk call, n for n single calls), since permits are what the
lanes compete for: a lane of small batches and a lane of large ones each get half the calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from paceline.domain.limits import Limit


@dataclass(frozen=True, slots=True)
class Lane:
    """One tenant's queue on one traffic account."""

    tenant_id: int
    pass_: int


MOST_CREDIT = 1_000
"""Permits. A window of a day, or a limit that is out of the way, must not let a newcomer keep the
others waiting for as long as that."""


def credit_of(limit: Limit) -> int:
    """How many turns an idle lane keeps on an account with this limit: a window's worth."""
    return min(limit.max, MOST_CREDIT)


def start_of(lane: Lane, turn: int, credit: int) -> int:
    """Where the lane stands now: never further behind the account's last turn than its credit."""
    return max(lane.pass_, turn - credit)


def next_lane(lanes: Iterable[Lane], turn: int, credit: int) -> Lane | None:
    """The lane to serve; of equals the one that has waited longer, then the lower tenant id."""
    return min(
        lanes,
        key=lambda lane: (start_of(lane, turn, credit), lane.pass_, lane.tenant_id),
        default=None,
    )


def served(lane: Lane, turn: int, credit: int, cost: int) -> tuple[Lane, int]:
    """The lane's new pass and the account's new turn after serving one batch."""
    start = start_of(lane, turn, credit)
    return Lane(lane.tenant_id, start + cost), max(start, turn)
