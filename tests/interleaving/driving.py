"""Two operations, each in a thread of its own, that take their steps when they are told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from sqlalchemy import Connection, event

from paceline.storage.database import Database
from tests.interleaving.exploring import Pick, Taken
from tests.interleaving.steps import Step, end_step, statement_step

PATIENCE_S = 30.0
_AT_ONCE_S = 0.002
"""Most statements are done by then; only of those that are not, PostgreSQL is asked why."""
_UNDONE = {"40P01": "deadlock", "40001": "serialization failure"}

Body = Callable[[], Any]
"""An operation: it writes, transaction by transaction."""


class StuckError(Exception):
    """A step neither ended nor waited for the other one's lock."""


class AbandonedError(BaseException):
    """The schedule is not run to its end: its transactions are rolled back."""


@dataclass(slots=True)
class Played:
    """One schedule and what came of it."""

    taken: list[Taken] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)
    """What the two operations returned."""
    errors: list[BaseException | None] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    """Deadlocks and serialization failures, which the product would have tried again."""
    abandoned: bool = False
    """All that could come next has been run before."""

    @property
    def blocked(self) -> int:
        return sum(each.blocked for each in self.taken)

    def told(self, names: Sequence[str]) -> list[str]:
        """The schedule, for people."""
        waited = {True: "  (waits)", False: ""}
        return [
            f"{names[each.who]}: {each.step.brief}{waited[each.blocked]}" for each in self.taken
        ]


class _Actor:
    """One operation in its thread. It stops before each step until it is let go."""

    def __init__(self, director: Director, body: Body) -> None:
        self.director = director
        self.body = body
        self.thread = threading.Thread(target=self._act, daemon=True)
        self.go = threading.Semaphore(0)
        self.next: Step | None = None
        """What it would do; None: it is at it, or has ended."""
        self.ended = False
        self.pid = 0
        self.transaction: list[Step] = []
        self.result: Any = None
        self.error: BaseException | None = None

    @property
    def arrived(self) -> bool:
        return self.ended or self.next is not None

    def gate(self, step: Step) -> None:
        """Called by its own thread, before each step."""
        if not self.director.open:
            self._wait_for(step)
        if self.director.abandoned:
            self.transaction = []
            raise AbandonedError
        if step.ends:
            self.transaction = []
        else:
            self.transaction.append(step)

    def _wait_for(self, step: Step) -> None:
        with self.director.changed:
            self.next = step
            self.director.changed.notify_all()
        self.go.acquire()

    def _act(self) -> None:
        self.director.actors[threading.get_ident()] = self
        try:
            self.result = self.body()
        except BaseException as error:  # noqa: BLE001 - the judge looks at it
            self.error = error
        finally:
            del self.director.actors[threading.get_ident()]
            with self.director.changed:
                self.ended = True
                self.director.changed.notify_all()


