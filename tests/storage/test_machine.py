"""The state machine on both databases.

In the normal run a few examples; the long form is

    MACHINE_EXAMPLES=2000 MACHINE_STEPS=60 pytest tests/storage/test_machine.py

with ``-k sqlite`` or ``-k postgres`` for one of them. A failure prints the steps that lead to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import event, text

from paceline.clock import VirtualClock
from paceline.settings import sqlalchemy_url
from paceline.storage import campaigns, migrate
from paceline.storage.database import Database
from tests.storage.conftest import _empty
from tests.storage.guards import guard_transitions
from tests.storage.machine import Machine

EXAMPLES = {"sqlite": 32, "postgres": 18}
STEPS = 30
LONG = "MACHINE_EXAMPLES" in os.environ


class Quick:
    """A database that is guarded and quick: what a power cut would leave does not matter here."""

    def __init__(self, url: str) -> None:
        self.clock = VirtualClock()
        self.database = Database(sqlalchemy_url(url), clock=self.clock)
        if self.database.is_sqlite:
            for engine in self.database._engines:
                event.listen(engine, "connect", _hasten_sqlite)
        else:
            name = self.database.url.database
            self.database.write_now(
                lambda c: c.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
            )
            self.database._engines[0].dispose()  # connections made from now on know it
        migrate.upgrade(self.database)
        self.database.write_now(guard_transitions)

    def machine(self) -> Machine:
        """A new machine on the emptied database, at the beginning of time."""
        self.clock.__init__()  # type: ignore[misc]
        self.database.write_now(_empty)
        return Machine(self.database, self.clock)


def _hasten_sqlite(connection, _record) -> None:
    connection.execute("PRAGMA synchronous=OFF")


@pytest.fixture
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a handful of messages is many."""
    monkeypatch.setattr(campaigns, "CANCEL_CHUNK", 3)


@pytest.fixture(params=["sqlite", "postgres"])
def quick(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _small_chunks: None
) -> Iterator[Quick]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('machine')}/paceline.db"
    else:
        url = request.getfixturevalue("postgres_server").create_database()
    quick = Quick(url)
    yield quick
    quick.database.close()


@pytest.mark.timeout(0 if LONG else 600)  # who fails is given the time to find the shortest way
def test_the_promises_hold_after_every_step(quick: Quick) -> None:
    kind = "sqlite" if quick.database.is_sqlite else "postgres"
    run_state_machine_as_test(
        cast("type[Machine]", quick.machine),
        settings=settings(
            max_examples=int(os.environ.get("MACHINE_EXAMPLES", EXAMPLES[kind])),
            stateful_step_count=int(os.environ.get("MACHINE_STEPS", STEPS)),
            suppress_health_check=list(HealthCheck),
        ),
    )
