"""Hours of the day on somebody's clock: whether it is in them, and when that changes.

Times are milliseconds since 1970 and always an argument; hours are whole minutes of a day. What
counts is what the clock on the wall shows: when it is put forward, hours may begin or end with the
leap; when it is put back, it may be in them twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum

MINUTE_MS = 60_000
DAY_MINUTES = 1_440
DAY_MS = DAY_MINUTES * MINUTE_MS
_SEARCHED_MS = 2 * DAY_MS
"""Hours come every day: what does not open in so long does not open."""


class WaitsFor(StrEnum):
    """Why a batch has to wait for another time of the day."""

    QUIET_HOURS = "quiet_hours"
    """It is night where its recipients are; until it is not."""
    SEND_WINDOW = "send_window"
    """It is outside the hours in which its campaign is sent; until they begin."""
    DAILY_CAP = "daily_cap"
    """Its tenant has sent as much as it may on one day; until the next one."""


@dataclass(frozen=True, slots=True)
class Hours:
    """From minute ``start`` of the day up to minute ``end``, past midnight if that comes first."""

    start: int
    end: int

    def __post_init__(self) -> None:
        both = range(DAY_MINUTES)
        if self.start not in both or self.end not in both or self.start == self.end:
            raise ValueError(f"hours begin and end at two minutes of a day: {self}")

    def hold(self, minute: int) -> bool:
        """Whether a minute of the day is in them."""
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end

    @property
    def others(self) -> Hours:
        """The rest of the day."""
        return Hours(self.end, self.start)


@dataclass(frozen=True, slots=True)
class Shut:
    """Nothing is sent while the clocks of ``zone`` show these hours."""

    hours: Hours
    zone: tzinfo
    why: WaitsFor

    def holds(self, at: int) -> bool:
        return self.hours.hold(minute_of(at, self.zone))

    def changes_at(self, at: int) -> int:
        """The first moment after ``at`` at which it begins, or, if it holds, ends."""
        holds = self.holds(at)
        boundary_ms = (self.hours.end if holds else self.hours.start) * MINUTE_MS
        while True:
            offset = _offset_ms(self.zone, at)
            then = at + ((boundary_ms - at - offset) % DAY_MS or DAY_MS)
            if _offset_ms(self.zone, then) == offset:
                return then
            at = _leap(self.zone, at, then)
            if self.holds(at) != holds:
                return at


def minute_of(at: int, zone: tzinfo) -> int:
    """Which minute of the day the clocks show."""
    return (at + _offset_ms(zone, at)) // MINUTE_MS % DAY_MINUTES


def day_of(at: int, zone: tzinfo) -> int:
    """Which day it is, in days since 1970."""
    return (at + _offset_ms(zone, at)) // DAY_MS


def next_day(at: int, zone: tzinfo) -> int:
    """The moment at which the next day begins; where the clocks leap over midnight, the leap."""
    today = day_of(at, zone)
    while True:
        offset = _offset_ms(zone, at)
        then = at + DAY_MS - (at + offset) % DAY_MS
        if _offset_ms(zone, then) == offset:
            return then
        at = _leap(zone, at, then)
        if day_of(at, zone) > today:
            return at


def shut_by(shuts: Sequence[Shut], at: int) -> Shut | None:
    """The first of these that holds at a moment; None: it is open."""
    return next((shut for shut in shuts if shut.holds(at)), None)


def opens_at(shuts: Sequence[Shut], at: int) -> int | None:
    """The first moment from ``at`` on at which none of these holds; None: there is none, since
    between them they take up the whole day.
    """
    then = at
    while then - at <= _SEARCHED_MS:
        ends = [shut.changes_at(then) for shut in shuts if shut.holds(then)]
        if not ends:
            return then
        then = max(ends)
    return None


def shuts_at(shuts: Sequence[Shut], at: int) -> int | None:
    """The first moment from ``at`` on at which any of these holds; None: there are none."""
    return min((at if shut.holds(at) else shut.changes_at(at) for shut in shuts), default=None)


def _offset_ms(zone: tzinfo, at: int) -> int:
    offset = datetime.fromtimestamp(at / 1000, zone).utcoffset()
    return 0 if offset is None else offset // timedelta(milliseconds=1)


def _leap(zone: tzinfo, before: int, after: int) -> int:
    """The moment between two at which the clocks of ``zone`` are put forward or back."""
    offset = _offset_ms(zone, before)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset_ms(zone, middle) == offset:
            before = middle
        else:
            after = middle
    return after
