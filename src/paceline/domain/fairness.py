"""Whose turn it is: start-time fair queueing between the lanes of one traffic account.

Every lane carries a number, its *pass*. Serving a lane moves its pass ahead by what the batch
costs; the smallest pass goes next, so lanes that always have work share the account evenly. The
account remembers the pass at which it last served (its *turn*): whoever comes back from idling or
from a pause starts there, and so can neither hoard turns nor be punished for its absence.

The cost is counted in permits (1 for a bulk call, n for n single calls), since permits are what the
lanes compete for: a lane of small batches and a lane of large ones each get half the calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lane:
    """One tenant's queue on one traffic account."""

    tenant_id: int
    pass_: int


def start_of(lane: Lane, turn: int) -> int:
    """Where the lane stands now: never behind the account's last turn."""
    return max(lane.pass_, turn)


def next_lane(lanes: Iterable[Lane], turn: int) -> Lane | None:
    """The lane to serve; of equals the one that has waited longer, then the lower tenant id."""
    return min(
        lanes,
        key=lambda lane: (start_of(lane, turn), lane.pass_, lane.tenant_id),
        default=None,
    )


def served(lane: Lane, turn: int, cost: int) -> tuple[Lane, int]:
    """The lane's new pass and the account's new turn after serving one batch."""
    start = start_of(lane, turn)
    return Lane(lane.tenant_id, start + cost), start
