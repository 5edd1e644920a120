"""Time as an argument: what reads the clock or waits is given one of these."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(milliseconds: int) -> str:
    """A moment, given in milliseconds since 1970, as ``2026-12-01T09:00:00.000Z``."""
    at = _EPOCH + timedelta(milliseconds=milliseconds)
    return at.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


class WallClock(Protocol):
    """Wall time."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC. Never goes back, never jumps."""
        ...


class Clock(WallClock, Protocol):
    """Wall time, steady time, and waiting."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after at least `seconds`; zero or less only lets other tasks run."""
        ...


class SystemClock:
    """The machine's clock: wall time at the start plus what has passed since.

    A correction of the wall clock therefore cannot move a rate window. Time that the machine
    spends suspended counts, where the system can tell: a permit granted before a laptop was shut
    must be void when it is opened again.
    """

    def __init__(self) -> None:
        self._start_ns = time.time_ns() - _steady_ns()

    def now_ms(self) -> int:
        return (self._start_ns + _steady_ns()) // _NS_PER_MS

    def monotonic(self) -> float:
        return _steady_ns() / _NS_PER_S

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class VirtualClock:
    """A clock that moves only by `advance`, for tests and for the simulation.

    Reading is safe from any thread; `sleep` and `advance` belong to one event loop.
    """

    def __init__(self, start_ms: int = 1_750_000_000_000) -> None:
        self._start_ms = start_ms
        self._passed_ns = 0
        self._order = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        return self._start_ms + self._passed_ns // _NS_PER_MS

    def monotonic(self) -> float:
        return self._passed_ns / _NS_PER_S

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        due_ns = self._passed_ns + round(seconds * _NS_PER_S)
        heapq.heappush(self._sleepers, (due_ns, next(self._order), woken))
        await woken

    @property
    def sleepers(self) -> int:
        """How many tasks wait in `sleep`; cancelled ones do not count."""
        return sum(not woken.done() for _, _, woken in self._sleepers)

    @property
    def next_wake(self) -> float | None:
        """Seconds until the first sleeper is due; None if nobody sleeps."""
        self._forget_cancelled()
        if not self._sleepers:
            return None
        return (self._sleepers[0][0] - self._passed_ns) / _NS_PER_S

    def advance(self, seconds: float) -> None:
        """Moves time on and wakes who is due, the earliest first, equals in order of arrival.

        The woken run when the caller next awaits, and then read the time after the whole step:
        take steps of `next_wake` where the moments in between matter.
        """
        if seconds < 0:
            raise ValueError("time does not go back")
        self._passed_ns += round(seconds * _NS_PER_S)
        while self._sleepers and self._sleepers[0][0] <= self._passed_ns:
            *_, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)

    def _forget_cancelled(self) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)


def _steady_ns() -> int:
    return time.clock_gettime_ns(_STEADY)


# Linux alone leaves suspended time out of CLOCK_MONOTONIC and has another clock that counts it.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
