"""The exploration itself, on programs of which all interleavings can be listed by hand."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from tests.interleaving.exploring import Taken, TooManyError, UnstableError, schedules
from tests.interleaving.steps import Step, dependent, end_step, statement_step

TABLES = ("tenants", "campaigns", "messages")


@dataclass
class Model:
    """Two programs on a database that has one lock for each table."""

    programs: tuple[list[Step], list[Step]]
    taken: list[Taken] = field(default_factory=list)
    abandoned: bool = False

    def play(self, pick) -> Model:
        run = Model(self.programs)
        at = [0, 0]
        held: list[set[str]] = [set(), set()]
        waiting: set[int] = set()
        while True:
            steps = {
                who: program[at[who]]
                for who, program in enumerate(self.programs)
                if at[who] < len(program) and who not in waiting
            }
            if not steps:
                return run
            if (who := pick(steps)) is None:
                run.abandoned = True
                return run
            step, other = steps[who], 1 - who
            at[who] += 1
            if step.ends:
                held[who].clear()
                freed = other in waiting
                waiting.discard(other)
                run.taken.append(Taken(who, step, freed=freed))
                continue
            blocked = bool(step.locks & held[other])
            held[who] |= step.locks
            if blocked:
                waiting.add(who)
            run.taken.append(Taken(who, step, blocked=blocked))


def order_of(run: Model) -> frozenset[tuple[int, int, bool]]:
    """What can be told of a schedule: the order of each two steps that depend on each other."""
    numbered = []
    counts = [0, 0]
    for each in run.taken:
        numbered.append((each.who, counts[each.who], each.step))
        counts[each.who] += 1
    return frozenset(
        (one[1], other[1], one[0] == 0) if one[0] == 0 else (other[1], one[1], False)
        for one, other in itertools.combinations(numbered, 2)
        if one[0] != other[0] and dependent(one[2], other[2])
    )


def programs(seed: int) -> tuple[list[Step], list[Step]]:
    chance = random.Random(seed)

    def program() -> list[Step]:
        steps: list[Step] = []
        for _ in range(chance.randint(1, 2)):
            transaction = [statement(chance) for _ in range(chance.randint(1, 3))]
            steps += [*transaction, end_step(transaction, commits=chance.random() < 0.9)]
        return steps

    return program(), program()


def statement(chance: random.Random) -> Step:
    table = frozenset({chance.choice(TABLES)})
    kind = chance.choice(["read", "lock", "write"])
    reads = table if kind != "read" else table | {chance.choice(TABLES)}
    return Step(
        kind,
        reads=reads,
        locks=table if kind != "read" else frozenset(),
        writes=table if kind == "write" else frozenset(),
    )


@pytest.mark.parametrize("seed", range(100))
def test_every_order_that_can_be_told_apart_is_run_and_none_of_them_twice(seed):
    model = Model(programs(seed))
    every = {order_of(run) for run in schedules(model.play, reduce=False)}
    reduced = [order_of(run) for run in schedules(model.play) if not run.abandoned]
    assert set(reduced) == every
    assert len(reduced) == len(every)


def test_without_a_reduction_every_interleaving_is_run():
    read = Step("read", reads=frozenset({"tenants"}))
    model = Model(([read] * 4, [read] * 5))
    runs = [tuple(each.who for each in run.taken) for run in schedules(model.play, reduce=False)]
    assert len(runs) == len(set(runs)) == 126  # 9 over 4
    assert len(list(schedules(model.play))) == 1


def test_too_many_schedules_are_an_error_and_never_a_sample():
    write = Step("write", locks=frozenset({"tenants"}))
    model = Model(([write], [write]))
    with pytest.raises(TooManyError):
        list(schedules(model.play, most=1))


def test_operations_that_do_not_repeat_themselves_are_an_error():
    names = itertools.count()

    def play(pick) -> Model:
        program = [Step(f"read {next(names)}"), Step("COMMIT", ends=True)]
        return Model((program, program)).play(pick)

    with pytest.raises(UnstableError):
        list(schedules(play))


@pytest.mark.parametrize(
    ("sql", "locks", "writes"),
    [
        ("SELECT a.id FROM tenants a WHERE a.id = 1", "", ""),
        (
            "SELECT t.id FROM tenants t WHERE t.id IN (SELECT 1 FROM batches) FOR UPDATE",
            "tenants",
            "",
        ),
        (
            "SELECT r.id FROM receipts r, messages LIMIT 5 FOR UPDATE OF receipts SKIP LOCKED",
            "receipts",
            "",
        ),
        ("SELECT x.id FROM (SELECT id FROM tenants) x FOR NO KEY UPDATE", "tenants", ""),
        ("UPDATE batches SET status = 'done' WHERE id = 1", "batches", "batches"),
        ("DELETE FROM answers WHERE attempt_id = 1", "answers", "answers"),
        ("SELECT pg_try_advisory_xact_lock(1)", "advisory", ""),
        ("INSERT INTO attempts (batch_id) VALUES (1)", "attempts batches", "attempts"),
        (
            "WITH s AS (UPDATE messages SET sent_at = 1 RETURNING id) SELECT count(*) FROM s",
            "messages",
            "messages",
        ),
    ],
)
def test_a_statement_locks_and_writes_what_it_says(sql, locks, writes):
    step = statement_step(sql)
    assert (step.locks, step.writes) == (frozenset(locks.split()), frozenset(writes.split()))
    assert step.locks <= step.reads


def _steps() -> Mapping[str, Step]:
    read = statement_step("SELECT id FROM batches")
    lock = statement_step("SELECT id FROM batches FOR UPDATE")
    write = statement_step("UPDATE batches SET status = 'done'")
    return {
        "read": read,
        "lock": lock,
        "write": write,
        "other": statement_step("UPDATE tenants SET grants = ''"),
        "end of a write": end_step([write], commits=True),
        "end of a lock": end_step([lock], commits=True),
        "undoing": end_step([write], commits=False),
    }


def _dependents() -> Iterator[tuple[str, str]]:
    yield from (("lock", "lock"), ("lock", "write"), ("write", "write"))
    yield from (("end of a write", name) for name in ("read", "lock", "write"))
    yield from (("end of a lock", name) for name in ("lock", "write"))
    yield from (("undoing", name) for name in ("lock", "write"))
    yield from itertools.combinations_with_replacement(
        ("end of a write", "end of a lock", "undoing"), 2
    )


def test_what_is_not_committed_is_felt_by_its_locks_only_and_an_end_by_all_that_it_shows():
    steps = _steps()
    pairs = itertools.combinations_with_replacement(steps, 2)
    found = {frozenset(pair) for pair in pairs if dependent(steps[pair[0]], steps[pair[1]])}
    found -= {frozenset({"other"})}  # writes in the same table, as "write" and "write"
    assert found == {frozenset(pair) for pair in _dependents()}
