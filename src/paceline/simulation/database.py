"""The database of a run: the product's own, in memory, reached by processes that can die.

Each storage function is one transaction here as anywhere. Around it there are the moments at which
a process can die or lose its connection: before, at the commit (undone), and after the commit, when
nobody has been told of it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection

from paceline.simulation.loop import NS_PER_MS, Process, VirtualLoop
from paceline.storage import migrate
from paceline.storage.database import Database, DatabaseUnreachableError

P = ParamSpec("P")
T = TypeVar("T")

EPOCH_MS = 1_800_000_000_000
"""When every run begins."""


class SimulatedClock:
    """A machine's clock: virtual time, and how far its wall clock is off."""

    def __init__(self, loop: VirtualLoop, off_ms: int = 0) -> None:
        self._loop = loop
        self.off_ms = off_ms

    def now_ms(self) -> int:
        return EPOCH_MS + self.off_ms + self._loop.now_ns // NS_PER_MS

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _ClockOfRun:
    """The time of the run that has the database now."""

    def __init__(self) -> None:
        self.now_ms: Callable[[], int] = lambda: EPOCH_MS


_clock = _ClockOfRun()


@cache
def _store() -> Database:
    """The one of this operating system process. Its statements stay compiled from run to run."""
    return Database("sqlite://", clock=_clock)


@cache
def _template() -> sqlite3.Connection:
    """An empty database with the newest schema."""
    template = sqlite3.connect(":memory:")
    with tempfile.TemporaryDirectory(prefix="paceline-simulation-") as folder:
        path = Path(folder) / "template.db"
        database = Database(f"sqlite:///{path}", clock=_clock)
        migrate.ready(database, create=True)
        database.close()
        with closing(sqlite3.connect(path)) as made:
            made.backup(template)
    return template


def fresh_database(clock: SimulatedClock) -> Database:
    """The database, empty, with the time of a run that begins. There is one at a time."""
    _clock.now_ms = clock.now_ms
    store = _store()
    _template().backup(raw(store))
    return store


def raw(store: Database) -> sqlite3.Connection:
    """The driver's connection, for looks that are not the product's."""
    connection = store.read_now(lambda connection: connection.connection.driver_connection)
    assert isinstance(connection, sqlite3.Connection)  # noqa: S101 - the store is SQLite
    return connection


class Road(Protocol):
    """What can happen on the way to the database and back."""

    async def there(self, process: Process, *, writing: bool) -> None:
        """Before the transaction. May raise ``DatabaseUnreachableError``, or never return."""

    def dies_at_commit(self, process: Process) -> bool:
        """Whether the process dies just before this commit, which undoes the transaction."""

    async def back(self, process: Process, *, writing: bool) -> None:
        """After the commit. As ``there``; what was written stays written."""

    def committed(self, process: Process, function: Any, args: Any, result: Any) -> None:
        """Told of each commit."""


class _UndoneError(Exception):
    """Takes a transaction back."""


class ProcessDatabase(Database):
    """The database as one process reaches it."""

    def __init__(self, store: Database, process: Process, road: Road) -> None:
        self._store = store
        self._process = process
        self._road = road
        self.url = store.url
        self.is_sqlite = True

    async def read(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        await self._road.there(self._process, writing=False)
        return self._store.read_now(function, *args, **kwargs)

    async def glance(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        await self._road.there(self._process, writing=False)
        return self._store.read_now(function, *args, **kwargs)

    async def write(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        await self._road.there(self._process, writing=True)
        if self._road.dies_at_commit(self._process):
            self._undone(function, *args, **kwargs)
            await dead(self._process)
        result = self._store.write_now(function, *args, **kwargs)
        self._road.committed(self._process, function, args, result)
        await self._road.back(self._process, writing=True)
        return result

    def _undone(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        def undo(connection: Connection) -> None:
            function(connection, *args, **kwargs)
            raise _UndoneError

        try:
            self._store.write_now(undo)
        except _UndoneError:
            return


async def dead(process: Process) -> None:
    """Never return: the process is dead."""
    process.kill()
    await process.loop.create_future()


def unreachable() -> DatabaseUnreachableError:
    return DatabaseUnreachableError("The database cannot be reached: simulated")
