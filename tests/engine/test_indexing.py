"""Provider ids are indexed while nobody sends, and not much later when somebody always does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import func, select

from paceline.clock import VirtualClock
from paceline.engine.chores import Chores
from paceline.engine.rules import Rules
from paceline.settings import load, sqlalchemy_url
from paceline.storage import migrate, provider_messages
from paceline.storage.database import Database
from paceline.storage.provider_messages import Names
from paceline.storage.schema import answers


class Place:
    """A database with one answer to index, and the chores of a worker that sends, or rests."""

    def __init__(self, database_url: str) -> None:
        self.clock = VirtualClock()
        self.database = Database(sqlalchemy_url(database_url), clock=self.clock)
        self.at_rest = False
        rules = Rules.of(load({"DATABASE_URL": database_url}))
        self.chores = Chores(
            self.database,
            rules,
            self.clock,
            wake=lambda: None,
            at_rest=lambda: self.at_rest,
        )
        migrate.upgrade(self.database)
        self.database.write_now(provider_messages.remember, [Names(1, 1, {1: "theirs"})])

    def waiting(self) -> int:
        return self.database.read_now(
            lambda c: c.execute(select(func.count()).select_from(answers)).scalar_one()
        )


@pytest.fixture
def place(database_url: str) -> Iterator[Place]:
    place = Place(database_url)
    yield place
    place.database.close()


async def test_a_worker_at_rest_indexes(place: Place) -> None:
    place.at_rest = True
    await place.chores.index_answers()
    assert place.waiting() == 0


async def test_sending_goes_before_indexing_for_half_a_minute(place: Place) -> None:
    await place.chores.index_answers()
    assert place.waiting() == 1
    place.clock.advance(31)
    await place.chores.index_answers()
    assert place.waiting() == 0
