"""Many seeds, on all processors: what came of them in numbers, and the seeds that failed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
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


@contextmanager
def players(jobs: int) -> Iterator[Callable[[Iterable[int]], Iterator[Played]]]:
    """Something that plays seeds in so many processes, in no order.

    The processes are forked here: have no threads yet. (Started anew, a process would import the
    program's main module again, which may not expect that.)

    Args:
        jobs: processes; 1 plays the seeds in this one.
    """
    if jobs == 1:
        yield partial(map, _play)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield lambda seeds: pool.imap_unordered(_play, seeds, chunksize=_AT_ONCE)


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
