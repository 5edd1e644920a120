"""All schedules of two operations, each once, but for those that only swap steps that cannot be
told apart in either order.

Stateless: a schedule is run from its beginning, and where two could go on, the other one goes first
in a later run. Without a reduction that is every interleaving. With it (dynamic partial order
reduction with sleep sets, after Flanagan and Godefroid, and Abdulla and others):

- The other one goes first only at those points where a later step of its depends on the one that
  was taken there, with nothing in between that forces this order: a *race*. All other interleavings
  come from these by swapping neighbours that are independent (``steps.dependent``).
- A step whose schedules have all been run is *asleep* behind its sibling until a step that it
  depends on is taken: waking it earlier would only run one of those schedules again.

For two operations a schedule has one race for each step at most, with the latest step of the other
one that it depends on; all earlier ones come before that one anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from tests.interleaving.steps import Step, dependent

FIRST, SECOND = 0, 1
MOST = 20_000
"""Schedules of one pair, beyond which we give up, loudly."""

Pick = Callable[[Mapping[int, Step]], int | None]
"""Given what each of those who can go on would do: who does. None: it would be a repetition."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that was taken."""

    who: int
    step: Step
    blocked: bool = False
    """It had to wait for the end of the other one's transaction."""
    freed: bool = False
    """It was the end that the other one's step had been waiting for."""


class Played(Protocol):
    """A run of one schedule."""

    @property
    def taken(self) -> Sequence[Taken]: ...


P = TypeVar("P", bound=Played)


class TooManyError(Exception):
    """More schedules than we are willing to run."""


class UnstableError(Exception):
    """The same decisions led to other steps than before, so nothing can be explored."""


@dataclass(slots=True)
class _Choice:
    """A point of the schedule that is being run."""

    steps: dict[int, Step]
    asleep: set[int]
    chosen: int
    to_do: set[int]
    done: set[int] = field(default_factory=set)


def schedules(play: Callable[[Pick], P], *, reduce: bool = True, most: int = MOST) -> Iterator[P]:
    """Run every schedule, each from its beginning.

    Args:
        play: runs one schedule by asking who goes on at each point; gives all the steps taken.
        reduce: leave out those that only swap independent steps.
        most: of them.

    Raises:
        TooManyError: there are more.
        UnstableError: the operations are not deterministic.
    """
    exploration = _Exploration(reduce=reduce)
    for _ in range(most):
        exploration.depth = 0
        played = play(exploration.pick)
        yield played
        exploration.note_races(played.taken)
        if not exploration.back_up():
            return
    raise TooManyError(f"more than {most} schedules")


class _Exploration:
    """The path to the schedule that is being run, and what is left to do along it."""

    def __init__(self, *, reduce: bool) -> None:
        self.reduce = reduce
        self.path: list[_Choice] = []
        self.depth = 0

    def pick(self, steps: Mapping[int, Step]) -> int | None:
        """Who goes on: who did before, as far as this path was taken before."""
        if self.depth == len(self.path):
            choice = self._new_choice(dict(steps))
            if choice is None:
                return None
            self.path.append(choice)
        choice = self.path[self.depth]
        if choice.steps != steps:
            raise UnstableError(f"at step {self.depth}: {choice.steps}, and now {dict(steps)}")
        self.depth += 1
        return choice.chosen

    def _new_choice(self, steps: dict[int, Step]) -> _Choice | None:
        asleep = self._asleep(steps) if self.reduce else set()
        awake = sorted(steps.keys() - asleep)
        if not awake:
            return None
        to_do = {awake[0]} if self.reduce else set(awake)
        return _Choice(steps, asleep, awake[0], to_do)

    def _asleep(self, steps: Mapping[int, Step]) -> set[int]:
        """Whose step has been tried before the last one taken, and could as well come after it."""
        if not self.path:
            return set()
        last = self.path[-1]
        taken = last.steps[last.chosen]
        tried = (last.asleep | last.done) - {last.chosen}
        return {who for who in tried & steps.keys() if not dependent(steps[who], taken)}

    def note_races(self, taken: Sequence[Taken]) -> None:
        """Wherever a later step might as well have come first, let its side go first once."""
        if not self.reduce:
            return
        behind = {FIRST: -1, SECOND: -1}
        """Up to which step of the other one each is known to come later."""
        for here, each in enumerate(taken):
            other = 1 - each.who
            race = next(
                (
                    there
                    for there in range(here - 1, behind[each.who], -1)
                    if taken[there].who == other and dependent(taken[there].step, each.step)
                ),
                None,
            )
            if race is not None:
                choice = self.path[race]
                choice.to_do |= {each.who} & choice.steps.keys()
                behind[each.who] = race
            if each.freed:
                behind[other] = here

    def back_up(self) -> bool:
        """Go back to the last point with something left to do; False: there is none."""
        while self.path:
            choice = self.path[-1]
            choice.done.add(choice.chosen)
            if left := choice.to_do - choice.done - choice.asleep:
                choice.chosen = min(left)
                return True
            self.path.pop()
        return False