class Director:
    """Says who takes the next step, of two operations on one database.

    Args:
        database: on PostgreSQL; both operations use it.
        watcher: a connection of its own, in autocommit, to ask who waits for whom.
    """

    def __init__(self, database: Database, watcher: psycopg.Connection) -> None:
        self.watcher = watcher
        self.actors: dict[int, _Actor] = {}
        self.changed = threading.Condition()
        self.open = False
        self.abandoned = False
        self.undone: list[str] = []
        engine = database._engines[0]
        event.listen(engine, "before_cursor_execute", self._before_statement)
        event.listen(engine, "commit", self._before_commit)
        event.listen(engine, "rollback", self._before_rollback)
        event.listen(engine, "handle_error", self._on_error)

    def play(
        self, pick: Pick, bodies: Sequence[Body], after_commit: Callable[[], None] | None = None
    ) -> Played:
        """Run one schedule.

        Args:
            pick: who goes on, of those who can.
            bodies: the two operations.
            after_commit: looks at the database when one of them has committed something.

        Raises:
            StuckError: as it says.
        """
        self.open = self.abandoned = False
        self.undone = []
        actors = [_Actor(self, body) for body in bodies]
        played = Played()
        try:
            for actor in actors:
                actor.thread.start()
                self.until_arrived(actor)
            _Schedule(self, actors, played).run(pick, after_commit or (lambda: None))
        finally:
            self._let_all_go(actors)
        played.results = [actor.result for actor in actors]
        played.errors = [actor.error for actor in actors]
        played.undone = self.undone
        return played

    def _let_all_go(self, actors: Sequence[_Actor]) -> None:
        """Let what is still held run to its end (or to its rollback, if it is abandoned)."""
        self.open = True
        for actor in actors:
            actor.go.release()
        for actor in actors:
            if actor.thread.ident is not None:
                actor.thread.join(PATIENCE_S)
                if actor.thread.is_alive():
                    raise StuckError("an operation does not end")

    def wait_for(self, actor: _Actor, other: _Actor) -> bool:
        """Wait until the step of ``actor`` is done; False: it waits for a lock of the other one,
        who is held, so that it will wait for as long as we like.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not self.until(lambda: actor.arrived or bool(self.undone), _AT_ONCE_S):
            if self._waits(actor.pid, other.pid):
                return False
            if time.monotonic() > deadline:
                raise StuckError(f"neither done nor waiting for a lock: {actor.transaction[-1:]}")
        return True

    def until_arrived(self, actor: _Actor) -> None:
        if not self.until(lambda: actor.arrived or bool(self.undone)):
            raise StuckError("it does not go on although nobody holds it up")

    def _waits(self, pid: int, other: int) -> bool:
        query = "SELECT %s = ANY (pg_blocking_pids(%s))"
        row = self.watcher.execute(query, (other, pid)).fetchone()
        return row is not None and bool(row[0])

    def until(self, condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> bool:
        with self.changed:
            return self.changed.wait_for(condition, timeout_s)

    # --- called by the threads that are driven, and by all others, who pass

    def _before_statement(self, connection: Connection, _cursor: Any, sql: str, *_: Any) -> None:
        if actor := self.actors.get(threading.get_ident()):
            proxied: Any = connection.connection
            actor.pid = proxied.dbapi_connection.info.backend_pid
            actor.gate(statement_step(sql))

    def _before_commit(self, _connection: Connection) -> None:
        self._before_end(commits=True)

    def _before_rollback(self, _connection: Connection) -> None:
        self._before_end(commits=False)

    def _before_end(self, *, commits: bool) -> None:
        actor = self.actors.get(threading.get_ident())
        if actor is not None and actor.transaction:
            actor.gate(end_step(actor.transaction, commits=commits))

    def _on_error(self, context: Any) -> None:
        state = getattr(context.original_exception, "sqlstate", None)
        if threading.get_ident() in self.actors and state in _UNDONE:
            with self.changed:
                if not self.open:
                    self.undone.append(_UNDONE[state])
                self.open = True  # what is tried again now is not part of the schedule
                self.changed.notify_all()


class _Schedule:
    """One schedule under way."""

    def __init__(self, director: Director, actors: Sequence[_Actor], played: Played) -> None:
        self.director = director
        self.actors = actors
        self.played = played
        self.waiting: set[int] = set()
        """Who waits for the other one's lock."""

    def run(self, pick: Pick, after_commit: Callable[[], None]) -> None:
        while steps := self._steps():
            who = pick(steps)
            if who is None:
                self.played.abandoned = self.director.abandoned = True
                return
            committed = self._take(who, steps[who])
            if self.director.undone or self.director.open:
                return
            if committed:
                after_commit()

    def _steps(self) -> Mapping[int, Step]:
        """What those who are held would do."""
        return {
            who: actor.next
            for who, actor in enumerate(self.actors)
            if actor.next is not None and not actor.ended
        }

    def _take(self, who: int, step: Step) -> bool:
        """Let one take its step; say whether something was committed by it."""
        actor, other = self.actors[who], self.actors[1 - who]
        freed = step.ends and (1 - who) in self.waiting
        actor.next = None
        actor.go.release()
        done = self.director.wait_for(actor, other)
        blocked = not done or bool(self.director.undone)
        self.played.taken.append(Taken(who, step, blocked=blocked, freed=freed))
        if not done:
            self.waiting.add(who)
            if len(self.waiting) == len(self.actors):
                self._wait_for_the_deadlock()
        elif freed:
            self.waiting.clear()
            self.director.until_arrived(other)
        return done and step.ends and bool(step.writes)

    def _wait_for_the_deadlock(self) -> None:
        """Each waits for the other: PostgreSQL ends it after its ``deadlock_timeout``."""
        if not self.director.until(lambda: bool(self.director.undone)):
            raise StuckError("both wait and nothing is undone")
