"""Notices that there is work, from process to process through PostgreSQL (LISTEN and NOTIFY).

They carry nothing and promise nothing: whoever misses one finds the work when it looks again.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import psycopg
from sqlalchemy import URL, Connection
from sqlalchemy import text as sql

from paceline.storage.database import DatabaseUnreachableError

_CHANNEL = "paceline_work"
_NOTIFY = sql(f"NOTIFY {_CHANNEL}")
_CONNECTION = {
    "connect_timeout": 10,
    "application_name": f"paceline {os.getpid()} listener",
    # Nothing is ever sent on it, so only these find out that a firewall has forgotten it.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}


def ring(connection: Connection) -> None:
    """Tell every process that listens, when this transaction commits.

    It has to be a transaction of its own: its commit takes a lock that the whole database shares.
    """
    connection.execute(_NOTIFY)


async def listen(url: URL, heard: Callable[[], None]) -> None:
    """Listen until cancelled; call ``heard`` at every notice, and once when listening begins,
    since what was said before that was missed.

    Args:
        url: of a PostgreSQL database, as ``Database.url``.
        heard: called in the event loop's thread; it must not wait.

    Raises:
        DatabaseUnreachableError: no connection can be had, or it was lost.
    """
    _, address = url.get_dialect()().create_connect_args(url)
    try:
        async with await psycopg.AsyncConnection.connect(
            **{**_CONNECTION, **address}, autocommit=True
        ) as connection:
            await connection.execute(f"LISTEN {_CHANNEL}")
            heard()
            async for _ in connection.notifies():
                heard()
    except psycopg.OperationalError as error:
        reason = next(iter(str(error).strip().splitlines()), "no connection")
        raise DatabaseUnreachableError(f"The database cannot be reached: {reason}") from error
