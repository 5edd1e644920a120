"""Many seeds, on all processors: what came of them in numbers, and the seeds that failed."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from paceline.simulation.run import simulate

_AT_ONCE = 10
"""Seeds that a process takes at a time."""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one seed, as far as it matters when it is one of many."""

    seed: int
    violations: tuple[str, ...]
    virtual_s: float
    commits: int
    calls: int
    texts: int
    deaths: int


@dataclass(slots=True)
class Tally:
    """What came of all of them."""

    seeds: int = 0
    failed: list[Played] = field(default_factory=list)
    virtual_s: float = 0.0
    commits: int = 0
    calls: int = 0
    texts: int = 0
    deaths: int = 0

    def add(self, played: Played) -> None:
        self.seeds += 1
        self.virtual_s += played.virtual_s
        self.commits += played.commits
        self.calls += played.calls
        self.texts += played.texts
        self.deaths += played.deaths
        if played.violations:
            self.failed.append(played)

    def document(self, seconds: float) -> dict[str, Any]:
        """As JSON."""
        return {
            "seeds": self.seeds,
            "failed": [{"seed": each.seed, "broken": each.violations[0]} for each in self.failed],
            "virtual_hours": round(self.virtual_s / 3600, 2),
            "transactions": self.commits,
            "submissions_of_messages": self.calls,
            "texts": self.texts,
            "process_deaths": self.deaths,
            "seconds": round(seconds, 1),
        }


def play_all(seeds: Iterable[int], jobs: int) -> Iterator[Played]:
    """Play seeds in so many processes, in no order.

    Args:
        seeds: which.
        jobs: processes; 1 plays them in this one.
    """
    if jobs == 1:
        yield from map(_play, seeds)
        return
    # Forked from a process that has threads, a child may inherit their locks.
    fresh = multiprocessing.get_context("spawn")
    with fresh.Pool(jobs) as pool:
        yield from pool.imap_unordered(_play, seeds, chunksize=_AT_ONCE)


def tally(seeds: Iterable[int], jobs: int) -> tuple[Tally, float]:
    """Play them all; what came of them, and how many seconds it took."""
    began = time.monotonic()
    sum_of_all = Tally()
    for played in play_all(seeds, jobs):
        sum_of_all.add(played)
    return sum_of_all, time.monotonic() - began


def _play(seed: int) -> Played:
    outcome = simulate(seed)
    return Played(
        seed,
        tuple(map(str, outcome.violations)),
        outcome.virtual_s,
        outcome.commits,
        outcome.calls,
        outcome.texts,
        deaths=sum(line.what.startswith("dies") for line in outcome.trace.lines),
    )
