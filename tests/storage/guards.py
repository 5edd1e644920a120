"""Triggers that stop a test at the first step which the transition tables do not know.

So every test of the storage layer holds every status change against the tables of the domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from paceline.domain import campaign, message
from paceline.storage.database import is_postgres


def guard_transitions(connection: Connection) -> None:
    """Install the guards on campaigns, batches and messages."""
    for table, steps in _tables().items():
        allowed = ", ".join(f"'{start}>{target}'" for start, target in sorted(steps))
        install = _on_postgres if is_postgres(connection) else _on_sqlite
        install(connection, table, allowed)


@contextmanager
def guards_lifted(connection: Connection) -> Iterator[None]:
    """So that a test can plant a state which could not have come about."""
    for table in _tables():
        of_table = f" ON {table}" if is_postgres(connection) else ""
        connection.exec_driver_sql(f"DROP TRIGGER guard_{table}{of_table}")
    yield
    guard_transitions(connection)


@contextmanager
def audit_log_open(connection: Connection) -> Iterator[None]:
    """So that a test can empty the audit log, which the schema forbids."""
    if is_postgres(connection):
        connection.exec_driver_sql("ALTER TABLE audit_log DISABLE TRIGGER USER")
        yield
        connection.exec_driver_sql("ALTER TABLE audit_log ENABLE TRIGGER USER")
        return
    triggers = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_log'"
    ).all()
    for name, _ in triggers:
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    yield
    for _, made_by in triggers:
        connection.exec_driver_sql(made_by)


def _tables() -> dict[str, set[tuple[str, str]]]:
    return {
        "campaigns": {
            (start, target) for starts, target in campaign.TRANSITIONS.values() for start in starts
        },
        "batches": {
            (start, target)
            for start, targets in message.BATCH_TRANSITIONS.items()
            for target in targets
        },
        "messages": {(start, target) for (start, _), target in message.TRANSITIONS.items()},
    }


def _on_sqlite(connection: Connection, table: str, allowed: str) -> None:
    connection.exec_driver_sql(
        f"CREATE TRIGGER guard_{table} BEFORE UPDATE OF status ON {table} "
        f"WHEN OLD.status <> NEW.status AND OLD.status || '>' || NEW.status NOT IN ({allowed}) "
        f"BEGIN SELECT RAISE(ABORT, 'no such transition in {table}'); END"
    )


def _on_postgres(connection: Connection, table: str, allowed: str) -> None:
    connection.exec_driver_sql(
        f"CREATE OR REPLACE FUNCTION guard_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF OLD.status || '>' || NEW.status NOT IN ({allowed}) THEN RAISE EXCEPTION USING "
        f"MESSAGE = 'no such transition in {table}: ' || OLD.status || '>' || NEW.status; "
        f"END IF; RETURN NEW; END $$"
    )
    connection.exec_driver_sql(
        f"CREATE TRIGGER guard_{table} BEFORE UPDATE OF status ON {table} FOR EACH ROW "
        f"WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION guard_{table}()"
    )
