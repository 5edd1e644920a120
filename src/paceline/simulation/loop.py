"""Virtual time: an event loop for several processes, driven by a seed.

Each process has callbacks of its own, which run in the order in which they were registered, as in
any event loop. Whose turn it is, is the dice's choice; and time passes only when nobody has
anything to do. So a run is a pure function of its seed, and an hour of it takes seconds.

A process can be *killed* between any two of its callbacks: nothing of it runs again. It can be
*stalled*, as by SIGSTOP: its callbacks and timers wait until it goes on, while time passes.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
_CLOSING_TRIES = 20


class StandstillError(Exception):
    """Nobody has anything to do any more, and the run is not over."""


class Process:
    """One operating system process, as far as the loop is concerned."""

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        self.loop = loop
        self.name = name
        self.alive = True
        self.died: asyncio.Future[None] = loop.create_future()
        self.ready: deque[_Handle] = deque()
        self.stalled_until_ns = 0
        self.steps = 0
        """Callbacks that it has run."""
        self.on_step: Callable[[Process], None] | None = None
        """Called before each of its callbacks; it may kill the process."""
        self._tasks: list[asyncio.Task[Any]] = []

    def __repr__(self) -> str:
        return self.name

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine as this process."""
        context = copy_context()
        context.run(_PROCESS.set, self)
        return context.run(self.loop.create_task, work)

    @property
    def mourned(self) -> bool:
        """Dead, and not buried yet."""
        return bool(self._tasks)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        self._tasks.append(task)
        if len(self._tasks) > 2 * _MANY_TASKS:
            self._tasks = [each for each in self._tasks if not each.done()]

    def stall(self, seconds: float) -> None:
        """Run nothing of it for so long."""
        until_ns = self.loop.now_ns + round(seconds * NS_PER_S)
        self.stalled_until_ns = max(self.stalled_until_ns, until_ns)
        self.loop.look_again_at(until_ns)

    def kill(self) -> None:
        """Let nothing of it run again. It may be called by the process itself, which then has to
        wait for ever.
        """
        if not self.alive:
            return
        self.alive = False
        self.ready.clear()
        self.died.set_result(None)
        # A coroutine cannot be closed while it runs, and this may be one of them.
        self.loop.world.spawn(self._bury())

    async def _bury(self) -> None:
        self.bury()

    def bury(self) -> None:
        """Close what is left, so that nothing complains of being forgotten. What its coroutines do
        on their way out reaches nobody: the process is dead.
        """
        context = copy_context()
        context.run(_PROCESS.set, self)
        while self._tasks:
            task = self._tasks.pop()
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
                context.run(_close, task.get_coro())


_MANY_TASKS = 256
_PROCESS: ContextVar[Process] = ContextVar("process")


def _close(work: Any) -> None:
    for _ in range(_CLOSING_TRIES):
        try:
            work.close()
        except RuntimeError:
            continue  # it would wait for something in a `finally`
        except BaseException:  # noqa: BLE001, S110 - whatever a dead process thinks of it
            pass
        return


class _Handle:
    """A callback that waits for its turn, or for its time."""

    __slots__ = ("_cancelled", "_when_ns", "arguments", "callback", "context", "process")

    def __init__(
        self,
        callback: Callable[..., object],
        arguments: tuple[Any, ...],
        context: Context,
        process: Process,
        when_ns: int,
    ) -> None:
        self.callback = callback
        self.arguments = arguments
        self.context = context
        self.process = process
        self._when_ns = when_ns
        self._cancelled = False

    def when(self) -> float:
        return self._when_ns / NS_PER_S

    def cancel(self) -> None:
        self._cancelled = True

    def cancelled(self) -> bool:
        return self._cancelled


