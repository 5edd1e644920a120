"""The hours of a time zone's clock, as moments: for figures by the hour.

All times are whole milliseconds since 1970. Offsets from UTC are whole quarters of an hour, so a
quarter lies in one hour of any zone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

QUARTER_MS: Final = 15 * 60_000


def hour_of(moment: int, zone: tzinfo) -> int:
    """When the hour began that a moment lies in, by the zone's clock."""
    local = datetime.fromtimestamp(moment / 1000, zone)
    into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    # In time that passes, not on the clock: that may have been changed within the hour.
    return round((local.astimezone(UTC) - into).timestamp() * 1000)


def hours(first: int, last: int, zone: tzinfo) -> Iterator[int]:
    """When each hour began, from that of one moment to that of another, without a gap."""
    before = None
    # By quarters, and not from one hour's end to the next: where clocks are changed by half an hour
    # (Lord Howe Island), an hour by the clock begins within the one before.
    for quarter in range(first - first % QUARTER_MS, last + 1, QUARTER_MS):
        hour = hour_of(quarter, zone)
        if hour != before:
            yield hour
        before = hour


def shown(moment: int, zone: tzinfo) -> str:
    """A moment on the zone's clock, as `2026-10-25T03:00:00+03:00`."""
    return datetime.fromtimestamp(moment / 1000, zone).isoformat(timespec="seconds")
