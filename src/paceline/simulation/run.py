"""One run: a seed becomes a scenario, the scenario is played to its end, and judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import structlog

from paceline.simulation.fairness import unfair
from paceline.simulation.fate import Fate
from paceline.simulation.judge import Violation
from paceline.simulation.loop import StandstillError
from paceline.simulation.people import People
from paceline.simulation.scenario import Scenario, draw
from paceline.simulation.trace import Trace
from paceline.simulation.world import World
from paceline.storage import audit

SETTLES_WITHIN_S = 400.0
"""Virtual time from the end of trouble until everything has come to rest."""

_NOT_AT_REST = """
    SELECT 'campaign ' || id || ' is ' || status || ', ' || queued || ' queued, '
        || unconfirmed || ' unconfirmed' || CASE WHEN launching THEN ', launching' ELSE '' END
    FROM campaigns WHERE status IN ('scheduled', 'sending', 'paused') OR queued > 0 OR launching
    UNION ALL
    SELECT 'message ' || id || ' without a campaign is queued' FROM messages
    WHERE campaign_id IS NULL AND status = 'queued'
    UNION ALL
    SELECT 'receipt ' || r.id || ' is not folded' FROM receipts r
    WHERE EXISTS (
        SELECT 1 FROM provider_messages p
        WHERE p.account_id = r.account_id AND p.provider_message_id = r.provider_message_id
    )
    LIMIT 5
"""


_TOOK = """
    SELECT t.name, c.completed_at - c.started_at
    FROM campaigns c JOIN tenants t ON t.id = c.tenant_id
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run."""

    seed: int
    scenario: Scenario
    violations: list[Violation]
    trace: Trace
    virtual_s: float
    commits: int
    calls: int
    texts: int


def simulate(seed: int) -> Outcome:
    """Play a seed to its end, or until a promise is broken."""
    return play(draw(Random(f"{seed}/scenario")), seed)


def play(scenario: Scenario, seed: int) -> Outcome:
    """Play a scenario with the dice of a seed."""
    world = World(scenario, seed)
    judge = world.judge
    _run(world)
    if scenario.calm and not judge.violations:
        unfairness = unfair(scenario, _took(world), lambda one: _alone(one, seed))
        judge.violations += [] if unfairness is None else [unfairness]
    for failure in world.loop.failures:
        judge.broken("no bug goes unseen", failure)
    return Outcome(
        seed,
        scenario,
        judge.violations,
        world.trace,
        world.loop.time(),
        judge.commits,
        calls=sum(len(model.sightings) for model in world.models.values()),
        texts=sum(len(model.texts) for model in world.models.values()),
    )


def _run(world: World) -> None:
    """Play it to its end, or until a promise is broken."""
    judge = world.judge
    with _logged(world.trace):
        try:
            world.loop.run(_play(world), unless=lambda: bool(judge.violations))
        except StandstillError as error:
            judge.broken("2 never lost", str(error))
        except Exception as error:  # noqa: BLE001 - a bug of the simulation fails its seed
            judge.broken("the simulation", f"{type(error).__name__}: {error}")
        finally:
            world.loop.close()


def _alone(scenario: Scenario, seed: int) -> dict[str, float]:
    """How long a tenant's campaign takes without the others."""
    world = World(scenario, seed)
    _run(world)
    return _took(world)


def _took(world: World) -> dict[str, float]:
    return dict(world.raw.execute(_TOOK).fetchall())


async def _play(world: World) -> None:
    people = People(world)
    fate = Fate(world, people)
    people.begin()
    fate.begin()
    await fate.trouble()
    deadline_s = world.loop.time() + SETTLES_WITHIN_S
    while left := _left(world, people):
        if world.loop.time() > deadline_s:
            world.judge.broken("2 never lost", f"never at rest: {'; '.join(left)}")
            return
        await people.tidy()
    world.judge.at_rest()
    for each in world.store.read_now(audit.differences):
        world.judge.broken("4 numbers that are true", f"audit: {each}")


def _left(world: World, people: People) -> list[str]:
    """What has not come to rest."""
    left = [what for (what,) in world.raw.execute(_NOT_AT_REST)]
    if people.starting:
        left.append(f"{people.starting} not started")
    if people.receipts_under_way:
        left.append(f"{people.receipts_under_way} receipts under way")
    return left


@contextmanager
def _logged(trace: Trace) -> Iterator[None]:
    """Write what the product logs into the trace."""

    def note(_logger: Any, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        who, what = event.pop("component", "log"), event.pop("event")
        facts = " ".join(f"{name}={value}" for name, value in event.items() if name != "exc_info")
        if method == "exception" or event.get("exc_info"):
            trace.note(who, f"EXCEPTION {what} {facts}")
        elif method != "debug":
            trace.note(who, f"logs {what} {facts}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[note], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
