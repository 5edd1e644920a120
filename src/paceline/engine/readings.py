"""One look at the database for many who ask for the same thing at the same time.

On a machine that is busy sending, a look waits for its turn at a processor, and so each look more
makes all the others longer. A crowd that polls or follows one campaign, or calls with one key,
shares looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

_REFRESHED_AFTER = 0.5
"""Of the time for which a reading is good; so the next one is there before this one is not."""


@dataclass(slots=True)
class _Reading(Generic[Value]):
    value: Value
    at: float
    shown_to: set[Hashable] = field(default_factory=set)


class Readings(Generic[Key, Value]):
    """Gives everybody who asks a reading that is not older than ``good_for_s``.

    Args:
        read: looks; None is given to whoever asked, and not kept. What it raises is not kept
            either, so what is kept is bounded by what there is.
        good_for_s: how old a reading may be that somebody is given who asks for it with ``of``.
        apart_s: how far apart looks are for those who ask with ``latest`` or ``follow``.
    """

    def __init__(
        self,
        read: Callable[[Key], Awaitable[Value | None]],
        *,
        good_for_s: float,
        apart_s: float | None = None,
    ) -> None:
        self._read = read
        self._good_for_s = good_for_s
        self._apart_s = good_for_s if apart_s is None else apart_s
        self._readings: dict[Key, _Reading[Value]] = {}
        self._looking: dict[Key, asyncio.Task[Value | None]] = {}

    async def of(self, key: Key, *, to: Hashable = None) -> Value | None:
        """The reading of ``key``.

        Args:
            key: what to read.
            to: who asks; nobody is given the same reading twice, so that who polls alone always has
                a look of its own. None: whoever it is.

        Raises:
            whatever ``read`` does.
        """
        reading = self._readings.get(key)
        age_s = 0.0 if reading is None else asyncio.get_running_loop().time() - reading.at
        if reading is None or age_s > self._good_for_s or to in reading.shown_to:
            value = await asyncio.shield(self._look(key))
            reading = self._readings.get(key)
        else:
            value = reading.value
            if age_s > self._good_for_s * _REFRESHED_AFTER:
                self._look(key)
        if to is not None and reading is not None:
            reading.shown_to.add(to)
        return value

    async def latest(self, key: Key) -> Value | None:
        """A reading that is not older than ``apart_s``. However many ask, nothing is looked at more
        often than that.

        Raises:
            whatever ``read`` does.
        """
        reading = self._readings.get(key)
        if reading is None or self._time_left(reading) <= 0:
            return await asyncio.shield(self._look(key))
        return reading.value

    async def follow(self, key: Key) -> AsyncIterator[Value]:
        """Each reading as it is made, for as long as somebody takes them and there is something to
        read. All who follow the same thing wait for the same moment, and share each look.

        Raises:
            whatever ``read`` does.
        """
        while (value := await self.latest(key)) is not None:
            yield value
            reading = self._readings.get(key)
            await asyncio.sleep(self._apart_s if reading is None else self._time_left(reading))

    def _time_left(self, reading: _Reading[Value]) -> float:
        """How long it is still the latest."""
        return max(reading.at + self._apart_s - asyncio.get_running_loop().time(), 0.0)

    def forget(self) -> None:
        """Something was changed: what was read so far, or is being read, is nobody's any more."""
        self._readings.clear()
        self._looking.clear()

    def _look(self, key: Key) -> asyncio.Task[Value | None]:
        """The look that is under way, or a new one."""
        looking = self._looking.get(key)
        if looking is None:
            looking = self._looking[key] = asyncio.create_task(self._looked(key))
            looking.add_done_callback(_heed)
        return looking

    async def _looked(self, key: Key) -> Value | None:
        this = asyncio.current_task()
        at = asyncio.get_running_loop().time()
        try:
            value = await self._read(key)
            if self._looking.get(key) is this:
                self._keep(key, value, at)
        finally:
            if self._looking.get(key) is this:
                del self._looking[key]
        return value

    def _keep(self, key: Key, value: Value | None, at: float) -> None:
        if value is None:
            self._readings.pop(key, None)
            return
        reading = self._readings[key] = _Reading(value, at)
        until = at + max(self._good_for_s, self._apart_s)
        asyncio.get_running_loop().call_at(until, self._drop, key, reading)

    def _drop(self, key: Key, reading: _Reading[Value]) -> None:
        if self._readings.get(key) is reading:
            del self._readings[key]


def _heed(task: asyncio.Task[Value | None]) -> None:
    """Whoever waits for a look is told of its failure; of one that nobody waits for, nobody is."""
    if not task.cancelled():
        task.exception()
