"""What a database is to those who use it: it keeps what it has committed, and shows one moment."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, select

from paceline.storage.database import is_postgres
from paceline.storage.schema import campaigns


def durability(connection: Connection) -> str:
    statement = "SHOW synchronous_commit" if is_postgres(connection) else "PRAGMA synchronous"
    return str(connection.exec_driver_sql(statement).scalar_one())


def test_a_commit_outlives_a_power_cut(world):
    """Less than that may forget an intent, whose call is then made again."""
    full = {"sqlite": "2", "postgresql": "on"}[world.database.url.get_backend_name()]
    assert world.database.write_now(durability) == full


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
