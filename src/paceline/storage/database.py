"""The one way to the database: a function, a transaction.

A *storage function* is plain and synchronous, takes a SQLAlchemy ``Connection`` first and is the
body of one transaction. ``Database`` runs it in a thread: there is no way to wait for the network
inside a transaction, and transaction boundaries can be read off the call sites.

SQLite has one writer thread, and a queue between the writers of several processes, so that nobody
polls for the lock; readers have snapshots of their own (WAL). PostgreSQL gets a pool; reads are
REPEATABLE READ READ ONLY, so that every figure of one answer is of one moment.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from copy import copy
from functools import partial
from typing import Any, Concatenate, ParamSpec, Self, TypeAlias, TypeVar

import psycopg
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Function,
    Row,
    Select,
    Table,
    Text,
    create_engine,
    event,
    make_url,
    select,
    true,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from paceline.clock import SystemClock, WallClock
from paceline.domain.errors import PacelineError
from paceline.storage.tenant_rows import TenantRows
from paceline.storage.writers import WriterQueue

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
"""A row whose columns the query names."""

P = ParamSpec("P")
T = TypeVar("T")

_CLOCK = "paceline_clock"
_FOLDED = "paceline_folded"
"""SQLite's name for ``folded``."""
_IN_MEMORY = frozenset({None, "", ":memory:"})
_SQLITE_BUSY_MS = 1_000
_SQLITE_READERS = 4
_POSTGRES_CONNECTIONS = 12
_IDLE_IN_TRANSACTION_S = 30
"""A process that is frozen in a transaction keeps its locks from all others; after so long the
server ends it for the process. None of ours takes so long between two statements."""
_CONNECT_TIMEOUT_S = 10
"""Unless the URL says otherwise."""
_PREPARED_AFTER = 1
"""Executions of a statement before the server is asked to keep its plan; all of ours come back."""
_SERIALIZATION_FAILURES = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: PostgreSQL rolled the transaction back and says: again."""
_UNUSABLE_FILE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB})
_CANNOT_WRITE = {
    sqlite3.SQLITE_BUSY: "another program holds its lock: end that one",
    sqlite3.SQLITE_FULL: "its disk is full: make room there",
    sqlite3.SQLITE_IOERR: "its disk cannot be written: look at the disk",
    sqlite3.SQLITE_READONLY: "its file may not be written: look at its permissions",
    "53100": "its disk is full: make room there",
    "53200": "its server is out of memory: look at the server",
    "58030": "its disk cannot be written: look at the server's disk",
    "25006": "its server takes no writes: it may be a standby that is not promoted yet",
}
"""What passes by itself when somebody has mended it, by SQLite's code or PostgreSQL's SQLSTATE.
Nothing was committed; what was to be written is written later."""
_PRIMARY_CODE = 0xFF
"""Of an SQLite error code; the rest says more."""
_WRITE_TRIES = 5


class DatabaseUnreachableError(PacelineError):
    """No connection to the database could be had, or it was lost; or it cannot be written to just
    now. It passes by itself or when somebody mends it, and then everything goes on.
    """

    code = "database_unreachable"
    retryable = True


class Database:
    """Runs storage functions, each as one transaction.

    Args:
        url: a SQLAlchemy URL, ``sqlite:///…`` or ``postgresql+psycopg://…``; ``sqlite://`` is a
            database in memory, for callers that come one after another.
        clock: the time of SQLite's transactions; on PostgreSQL it replaces the server's own time
            when given (a virtual clock), else ``clock_timestamp()`` counts.
    """

    def __init__(self, url: str, *, clock: WallClock | None = None) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self._address = url
            self._clock = clock = clock or SystemClock()
            writer = _sqlite_engine(url, "BEGIN IMMEDIATE", 1, cache_mib=32)
            self._write_threads = ThreadPoolExecutor(1, "paceline-write")
            if self.url.database in _IN_MEMORY:
                # Another connection would have another database.
                reader, self._read_threads, self._queue = writer, self._write_threads, None
            else:
                # One more than threads, for those that glance.
                reader = _sqlite_engine(url, "BEGIN", _SQLITE_READERS + 1, cache_mib=8)
                self._read_threads = ThreadPoolExecutor(_SQLITE_READERS, "paceline-read")
                self._queue = WriterQueue(str(self.url.database))
            self._engines = [reader, writer]
            self._tenant_rows = None
        else:
            engine = _postgres_engine(url)
            reader = engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            writer = engine
            self._engines = [engine]
            threads = ThreadPoolExecutor(_POSTGRES_CONNECTIONS, "paceline-database")
            self._write_threads = self._read_threads = threads
            self._queue = None
            self._tenant_rows = TenantRows(partial(_glancing_engine, url, clock))
        options: dict[str, Any] = {_CLOCK: clock, "preserve_rowcount": True}
        self._reader = reader.execution_options(**options)
        self._glancer = (
            self._reader
            if self.is_sqlite
            else writer.execution_options(isolation_level="AUTOCOMMIT", **options)
        )
        self._writer = writer.execution_options(**options)
        self._tenant_id: int | None = None

    def of_tenant(self, tenant_id: int) -> Self:
        """The same database as one tenant sees it: with row-level security, where PostgreSQL has
        it (``row_security``); elsewhere, what the queries let it see.
        """
        if self._tenant_rows is None:
            return self
        theirs = copy(self)
        theirs._tenant_id = tenant_id  # noqa: SLF001 - it is one of us
        return theirs

    async def read(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``function`` on one snapshot.

        Raises:
            DatabaseUnreachableError: as it says.
        """
        return await _in(self._read_threads, lambda: self.read_now(function, *args, **kwargs))

    async def write(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``function`` as one transaction that commits when it returns.

        The transaction goes on when the caller is cancelled: a thread is never interrupted.

        Raises:
            DatabaseUnreachableError: as it says; whether the commit happened is then unknown.
        """
        return await _in(self._write_threads, lambda: self.write_now(function, *args, **kwargs))

    async def glance(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a ``function`` that reads by one quick statement, for which a transaction and, on
        SQLite, a thread would cost more than the read. Its statement is a snapshot by itself.

        Raises:
            DatabaseUnreachableError: as it says.
        """
        if self.is_sqlite:
            return self.read_now(function, *args, **kwargs)
        threads = self._read_threads
        if self._tenant_rows is not None and self._tenant_id is not None:
            threads = self._tenant_rows.threads
        return await _in(threads, lambda: self._glance_now(function, *args, **kwargs))

    def _glance_now(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        try:
            with _named_errors(), self._glancing() as connection:
                return function(connection, *args, **kwargs)
        except DatabaseUnreachableError as error:
            if not getattr(error.__cause__, "connection_invalidated", False):
                raise
        # It was from before the server went away; all of its age are gone with it. Looking again
        # changes nothing.
        with _named_errors(), self._glancing() as connection:
            return function(connection, *args, **kwargs)

    def _glancing(self) -> AbstractContextManager[Connection]:
        if self._tenant_rows is None or self._tenant_id is None:
            return self._glancer.connect()
        return self._tenant_rows.glance(self._glancer, self._tenant_id)

    def read_now(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As ``read``, in the calling thread."""
        with _named_errors(), self._reader.connect() as connection:
            self._confine(connection)
            return function(connection, *args, **kwargs)

    def write_now(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As ``write``, in the calling thread. Deadlocks and serialization failures are repeated:
        PostgreSQL has undone the whole transaction.
        """
        for tries_left in reversed(range(_WRITE_TRIES)):
            try:
                with _named_errors(), self._turn(), self._writer.begin() as connection:
                    self._confine(connection)
                    return function(connection, *args, **kwargs)
            except DBAPIError as error:
                if tries_left == 0 or not _was_undone(error):
                    raise
        raise AssertionError("unreachable")  # pragma: no cover

    def alter_now(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As ``write_now``, for changes of the schema: SQLite rebuilds tables by dropping them,
        which its foreign keys would forbid; they are checked at the end instead.
        """
        if not self.is_sqlite:
            return self.write_now(function, *args, **kwargs)
        engine = _sqlite_engine(
            self._address, "BEGIN IMMEDIATE", 1, cache_mib=32, foreign_keys=False
        )
        options: dict[str, Any] = {_CLOCK: self._clock, "preserve_rowcount": True}
        try:
            with (
                _named_errors(),
                self._turn(),
                engine.execution_options(**options).begin() as connection,
            ):
                result = function(connection, *args, **kwargs)
                if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").all():
                    raise RuntimeError(f"the migration leaves broken references: {broken[:5]}")
                return result
        finally:
            engine.dispose()

    def close(self) -> None:
        """Wait for what runs, then close every connection."""
        self._write_threads.shutdown()
        self._read_threads.shutdown()
        if self._tenant_rows is not None:
            self._tenant_rows.close()
        for engine in self._engines:
            engine.dispose()
        if self._queue is not None:
            self._queue.close()

    def _confine(self, connection: Connection) -> None:
        if self._tenant_rows is not None and self._tenant_id is not None:
            self._tenant_rows.confine(connection, self._tenant_id)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until it is this process's turn to write."""
        with ExitStack() as stack:
            if self._queue is not None:
                try:
                    stack.enter_context(self._queue.turn())
                except OSError as error:
                    raise DatabaseUnreachableError(
                        f"The database cannot be reached: {error.strerror}: {error.filename}"
                    ) from error
            yield


def now(connection: Connection) -> int:
    """The database's time, milliseconds since 1970. Read it after the locks, not before."""
    clock: WallClock | None = connection.get_execution_options()[_CLOCK]
    if clock is not None:
        return clock.now_ms()
    milliseconds: int = connection.execute(_POSTGRES_NOW).scalar_one()
    return milliseconds


class _ReadAt(FunctionElement[int]):
    """The database's time as a statement's column, where that time is the database's own."""

    inherit_cache = True
    type = BigInteger()


READ_AT = _ReadAt().label("read_at")
"""A column for ``read_at``."""


def read_at(connection: Connection, row: AnyRow) -> int:
    """As ``now``, of a row with the column ``READ_AT``: it saves the clock's own way to the server.
    It is the time before the statement waited for any lock, so no permit may be granted by it.
    """
    clock: WallClock | None = connection.get_execution_options()[_CLOCK]
    return int(row.read_at) if clock is None else clock.now_ms()


_POSTGRES_MS = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_POSTGRES_NOW = sql(f"SELECT {_POSTGRES_MS}")


@compiles(_ReadAt, "postgresql")
def _postgres_clock(_element: _ReadAt, _compiler: SQLCompiler, **_options: Any) -> str:
    return _POSTGRES_MS


@compiles(_ReadAt, "sqlite")
def _no_clock(_element: _ReadAt, _compiler: SQLCompiler, **_options: Any) -> str:
    return "NULL"


def folded(text: ColumnElement[str]) -> Function[str]:
    """A text in small letters, on SQLite: its own ``lower`` and ``LIKE`` know English only,
    while PostgreSQL's know all.
    """
    return Function(_FOLDED, text, type_=Text())


def _folded(text: str | None) -> str | None:
    return None if text is None else text.casefold()


def is_postgres(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def insert_new(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]] | Select[Any],
    columns: Sequence[str] = (),
) -> int:
    """Insert the rows that break no unique key; return how many.

    Args:
        connection: of a write transaction.
        table: where to.
        rows: the rows, or a SELECT that gives them.
        columns: with a SELECT, the names of its columns.
    """
    make = postgresql.insert if is_postgres(connection) else sqlite.insert
    statement = make(table).on_conflict_do_nothing()
    if isinstance(rows, Select):
        # Without a WHERE, SQLite would read ON CONFLICT as the ON of a join.
        return connection.execute(statement.from_select(columns, rows.where(true()))).rowcount
    return connection.execute(statement, rows).rowcount


def ping(connection: Connection) -> None:
    """Prove that the database answers."""
    connection.execute(select(1))


async def _in(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, work)


def _sqlite_engine(
    url: str, begin: str, size: int, *, cache_mib: int, foreign_keys: bool = True
) -> Engine:
    """Connections to an SQLite file. Each has a cache of its own, which fills up and stays: what is
    not in it costs a copy out of the operating system's cache, not a read of the disk.
    """
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        connect_args={"timeout": _SQLITE_BUSY_MS / 1000, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        # We begin transactions ourselves: the driver would begin them late and deferred.
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            # NORMAL may forget a committed intent when the power fails: a duplicate.
            "synchronous=FULL",
            f"foreign_keys={'ON' if foreign_keys else 'OFF'}",
            "temp_store=MEMORY",
            f"cache_size=-{cache_mib * 1024}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        connection.create_function(_FOLDED, 1, _folded, deterministic=True)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _glancing_engine(url: str, clock: WallClock | None, size: int, prepare: str) -> Engine:
    engine = _postgres_engine(url, size, prepare)
    options: dict[str, Any] = {_CLOCK: clock, "preserve_rowcount": True}
    return engine.execution_options(isolation_level="AUTOCOMMIT", **options)


def _postgres_engine(url: str, size: int = _POSTGRES_CONNECTIONS, prepare: str = "") -> Engine:
    """Connections to a PostgreSQL; ``prepare`` is SQL for each new one."""
    address = make_url(url)
    if "connect_timeout" not in address.query:
        address = address.update_query_dict({"connect_timeout": str(_CONNECT_TIMEOUT_S)})
    engine = create_engine(
        address,
        pool_size=size,
        max_overflow=0,
        pool_timeout=30,
        # Each connection has its own prepared statements: a few that are busy have them all soon.
        pool_use_lifo=True,
        connect_args={
            "application_name": f"paceline {os.getpid()}",
            "prepare_threshold": _PREPARED_AFTER,
        },
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: psycopg.Connection, _record: object) -> None:
        # Every row that we look for has an index. In a table that is small as yet the server would
        # rather read it whole, and keep that plan while a launch makes it large.
        connection.execute("SET enable_seqscan = off")
        connection.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_IN_TRANSACTION_S}s'")
        if prepare:
            connection.execute(prepare.encode())
        connection.commit()

    return engine


class _named_errors:  # noqa: N801 - reads as a statement: with _named_errors()
    """Turn the drivers' ways to say "no connection" into ``DatabaseUnreachableError``."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, DBAPIError):
            return
        if (why := _why_not_written(error)) is not None:
            raise DatabaseUnreachableError(
                f"The database cannot be written ({_reason(error)}): {why}."
            ) from error
        cannot_open = isinstance(error, OperationalError) and error.statement is None
        if error.connection_invalidated or cannot_open or _cannot_open_file(error):
            raise DatabaseUnreachableError(
                f"The database cannot be reached: {_reason(error)}"
            ) from error


def _reason(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0] if error.orig else "no connection"


def _why_not_written(error: DBAPIError) -> str | None:
    sqlite_code = getattr(error.orig, "sqlite_errorcode", None)
    if sqlite_code is not None:
        return _CANNOT_WRITE.get(sqlite_code & _PRIMARY_CODE)
    sqlstate: str | None = getattr(error.orig, "sqlstate", None)
    return None if sqlstate is None else _CANNOT_WRITE.get(sqlstate)


def _cannot_open_file(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlite_errorcode", None) in _UNUSABLE_FILE


def _was_undone(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in _SERIALIZATION_FAILURES
