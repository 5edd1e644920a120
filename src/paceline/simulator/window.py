"""Sliding windows in whole nanoseconds: exact, with no rounding at the edge.

A window is half open: two calls exactly one length apart are never in the same window.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NS_PER_MS = 1_000_000


def busiest_window(times: Sequence[int], length: int) -> int:
    """The largest number of `times` (ascending) in any window of `length`."""
    largest = start = 0
    for end, time in enumerate(times):
        while time - times[start] >= length:
            start += 1
        largest = max(largest, end - start + 1)
    return largest


class StrictWindow:
    """The provider's own limiter: it remembers every call admitted within the last window."""

    def __init__(self) -> None:
        self._admitted: deque[int] = deque()

    def admit(self, now: int, *, most: int, length: int) -> bool:
        """Admit a call at `now`, unless the window that ends there holds `most` already."""
        while self._admitted and now - self._admitted[0] >= length:
            self._admitted.popleft()
        if len(self._admitted) >= most:
            return False
        self._admitted.append(now)
        return True
