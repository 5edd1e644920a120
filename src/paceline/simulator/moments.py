"""Monotonic nanoseconds, which the simulator counts in, as times of day.

The distance between the two clocks is read once, so that the order of moments is kept.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from paceline.simulator.window import NS_PER_MS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WALL_AHEAD_NS = time.time_ns() - time.monotonic_ns()


def wall_time(monotonic_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=(monotonic_ns + _WALL_AHEAD_NS) // 1000)


def wall_ms(monotonic_ns: int) -> int:
    """Milliseconds since 1970."""
    return (monotonic_ns + _WALL_AHEAD_NS) // NS_PER_MS
