"""Wake-ups across processes: an order that is given in one may be work for another one's worker.

Workers look for work now and then by themselves, so a wake-up saves them that wait and nothing
hangs on it. SQLite has no way to tell other processes, and there only one of them sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from paceline.storage import notices
from paceline.storage.database import Database, DatabaseUnreachableError
from paceline.telemetry import get_logger

log = get_logger("wakeups")

_APART_S = 0.05
"""Between two notices of a process: each costs the database a lock and every worker a look."""
_PAUSE_AFTER_FAILURE_S = 5.0


@asynccontextmanager
async def waking(
    database: Database, here: Callable[[], None] | None = None
) -> AsyncIterator[Callable[[], None]]:
    """Gives what to call when there is work: it wakes every worker there is, and never waits.

    Args:
        database: where the work is.
        here: wakes the worker of this process, if it has one. It need not wait for the database.
    """
    if database.is_sqlite:
        yield here or _nobody
        return
    bell = _Bell(database)

    def wake() -> None:
        if here is not None:
            here()
        bell.ring()

    try:
        yield wake
    finally:
        await bell.silent()


@asynccontextmanager
async def woken(database: Database, wake: Callable[[], None]) -> AsyncIterator[None]:
    """Call ``wake`` whenever another process has made work, as long as the block runs."""
    if database.is_sqlite:
        yield
        return
    listening = asyncio.create_task(_listen(database, wake))
    try:
        yield
    finally:
        listening.cancel()
        await asyncio.wait({listening})


class _Bell:
    """Rings for all who listen: one ring at a time, and one more for all that come meanwhile."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wanted = False
        self._ringing: asyncio.Task[None] | None = None

    def ring(self) -> None:
        self._wanted = True
        if self._ringing is None or self._ringing.done():
            self._ringing = asyncio.create_task(self._ring())

    async def silent(self) -> None:
        """Wait until what was wanted has been rung."""
        if self._ringing is not None:
            await self._ringing

    async def _ring(self) -> None:
        while self._wanted:
            self._wanted = False
            try:
                await self._database.write(notices.ring)
            except Exception as error:  # noqa: BLE001 - the order is carried out, come what may
                log.warning("notice_not_sent", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(_APART_S)


async def _listen(database: Database, wake: Callable[[], None]) -> None:
    while True:
        try:
            await notices.listen(database.url, wake)
        except DatabaseUnreachableError as error:
            log.warning("notices_not_heard", error=str(error))
        except Exception:
            log.exception("notices_not_heard")
        await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)


def _nobody() -> None:
    """There is no worker here, and no way to wake others."""
