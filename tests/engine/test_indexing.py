"""Provider ids are indexed while nobody sends, and not much later when somebody always does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from paceline.clock import VirtualClock
from paceline.domain.outcome import Answered
from paceline.engine.chores import Chores
from paceline.engine.rules import Rules
from paceline.settings import load, sqlalchemy_url
from paceline.storage import migrate
from paceline.storage.database import Database
from paceline.storage.schema import answers
from tests.storage.world import World


class Place:
    """A database with one answer to index, and the chores of a worker that sends, or rests."""

    def __init__(self, database: Database, clock: VirtualClock) -> None:
        self.clock = clock
        self.at_rest = False
        self.chores = Chores(
            database, Rules.of(load({})), clock, wake=lambda: None, at_rest=lambda: self.at_rest
        )
        self.world = World(database, clock)
        self.world.sending(3)
        self.world.record(self.world.call(), Answered(["a", "b", "c"]))

    @property
    def waiting(self) -> int:
        return len(self.world.rows(answers))


@pytest.fixture
def place(database_url: str) -> Iterator[Place]:
    clock = VirtualClock()
    database = Database(sqlalchemy_url(database_url), clock=clock)
    migrate.upgrade(database)
    yield Place(database, clock)
    database.close()


async def test_a_worker_at_rest_indexes(place: Place) -> None:
    place.at_rest = True
    await place.chores.index_answers()
    assert place.waiting == 0


async def test_sending_goes_before_indexing_for_half_a_minute(place: Place) -> None:
    await place.chores.index_answers()
    assert place.waiting == 1
    place.clock.advance(31)
    await place.chores.index_answers()
    assert place.waiting == 0
