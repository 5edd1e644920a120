"""The driving, on little operations whose every outcome is known."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text

from tests.interleaving.exploring import schedules

Toy = Callable[[Connection], Any]


def toy(*statements: str) -> Toy:
    """A transaction of these statements; each may use what the one before gave, as ``:last``."""

    def run(connection: Connection) -> Any:
        last: Any = None
        for statement in statements:
            result = connection.execute(
                text(statement), {"last": last} if ":last" in statement else {}
            )
            last = result.scalar() if result.returns_rows else result.rowcount
        return last

    return run


def lock(tenant: int) -> str:
    return f"SELECT opt_outs FROM tenants WHERE id = {tenant} FOR UPDATE"  # noqa: S608


def write(value: str) -> str:
    return f"UPDATE tenants SET opt_outs = {value} WHERE id = 1"  # noqa: S608


READ = "SELECT opt_outs FROM tenants WHERE id = 1"
SKIP = "SELECT id FROM tenants ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
SUPPRESS = (
    "INSERT INTO suppressions (tenant_id, phone, reason, seq, created_at)"
    " VALUES (1, '+1', 'stop', 1, 0) ON CONFLICT DO NOTHING"
)
COUNT = "SELECT count(*) FROM suppressions"


@pytest.fixture
def outcomes_of(stage):
    """What two transactions can come to: their results and the committed opt-outs of a tenant."""
    world = stage.new_world()
    world.tenant("rival")
    stage.save()

    def outcomes(*toys: Toy, reduce: bool = True) -> tuple[list[Any], list[Any]]:
        def play(pick):
            stage.restore()
            return stage.director.play(
                pick, [lambda each=each: stage.database.write_now(each) for each in toys]
            )

        found = []
        runs = []
        for played in schedules(play, reduce=reduce):
            if not played.abandoned:
                assert [error for error in played.errors if error is not None] == []
                _, state = stage.state()
                found.append((*played.results, state["tenants"][0]["opt_outs"]))
                runs.append(played)
        return found, runs

    return outcomes


def test_a_lost_update_is_found(outcomes_of):
    increment = toy(READ, write(":last + 1"))
    found, runs = outcomes_of(increment, increment)
    assert {opt_outs for *_, opt_outs in found} == {1, 2}
    assert any(played.blocked for played in runs)


def test_an_update_under_a_lock_is_never_lost(outcomes_of):
    increment = toy(lock(1), write(":last + 1"))
    found, runs = outcomes_of(increment, increment)
    assert {opt_outs for *_, opt_outs in found} == {2}
    assert [played.undone for played in runs if played.undone] == []


def test_locks_taken_in_opposite_order_are_a_deadlock_in_some_schedule_and_not_in_all(outcomes_of):
    _, runs = outcomes_of(toy(lock(1), lock(2)), toy(lock(2), lock(1)))
    undone = [played.undone for played in runs]
    assert ["deadlock"] in undone
    assert [] in undone


def test_a_statement_that_waits_sees_what_was_there_before_it_waited(outcomes_of):
    """What promise 6 is about: suppressions are read in a later statement than the lock."""
    together = toy(
        "SELECT (SELECT count(*) FROM suppressions) FROM tenants WHERE id = 1 FOR UPDATE"
    )
    found, _ = outcomes_of(together, toy(lock(1), SUPPRESS))
    blind = {seen for seen, *_ in found}
    found, runs = outcomes_of(toy(lock(1), COUNT), toy(lock(1), SUPPRESS))
    apart = {
        seen
        for (seen, *_), played in zip(found, runs, strict=True)
        if played.taken[0].who == 1  # the suppression's lock came first
    }
    assert blind == {0, 1}
    assert apart == {1}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (toy(READ, write(":last + 1")), toy(READ, write(":last + 10"))),
        (toy(lock(1), lock(2)), toy(lock(2), lock(1))),
        (toy(lock(1), COUNT), toy(READ, SUPPRESS)),
        (toy(SKIP, write("5")), toy(SKIP, READ)),
        (toy(SUPPRESS, COUNT), toy(COUNT, SUPPRESS)),
        (toy(READ, COUNT, READ), toy(SUPPRESS, write("7"))),
    ],
    ids=itertools.count(1),
)
def test_what_is_left_out_would_have_come_to_nothing_else(outcomes_of, one, other):
    def summary(found, runs):
        return {(each, tuple(played.undone)) for each, played in zip(found, runs, strict=True)}

    every, every_run = outcomes_of(one, other, reduce=False)
    some, some_runs = outcomes_of(one, other)
    assert summary(some, some_runs) == summary(every, every_run)
    assert len(some) <= len(every)
