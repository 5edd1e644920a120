"""What is asked at the gate, and what is said there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from paceline.domain.hours import WaitsFor
from paceline.domain.limits import Denied
from paceline.storage.batches import Attempt, ReservedBatch


@dataclass(frozen=True, slots=True)
class Wish:
    """A rendered batch at the gate; its call holds ``size`` messages.

    Its permits are stamped ``lead_ms`` ahead, up to ``limits.LONGEST_LEAD_MS``: so much longer they
    may be used. They also count for so much longer, so where a window is more than half full they
    are stamped without a lead.
    """

    batch: ReservedBatch
    size: int
    lead_ms: int = 0
    dedupe_horizon_ms: int | None = None
    """For how long the provider remembers a reference, if it deduplicates and forgets."""


@dataclass(frozen=True, slots=True)
class Used:
    """A call's first byte went out at ``used_at``, before the stamp of its permits.

    Both are of the database's clock. ``used_at`` must not be earlier than it was: count, on the
    monotonic clock and rounded up, from the attempt's ``granted_at`` to after the write.
    """

    tenant_id: int
    stamped_at: int
    used_at: int
    campaign_id: int | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """A window is full. ``for_ms`` from now a permit will be free in all, if nobody takes it."""

    for_ms: int
    denied: Denied


@dataclass(frozen=True, slots=True)
class Stale:
    """Recipients opted out since the batch was checked: ``opt_outs.drop`` them, then again. Or
    receipts have settled some of it: render it again.
    """


@dataclass(frozen=True, slots=True)
class TooOften:
    """Recipients have had as many messages as their tenant's frequency cap allows:
    ``frequency.drop`` them, then again. No permit was spent.
    """


@dataclass(frozen=True, slots=True)
class Gone:
    """There is nothing to send any more, or not now; the batch is where it belongs."""

    why: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The reservation ran out and the batch is somebody else's."""


@dataclass(frozen=True, slots=True)
class Untimely:
    """It is not the time of the day for it: the batch is queued again and due ``until`` then."""

    waits_for: WaitsFor
    until: int


@dataclass(frozen=True, slots=True)
class TakeApart:
    """Not all of the batch can go at the same time: ``apart`` makes several of it, then render it
    again. ``most``: it may have so many messages; None: each must be of one region only.
    """

    most: int | None


Intent: TypeAlias = Attempt | Wait | Stale | TooOften | Gone | Lost | Untimely | TakeApart
