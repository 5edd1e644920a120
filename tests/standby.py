"""A PostgreSQL with a synchronous standby on this machine, to be failed over and put back.

What is done here to the servers is what docs/how-to/failover.md tells an operator to do.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.postgres import SMALL, PostgresServer, running_postgres

_PATIENCE_S = 60.0
_NAME = "standby"
"""What the primary knows its standby by, whichever of the two servers that is."""
_SETTINGS = {**SMALL, "fsync": "off", "wal_retrieve_retry_interval": "200ms"}
"""The machine stays up, so what is written is there. A promotion may have to wait for the end of
such an interval.
"""
_SYNCHRONOUS = f"ALTER SYSTEM SET synchronous_standby_names = '{_NAME}'"
_ALONE = "ALTER SYSTEM SET synchronous_standby_names = ''"
_RELOAD = "SELECT pg_reload_conf()"


@dataclass(slots=True)
class Pair:
    """Who serves, who follows, and what can happen to them."""

    primary: PostgresServer
    standby: PostgresServer

    def url_of(self, database_url: str) -> str:
        """Leads to a database of the primary on whichever of both can be written to."""
        return f"{database_url},{self.standby.data}&target_session_attrs=read-write"

    def follow(self) -> None:
        """Put a copy of the primary in the place of whatever the standby had, and let it follow."""
        if self.standby.is_running():
            self.standby.stop()
        _empty(self.standby.data)
        _copy(self.primary, self.standby.data)
        self.standby.start()

    def synchronise(self) -> None:
        """From now on nothing is committed before it is safe on the standby too."""
        ask(self.primary, _SYNCHRONOUS)
        ask(self.primary, _RELOAD)
        followers = "SELECT application_name, sync_state FROM pg_stat_replication"
        _wait(lambda: ask(self.primary, followers) == [(_NAME, "sync")])

    def cut_off(self) -> None:
        """Let nothing more reach the standby."""
        ask(self.standby, "ALTER SYSTEM SET primary_conninfo = ''")
        ask(self.standby, _RELOAD)
        _wait(lambda: not ask(self.primary, "SELECT 1 FROM pg_stat_replication"))

    def fail_over(self) -> None:
        """Promote the standby, whose primary is gone, and let it commit alone."""
        ask(self.standby, "SELECT pg_promote()")
        ask(self.standby, _ALONE)
        ask(self.standby, _RELOAD)
        self.primary, self.standby = self.standby, self.primary

    @contextmanager
    def lost_one_returns(self) -> Iterator[None]:
        """Start the server that was lost as it was, for a while: it takes itself for the primary,
        and waits for its standby.
        """
        self.standby.start()
        try:
            yield
        finally:
            self.standby.stop("fast")


@contextmanager
def replicated(*, synchronous: bool = True) -> Iterator[Pair]:
    """Two servers, the second following the first; both are gone at the end.

    Args:
        synchronous: a commit waits for the standby. If not, a primary that is lost takes with it
            what it has acknowledged.
    """
    with running_postgres(_SETTINGS) as primary, running_postgres(_SETTINGS) as standby:
        pair = Pair(primary, standby)
        pair.follow()
        if synchronous:
            pair.synchronise()
        try:
            yield pair
        finally:
            if not primary.is_running():
                primary.start()  # so that it frees the shared memory that it had when it was killed


def ask(server: PostgresServer, statement: str) -> list[tuple[Any, ...]]:
    """The rows of one statement, which is its own transaction."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def _copy(primary: PostgresServer, data: Path) -> None:
    """Make an empty data directory one of a standby, which comes to the primary by its name."""
    ((tools,),) = ask(primary, "SELECT setting FROM pg_config WHERE name = 'BINDIR'")
    done = subprocess.run(
        [
            *(Path(tools) / "pg_basebackup", "--pgdata", data, "--write-recovery-conf"),
            *("--no-sync", "--checkpoint", "fast"),
            *("--dbname", f"host={primary.data} user=postgres application_name={_NAME}"),
        ],
        user=data.stat().st_uid,  # as root the servers run as somebody else
        cwd=data,
        capture_output=True,
        check=False,
        timeout=_PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr.decode()
    (data / ".s.PGSQL.5432.lock").unlink()  # the primary's: its socket is where its data are


def _empty(folder: Path) -> None:
    for each in folder.iterdir():
        if each.is_dir():
            shutil.rmtree(each)
        else:
            each.unlink()


def _wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "a server did not do what it was told"
        time.sleep(0.02)
