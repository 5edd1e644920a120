"""Fixtures that every test may use: a real PostgreSQL, a fresh database of either kind, Chromium.

The environment of whoever runs the tests is kept out: no variable of Paceline's reaches them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog

from paceline.settings import VARIABLES
from tests.migrated import opened
from tests.postgres import SMALL, PostgresServer, running_postgres

hypothesis.settings.register_profile("paceline", deadline=None, print_blob=True)
hypothesis.settings.load_profile("paceline")

LONGEST = (
    "test_crash_short.py",
    "simulation/test_seeds.py",
    "api/test_fire.py",
    "docs/test_examples.py",
    "web/test_browser.py",
    "cli/test_serve.py",
    "benchmarks/test_campaign.py",
    "test_faults_short.py",
    "engine/test_lifecycle.py",
    "test_failover_short.py",
    "simulation/test_replay.py",
    "cli/test_failures.py",
    "benchmarks/test_receipts_and_reads.py",
)
"""Files that take longest begin first, so that nobody waits for them alone in the end."""
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - for a folder with a name of its own
_ROOM = 3 * 2**30
BROWSER_REQUIRED = os.environ.get("PACELINE_REQUIRE_BROWSER") == "1"
_OURS = {name for each in VARIABLES.values() for name in each.spellings}
for _name in list(os.environ):
    if _name.startswith("PACELINE_") or _name.removesuffix("_FILE") in _OURS:
        del os.environ[_name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of ``LONGEST`` before all others, whose order stays."""
    home = Path(__file__).parent
    places = {home / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session", autouse=True)
def _no_leaked_event_loop() -> Iterator[None]:
    """On Python 3.11 pytest-asyncio asks for the current loop and leaks the one made for it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for the whole session, in memory where there is room for it: most tests have
    a database of their own, and its thousand files cost a disk more than the tests do.
    """
    within = (
        _IN_MEMORY if _IN_MEMORY.is_dir() and shutil.disk_usage(_IN_MEMORY).free > _ROOM else None
    )
    with running_postgres({**SMALL, "max_wal_size": "64MB"}, within=within) as server:
        yield server


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


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    """A database with the schema and nothing else; to copy it takes a third of the migrations."""
    url = postgres_server.create_database()
    opened(url).close()
    return url


@pytest.fixture
def postgres_url(create_database: Callable[..., str], migrated_template: str) -> str:
    """The URL of a PostgreSQL database of this test's own, which has the schema."""
    return create_database(migrated_template)


@pytest.fixture
def empty_postgres_url(create_database: Callable[..., str]) -> str:
    """The URL of an empty PostgreSQL database of this test's own."""
    return create_database()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database of this test's own, of SQLite none yet, of PostgreSQL one that has the
    schema; the test runs once for each kind.
    """
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/paceline.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of this test's own; the test runs once for each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/paceline.db"
    url: str = request.getfixturevalue("empty_postgres_url")
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
