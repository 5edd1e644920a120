"""The database is away for a while, and comes back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from paceline.settings import sqlite_path
from tests.crash.judge import Report, installed, pacing
from tests.crash.unwritable import Trouble, endure
from tests.postgres import PostgresServer

_SQLITE_SILENT_S = 20.0
"""Reads go on while another program has the lock, so only the worker's silence tells of it."""


def server_gone(
    server: PostgresServer, *, seconds: float, recipients: int, batch_size: int
) -> Report:
    """Stop PostgreSQL at once, as its crash or a failover would, and start it again."""

    @contextmanager
    def stopped() -> Iterator[None]:
        server.stop("immediate")
        try:
            yield
        finally:
            server.start()

    trouble = Trouble(stopped, ("cannot be reached", str(server.data)), unready_after_s=0)
    return _endured(server.create_database(), trouble, seconds, recipients, batch_size)


def file_locked(database_url: str, *, seconds: float, recipients: int, batch_size: int) -> Report:
    """Have another program keep SQLite's one lock for writing.

    A file has no server that could be stopped. One that is moved away or made unreadable is not
    gone for who has it open; but nobody gets past a lock.
    """
    path = sqlite_path(database_url)

    @contextmanager
    def locked() -> Iterator[None]:
        # Here, in a process that none of Paceline's knows of.
        with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield
            other.execute("ROLLBACK")

    trouble = Trouble(locked, ("holds its lock", "end that one"), unready_after_s=_SQLITE_SILENT_S)
    return _endured(database_url, trouble, seconds, recipients, batch_size)


def _endured(
    database_url: str, trouble: Trouble, seconds: float, recipients: int, batch_size: int
) -> Report:
    with installed(database_url, pacing(batch_size)) as installation:
        report = Report({"seconds": seconds})
        endure(report, installation, trouble, seconds=seconds, recipients=recipients)
    return report
