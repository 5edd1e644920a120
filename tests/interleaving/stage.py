"""The database that operations meet in, and how it is put back as it was before they met."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import event

from paceline.clock import VirtualClock
from paceline.settings import sqlalchemy_url
from paceline.storage import migrate
from paceline.storage.database import Database
from paceline.storage.schema import installation, metadata
from tests.interleaving.driving import Director
from tests.interleaving.steps import written
from tests.postgres import PostgresServer
from tests.storage.guards import guard_transitions
from tests.storage.world import World

_VACUUM_EVERY = 200
"""Restorings. Each leaves the rows of the one before behind."""

State = Mapping[str, list[dict[str, Any]]]
"""All that is committed: table → rows by primary key."""


class StageClock(VirtualClock):
    """A clock that stands still while operations meet, and is put back with the database."""

    def passed(self) -> int:
        return self._passed_ns

    def put_back(self, passed: int) -> None:
        self._passed_ns = passed


class Stage:
    """A database with one of PostgreSQL's usual settings changed: a deadlock is told at once.

    Commits do not wait for the disk either. That changes neither locks nor what can be seen.
    """

    def __init__(self, url: str) -> None:
        self.clock = StageClock()
        self.watcher = psycopg.connect(url, autocommit=True)
        self._prepare(url)
        self.database = Database(sqlalchemy_url(url), clock=self.clock)
        migrate.upgrade(self.database)
        self.database.write_now(guard_transitions)
        self.tables = [str(table) for table in metadata.sorted_tables if table is not installation]
        self._with_sequence = self._make_copies()
        self.director = Director(self.database, self.watcher)
        self._state = self._state_query()
        self._written: set[str] = set()
        self._passed = 0
        self._restorings = 0
        event.listen(self.database._engines[0], "before_cursor_execute", self._note_written)

    def close(self) -> None:
        self.database.close()
        self.watcher.close()

    def _prepare(self, url: str) -> None:
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        for setting in ("deadlock_timeout = '20ms'", "synchronous_commit = off"):
            self.watcher.execute(f'ALTER DATABASE "{name}" SET {setting}')
        # Restoring needs no foreign keys and no guards: it writes what was there before.
        self.watcher.execute("SET session_replication_role = replica")

    def _make_copies(self) -> set[str]:
        """Tables for what is saved; return those whose ids are numbered by a sequence."""
        self._run("CREATE SCHEMA saved")
        for table in self.tables:
            self._run(f"CREATE UNLOGGED TABLE saved.{table} (LIKE public.{table})")
        rows = self._run("SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'")
        return {name.removesuffix("_id_seq") for (name,) in rows}

    def _note_written(self, _c: Any, _cursor: Any, sql: str, *_: Any) -> None:
        self._written |= written(sql)

    def new_world(self) -> World:
        """An installation with nothing in it but one tenant and one account."""
        self._run(self._emptied("public", self.tables) + self._numbered(self.tables))
        return World(self.database, self.clock)

    def save(self) -> None:
        """From now on ``restore`` puts back what is there now."""
        self._run(self._emptied("saved", self.tables) + self._copied("saved", self.tables))
        self._written.clear()
        self._passed = self.clock.passed()

    def restore(self) -> None:
        """Put back what was saved, where it may have been changed."""
        self.clock.put_back(self._passed)
        changed = [table for table in self.tables if table in self._written]
        self._run(
            self._emptied("public", changed)
            + self._copied("public", changed)
            + self._numbered(changed)
        )
        self._written.clear()
        self._restorings += 1
        if self._restorings % _VACUUM_EVERY == 0:
            self._run("VACUUM")

    def state(self) -> tuple[str, State]:
        """All that is committed now, as text and as rows."""
        row = self._run(self._state).fetchone()
        assert row is not None
        return row[0], json.loads(row[0])

    def _state_query(self) -> str:
        parts = []
        for table in self.tables:
            key = ", ".join(f'"{column.name}"' for column in metadata.tables[table].primary_key)
            rows = f"SELECT coalesce(json_agg(t ORDER BY {key}), '[]') FROM {table} t"  # noqa: S608
            parts.append(f"'{table}', ({rows})")
        return f"SELECT json_build_object({', '.join(parts)})::text"

    def _emptied(self, schema: str, tables: Sequence[str]) -> str:
        return "".join(f"DELETE FROM {schema}.{table};" for table in reversed(tables))  # noqa: S608

    def _copied(self, schema: str, tables: Sequence[str]) -> str:
        source = "public" if schema == "saved" else "saved"
        return "".join(
            f"INSERT INTO {schema}.{table} SELECT * FROM {source}.{table};"  # noqa: S608
            for table in tables
        )

    def _numbered(self, tables: Sequence[str]) -> str:
        """Ids go on behind the last one that is there."""
        return "".join(
            f"SELECT setval('{table}_id_seq', coalesce(max(id), 0) + 1, false) FROM {table};"  # noqa: S608
            for table in tables
            if table in self._with_sequence
        )

    def _run(self, statement: str) -> psycopg.Cursor[Any]:
        return self.watcher.execute(statement)


@contextmanager
def prepared_stage(server: PostgresServer) -> Iterator[Stage]:
    """A stage in a database of its own."""
    url = server.create_database()
    stage = Stage(url)
    try:
        yield stage
    finally:
        stage.close()
        server.drop_database(url)
