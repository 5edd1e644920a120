"""Bring a database's schema to the newest revision, or say how far it is from it."""

from __future__ import annotations

import secrets
from enum import StrEnum
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, inspect, select
from sqlalchemy import text as sql

from paceline.domain.errors import PacelineError
from paceline.storage import row_security, schema
from paceline.storage.database import Database, is_postgres, now

_MIGRATIONS = Path(__file__).with_name("migrations")
_MIGRATION_LOCK = 0x50414345
"""Any number of our own: of two processes that start on an empty database one waits."""


class SchemaState(StrEnum):
    EMPTY = "empty"
    CURRENT = "current"
    OLDER = "older"
    NEWER = "newer"
    FOREIGN = "foreign"
    """There are tables, but they are not ours."""


class SchemaError(PacelineError):
    """The database's schema is not the one this version works with."""

    code = "schema"


def upgrade(database: Database, revision: str = "head") -> None:
    """Apply the migrations up to ``revision``; a second run changes nothing."""
    database.alter_now(_upgrade, revision)


def downgrade(database: Database, revision: str = "base") -> None:
    """Take the migrations back down to ``revision``; ``base`` leaves an empty database."""
    database.alter_now(_downgrade, revision)


def state(connection: Connection) -> SchemaState:
    """Compare the database's revision with the newest one."""
    current = MigrationContext.configure(connection).get_current_revision()
    script = ScriptDirectory.from_config(_config(connection))
    if current is None:
        return SchemaState.FOREIGN if _has_tables(connection) else SchemaState.EMPTY
    if current == script.get_current_head():
        return SchemaState.CURRENT
    known = {revision.revision for revision in script.walk_revisions()}
    return SchemaState.OLDER if current in known else SchemaState.NEWER


def ready(database: Database, *, create: bool) -> None:
    """Make sure that the schema is the newest; an empty database is filled when ``create``.

    Raises:
        SchemaError: it is not, with the command that mends it.
        DatabaseUnreachableError: there is no database to look at.
    """
    found = database.read_now(state)
    if found is SchemaState.EMPTY and create:
        upgrade(database)
        return
    if found is not SchemaState.CURRENT:
        raise SchemaError(_HINTS[found])


_HINTS = {
    SchemaState.EMPTY: "The database is empty. Run: paceline db upgrade",
    SchemaState.OLDER: "The database's schema is older than this version of Paceline. "
    "Stop every worker, make a backup, then run: paceline db upgrade",
    SchemaState.NEWER: "The database's schema is newer than this version of Paceline. "
    "Install the version that wrote it, or a later one.",
    SchemaState.FOREIGN: "The database has tables that are not Paceline's. "
    "Give DATABASE_URL a database of its own.",
}


def _upgrade(connection: Connection, revision: str) -> None:
    if is_postgres(connection):
        connection.execute(sql("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    _run(connection, command.upgrade, revision)
    if revision != "head":
        return
    if is_postgres(connection):
        row_security.install(connection)
    if connection.execute(select(schema.installation.c.id)).first() is None:
        connection.execute(
            insert(schema.installation),
            {"id": 1, "prefix": secrets.token_hex(4), "created_at": now(connection)},
        )


def _downgrade(connection: Connection, revision: str) -> None:
    if is_postgres(connection):
        row_security.remove(connection)
    _run(connection, command.downgrade, revision)


def _run(connection: Connection, verb: object, revision: str) -> None:
    verb(_config(connection), revision)  # type: ignore[operator]


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _has_tables(connection: Connection) -> bool:
    return bool(set(inspect(connection).get_table_names()) - {"alembic_version"})