class VirtualLoop(asyncio.AbstractEventLoop):
    """The event loop of all processes of a run.

    Args:
        dice: decide whose turn it is.
    """

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self.now_ns = 0
        self._order = itertools.count()
        self._timers: list[tuple[int, int, _Handle | None]] = []
        self._processes: list[Process] = []
        self._running = False
        self.failures: list[str] = []
        """What callbacks raised: bugs of the simulation or of what it runs."""
        self.world = self.process("world")
        """What is not ours: the provider, the people, and fate."""

    # --- Processes ------------------------------------------------------------------------------

    def process(self, name: str) -> Process:
        """A new process with nothing to do yet."""
        made = Process(self, name)
        self._processes = [each for each in self._processes if each.alive or each.mourned]
        self._processes.append(made)
        return made

    def look_again_at(self, when_ns: int) -> None:
        """Do not let time pass beyond this moment without looking who can go on."""
        heapq.heappush(self._timers, (when_ns, next(self._order), None))

    def run(self, main: Coroutine[Any, Any, None], *, unless: Callable[[], bool]) -> None:
        """Run a coroutine of the world to its end, unless something makes it pointless.

        Raises:
            StandstillError: nothing is left that could end it.
        """
        with self._as_running():
            task = self.world.spawn(main)
            while not (task.done() or unless()):
                self._step()
            if task.done():
                task.result()

    def close(self) -> None:
        """Kill and bury whatever is left."""
        with self._as_running():
            for process in self._processes:
                process.alive = False
                process.bury()
        self._processes.clear()
        self._timers.clear()

    @contextmanager
    def _as_running(self) -> Iterator[None]:
        asyncio._set_running_loop(self)  # noqa: SLF001 - what asyncio has for loops
        self._running = True
        try:
            yield
        finally:
            self._running = False
            asyncio._set_running_loop(None)  # noqa: SLF001

    def _step(self) -> None:
        """Run one callback of somebody who has one, or let time pass."""
        self._wake_due()
        able = [
            each
            for each in self._processes
            if each.ready and each.alive and each.stalled_until_ns <= self.now_ns
        ]
        if not able:
            self._let_time_pass()
            return
        process = able[0] if len(able) == 1 else able[self._dice.randrange(len(able))]
        handle = process.ready.popleft()
        if handle.cancelled():
            return
        if process.on_step is not None:
            process.on_step(process)
            if not process.alive:
                return
        process.steps += 1
        try:
            handle.context.run(handle.callback, *handle.arguments)
        except Exception as error:  # noqa: BLE001 - it is reported with the run
            self.failures.append(f"{process}: {type(error).__name__}: {error}")

    def _wake_due(self) -> None:
        while self._timers and self._timers[0][0] <= self.now_ns:
            *_, handle = heapq.heappop(self._timers)
            if handle is not None and not handle.cancelled() and handle.process.alive:
                handle.process.ready.append(handle)

    def _let_time_pass(self) -> None:
        while self._timers:
            when_ns, _, handle = self._timers[0]
            if handle is None or not (handle.cancelled() or not handle.process.alive):
                self.now_ns = max(self.now_ns, when_ns)
                return
            heapq.heappop(self._timers)
        raise StandstillError("nobody has anything to do any more")

    # --- What asyncio asks of a loop ------------------------------------------------------------

    def time(self) -> float:
        return self.now_ns / NS_PER_S

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        _PROCESS.get(self.world).adopt(task)
        return task

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Handle:
        handle = self._handle(callback, args, context, self.now_ns)
        if handle.process.alive:
            handle.process.ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> _Handle:
        return self._at(self.now_ns + round(delay * NS_PER_S), callback, args, context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> _Handle:
        return self._at(round(when * NS_PER_S), callback, args, context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if "task" not in context:
            return  # an answer that came for somebody who has gone
        error = context.get("exception")
        self.failures.append(f"{context['message']}: {type(error).__name__}: {error}")

    def _at(
        self,
        when_ns: int,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
    ) -> _Handle:
        handle = self._handle(callback, args, context, when_ns)
        heapq.heappush(self._timers, (when_ns, next(self._order), handle))
        return handle

    def _handle(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
        when_ns: int,
    ) -> _Handle:
        context = copy_context() if context is None else context
        return _Handle(callback, args, context, context.get(_PROCESS, self.world), when_ns)
