"""The failover in small; `python -m tests.failover` is the long form."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection
from sqlalchemy import text as sql

from paceline.settings import sqlalchemy_url
from paceline.storage.database import Database, DatabaseUnreachableError, ping
from tests.failover import failover


@pytest.mark.timeout(300)
def test_a_promoted_standby_has_all_that_was_acknowledged_and_nobody_gets_it_twice() -> None:
    """What the primary committed in its last second, cut off, was acknowledged to nobody."""
    report = failover(
        recipients=600, batch_size=10, calls_per_second=20, cut_off_ms=1500, rejoin=False
    )
    assert report.broken == []


def test_a_standby_that_is_not_promoted_yet_is_a_database_that_is_away(postgres_url: str) -> None:
    """An address that moves leads to it a moment too early."""
    cannot_write = f"{postgres_url}&options=-cdefault_transaction_read_only=on"
    with (
        closing(Database(sqlalchemy_url(cannot_write))) as database,
        pytest.raises(DatabaseUnreachableError),
    ):
        database.write_now(_write)


def _write(connection: Connection) -> None:
    connection.execute(sql("CREATE TABLE nothing ()"))


def test_the_url_says_how_long_to_wait_for_a_server_that_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lost primary comes first in it, so each new connection waits that long."""
    asked: dict[str, Any] = {}

    def connect(**parameters: Any) -> None:
        asked.update(parameters)
        raise psycopg.OperationalError("silent")

    monkeypatch.setattr(psycopg, "connect", connect)
    url = sqlalchemy_url("postgresql://user@one,two/paceline?connect_timeout=2")
    with closing(Database(url)) as database, pytest.raises(DatabaseUnreachableError):
        database.read_now(ping)
    assert int(asked["connect_timeout"]) == 2
