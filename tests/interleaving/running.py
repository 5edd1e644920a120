"""One case, whole: every schedule from the same beginning, each before the judge."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from tests.interleaving.cases import Case
from tests.interleaving.driving import Played
from tests.interleaving.exploring import MOST, Pick, schedules
from tests.interleaving.judge import Judge
from tests.interleaving.scenes import build
from tests.interleaving.stage import Stage


@dataclass(slots=True)
class Explored:
    """What came of all schedules of a case."""

    case: Case
    schedules: int = 0
    repetitions: int = 0
    """Begun and given up: what could come next had been run before."""
    blocked: int = 0
    """Steps that had to wait for the other operation's lock."""
    longest: int = 0
    """Steps of the longest schedule."""
    ends: set[str] = field(default_factory=set)
    """What may be in the database at the end."""
    seconds: float = 0.0
    broken: Counter[str] = field(default_factory=Counter)
    """What was broken: in how many schedules."""
    example: list[str] = field(default_factory=list)
    """The first schedule in which something was."""

    def add(self, played: Played, broken: list[str], names: tuple[str, str]) -> None:
        self.schedules += 1
        self.blocked += played.blocked
        self.longest = max(self.longest, len(played.taken))
        self.broken.update(set(broken))
        if broken and not self.example:
            self.example = played.told(names)


def explore(
    stage: Stage,
    case: Case,
    *,
    reduce: bool = True,
    most: int = MOST,
    until_broken: bool = False,
) -> Explored:
    """Run a case.

    Args:
        stage: where.
        case: what.
        reduce: leave out schedules that only swap independent steps.
        most: schedules, beyond which it is an error.
        until_broken: the first schedule that breaks something is enough.
    """
    began = time.monotonic()
    scene = build(stage.new_world(), case.plan)
    for operation in case.operations:
        operation.truth(scene)
    stage.save()
    judge = Judge(stage, scene, case.operations)
    bodies = [lambda operation=operation: operation.run(scene) for operation in case.operations]

    def play(pick: Pick) -> Played:
        stage.restore()
        judge.begin()
        return stage.director.play(pick, bodies, judge.after_commit)

    first, second = case.pair
    names = (first, second) if first != second else (f"one {first}", f"other {first}")
    explored = Explored(case)
    for played in schedules(play, reduce=reduce, most=most):
        if played.abandoned:
            explored.repetitions += 1
            continue
        explored.add(played, judge.end(played), names)
        explored.ends.add(judge.last[0])
        if explored.broken and until_broken:
            break
    explored.seconds = time.monotonic() - began
    return explored
