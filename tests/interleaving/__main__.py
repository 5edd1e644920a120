"""Run all interleavings of pairs of storage operations on PostgreSQL.

    python -m tests.interleaving                      every pair
    python -m tests.interleaving --pair fold record   one pair, in all its cases

Prints one JSON document: for each pair the schedules that were run (those that only swap
independent steps count as one), the steps that waited for the other operation's lock, the steps of
the longest schedule, and what was broken, with a schedule that broke it. Exits 1 if anything was.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import program
from tests.interleaving.cases import Case, engine_cases
from tests.interleaving.cases_beside import cases_beside
from tests.interleaving.running import Explored, explore
from tests.interleaving.stage import prepared_stage
from tests.postgres import running_postgres


@dataclass(frozen=True, slots=True)
class Report:
    """What all cases came to."""

    pairs: dict[str, dict[str, Any]]
    total: dict[str, Any]
    broken: list[dict[str, Any]]


def main() -> int:
    cases = _chosen([*engine_cases(), *cases_beside()])
    return program.run(lambda: _report(_run(cases)))


def _chosen(cases: list[Case]) -> list[Case]:
    parser = argparse.ArgumentParser(
        prog="python -m tests.interleaving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pair", nargs=2, metavar=("A", "B"), help="one pair only")
    pair = parser.parse_args().pair
    if pair is None:
        return cases
    chosen = [case for case in cases if sorted(case.pair) == sorted(pair)]
    if not chosen:
        names = sorted({name for case in cases for name in case.pair})
        parser.error(f"there is no such pair of {', '.join(names)}")
    return chosen


def _run(cases: Sequence[Case]) -> list[Explored]:
    found = []
    with running_postgres() as server, prepared_stage(server) as stage:
        for case in cases:
            explored = explore(stage, case)
            found.append(explored)
            told = "broken" if explored.broken else "ok"
            figures = f"{explored.schedules} schedules, {explored.seconds:.1f} s"
            print(f"{case.name}: {told}, {figures}", file=sys.stderr)
    return found


def _report(found: Sequence[Explored]) -> Report:
    by_pair: dict[str, list[Explored]] = defaultdict(list)
    for each in found:
        by_pair["/".join(sorted(each.case.pair))].append(each)
    return Report(
        pairs={pair: _figures(cases) for pair, cases in by_pair.items()},
        total=_figures(found),
        broken=[_told(each) for each in found if each.broken],
    )


def _figures(cases: Sequence[Explored]) -> dict[str, Any]:
    return {
        "cases": len(cases),
        "schedules": sum(each.schedules for each in cases),
        "repetitions": sum(each.repetitions for each in cases),
        "blocked": sum(each.blocked for each in cases),
        "longest": max(each.longest for each in cases),
        "seconds": round(sum(each.seconds for each in cases), 1),
    }


def _told(explored: Explored) -> dict[str, Any]:
    return {
        "case": explored.case.name,
        "what": dict(explored.broken),
        "schedule": explored.example,
    }


if __name__ == "__main__":
    sys.exit(main())
