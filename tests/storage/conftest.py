"""Migrated databases, quickly: one of each kind for the session, emptied before every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, inspect, text

from paceline.clock import VirtualClock
from paceline.settings import sqlalchemy_url
from paceline.storage import migrate
from paceline.storage.database import Database
from paceline.storage.schema import installation, metadata
from tests.storage.guards import audit_log_open, guard_transitions
from tests.storage.world import World


@pytest.fixture(scope="session")
def clock() -> VirtualClock:
    """It goes on from test to test; only differences mean anything."""
    return VirtualClock()


@pytest.fixture(scope="session")
def shared_sqlite(tmp_path_factory: pytest.TempPathFactory, clock) -> Iterator[Database]:
    yield from _prepared(f"sqlite:///{tmp_path_factory.mktemp('shared')}/paceline.db", clock)


@pytest.fixture(scope="session")
def shared_postgres(postgres_server, clock) -> Iterator[Database]:
    yield from _prepared(postgres_server.create_database(), clock)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    """A migrated, guarded and empty database under the virtual clock; once for each kind.

    Emptying takes a tenth of the time that a copy of a template would, and the engine keeps its
    compiled statements.
    """
    database: Database = request.getfixturevalue(f"shared_{request.param}")
    database.write_now(_empty)
    return database


@pytest.fixture
def world(database: Database, clock: VirtualClock) -> World:
    return World(database, clock)


def _prepared(url: str, clock: VirtualClock) -> Iterator[Database]:
    database = Database(sqlalchemy_url(url), clock=clock)
    migrate.upgrade(database)
    database.write_now(guard_transitions)
    yield database
    database.close()


def _empty(connection: Connection) -> None:
    """Delete every row but the installation's."""
    with audit_log_open(connection):
        for table in reversed(metadata.sorted_tables):
            if table is not installation:
                connection.execute(table.delete())
    connection.execute(installation.update().values(default_account_id=None))
    for statement in _restarts(connection):
        connection.execute(text(statement))


def _restarts(connection: Connection) -> list[str]:
    """What makes ids count from 1 again."""
    if connection.dialect.name == "sqlite":
        return ["DELETE FROM sqlite_sequence"]
    return [f'ALTER SEQUENCE "{name}" RESTART' for name in inspect(connection).get_sequence_names()]
