"""What a database is to those who use it: it keeps what it has committed, and shows one moment."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from paceline.settings.database_url import sqlalchemy_url
from paceline.storage.database import Database, DatabaseUnreachableError, is_postgres
from paceline.storage.schema import campaigns


def durability(connection: Connection) -> str:
    statement = "SHOW synchronous_commit" if is_postgres(connection) else "PRAGMA synchronous"
    return str(connection.exec_driver_sql(statement).scalar_one())


def test_a_commit_outlives_a_power_cut(world):
    """Less than that may forget an intent, whose call is then made again."""
    full = {"sqlite": "2", "postgresql": "on"}[world.database.url.get_backend_name()]
    assert world.database.write_now(durability) == full


def test_a_process_that_freezes_in_a_transaction_gives_its_locks_back(postgres_url: str) -> None:
    """It misses its connection when it wakes up, and goes on with another one."""
    with closing(Database(sqlalchemy_url(postgres_url))) as database:
        assert database.read_now(_ask, "SHOW idle_in_transaction_session_timeout") == "30s"

        def freeze(connection: Connection) -> None:
            session = _ask(connection, "SELECT pg_backend_pid()")
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '1ms'")
            deadline = time.monotonic() + 10
            while database.read_now(_is_there, session) and time.monotonic() < deadline:
                time.sleep(0.001)
            _ask(connection, "SELECT 1")

        with pytest.raises(DatabaseUnreachableError):
            database.write_now(freeze)
        assert database.write_now(_ask, "SELECT 1") == 1


def _is_there(connection: Connection, session: int) -> bool:
    found = text("SELECT 1 FROM pg_stat_activity WHERE pid = :session")
    return connection.execute(found, {"session": session}).first() is not None


def _ask(connection: Connection, statement: str) -> Any:
    return connection.exec_driver_sql(statement).scalar_one()


@pytest.mark.parametrize("column", ["queued", "sent"])
def test_what_a_read_looks_at_twice_is_of_one_moment(world, column):
    campaign = world.sending(3)
    call = world.call()
    query = select(campaigns.c[column]).where(campaigns.c.id == campaign)

    def read(connection: Connection) -> tuple[int, int]:
        before = connection.execute(query).scalar_one()
        world.record(call, call.accepted())
        return before, connection.execute(query).scalar_one()

    before, after = world.read(read)
    assert before == after
    assert world.campaign(campaign).sent == 3


async def test_a_glance_outlives_the_connections_from_before_the_server_went_away(
    postgres_url: str,
) -> None:
    url = sqlalchemy_url(postgres_url)
    with closing(Database(url)) as database, closing(Database(url)) as operator:
        session = await database.glance(_ask, "SELECT pg_backend_pid()")
        operator.write_now(_ask, f"SELECT pg_terminate_backend({session})")
        assert await database.glance(_ask, "SELECT 1") == 1
