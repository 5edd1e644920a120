"""The worker: one loop that hands out batches, and loops for the chores that any worker can do."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

from paceline.clock import Clock
from paceline.engine import measures
from paceline.engine.adapters import Adapters
from paceline.engine.chores import Chores
from paceline.engine.confirming import Confirming
from paceline.engine.dispatch import Dispatcher
from paceline.engine.outbound import Deliveries
from paceline.engine.rules import Rules
from paceline.providers.lines import Internet, Network
from paceline.storage import turns
from paceline.storage.database import Database, DatabaseUnreachableError
from paceline.storage.sealing import Sealer
from paceline.telemetry import get_logger

log = get_logger("worker")

AT_THE_GATE = 8
"""Batches that a worker holds beyond those it makes calls for, rendered and waiting for a place."""
POLL_S = 0.5
"""Other processes queue work too, and word of it can get lost (on SQLite there is none): look."""
_HANDS_AT_ONCE = 4
_HANDS_WITHIN_S = 0.02
"""A reservation costs much the same for many batches as for one, so it waits until so many hands
are free, or one for so long; the batches at the gate keep the calls going meanwhile."""
_LOOKS_APART_S = turns.LOOKAHEAD_MS / 4000
"""Permits open one by one, and batches are reserved well before theirs does. So nothing is lost by
looking a little later than the next one says, nor by twice that where another worker was quicker;
many workers that look at each permit keep the calls waiting."""
_PAUSE_AFTER_FAILURE_S = 1.0
SILENT_S = 15.0
"""A worker that has not looked for work for so long is not well: it looks twice a second."""


class Worker:
    """Sends until it is told to stop.

    It holds a few batches more than it makes calls at a time, so that rendered ones wait at the
    gate and an opening window is used at once; many more would only keep the calls waiting.
    """

    def __init__(
        self,
        database: Database,
        rules: Rules,
        clock: Clock,
        *,
        sealer: Sealer | None = None,
        public_url: str | None = None,
        deliveries: Deliveries | None = None,
        network: Network | None = None,
        name: str | None = None,
    ) -> None:
        """Have nothing in hand yet.

        Args:
            database: where the work is.
            rules: how to pace, retry and doubt.
            clock: for waiting, and for the life of a permit.
            sealer: opens the accounts' keys; None: they are plain.
            public_url: where providers reach the server.
            deliveries: of webhooks to tenants; stopped with the worker. None: not here.
            network: where the providers are; None: on the Internet.
            name: who writes the attempts; None: this process.
        """
        self.database = database
        self.rules = rules
        self.clock = clock
        self.adapters = Adapters(
            rules.provider_timeout_ms,
            public_url,
            sealer=sealer,
            network=network or Internet(clock.monotonic),
        )
        self.deliveries = deliveries
        name = name or f"{socket.gethostname()[:40]}:{os.getpid()}"
        self.dispatcher = Dispatcher(database, rules, self.adapters, clock, name)
        self.chores = Chores(
            database, rules, clock, wake=self.wake, at_rest=lambda: not self._in_hand
        )
        self.confirming = Confirming(database, rules, self.adapters)
        self.capacity = rules.concurrency + AT_THE_GATE
        self._in_hand: set[asyncio.Task[None]] = set()
        self._next_account = 0
        self._looked_at = clock.monotonic()
        self._more = True
        """There was more to do than hands when it last looked."""
        self._look_later: asyncio.TimerHandle | None = None
        self._work = asyncio.Event()
        self._bells = [self._work]
        self._stop = asyncio.Event()

    def wake(self) -> None:
        """There is something to do; call it from the event loop's thread."""
        for bell in self._bells:
            bell.set()

    def stop(self) -> None:
        """Reserve nothing more, finish the calls that are under way, then return from ``run``."""
        self._stop.set()
        self.dispatcher.stopping = True
        self.wake()

    def state(self) -> str | None:
        """What is wrong with it; None while it is well."""
        if self._stop.is_set():
            return "The worker is stopping."
        since = self.dispatcher.unrecorded_since
        if since is not None and self.clock.monotonic() - since > SILENT_S:
            return f"Answers cannot be recorded for {self.clock.monotonic() - since:.0f} s."
        silent_s = self.clock.monotonic() - self._looked_at
        return f"The worker is silent for {silent_s:.0f} s." if silent_s > SILENT_S else None

    async def run(self) -> None:
        """Work until ``stop``. A call in flight is never cancelled."""
        log.info("worker_started", concurrency=self.rules.concurrency)
        # The other chores keep their own pace: the more there is to index or to fold, the less each
        # of it costs.
        self._bells.append(launching := asyncio.Event())
        try:
            await asyncio.gather(
                self._forever(self._hand_out, self._work),
                self._forever(self.chores.launch, launching),
                self._forever(self.chores.tidy, self._stop),
                self._forever(self.chores.index_answers, self._stop),
                self._forever(self.chores.fold_receipts, self._stop),
                self._forever(self._confirm, self._stop),
                self._forever(self._deliver, self._stop),
            )
        finally:
            self.stop()
            while self._in_hand:
                await asyncio.wait(set(self._in_hand))
            if self.deliveries is not None:
                await self.deliveries.aclose()
            await self.adapters.aclose()
            log.info("worker_stopped")

    async def _forever(
        self, step: Callable[[], Awaitable[float | None]], woken: asyncio.Event
    ) -> None:
        """Repeat ``step``, which may say for how many seconds there is nothing to do."""
        while not self._stop.is_set():
            if woken is not self._stop:
                woken.clear()
            try:
                pause = await step()
                pause = POLL_S if pause is None else pause
            except DatabaseUnreachableError as error:
                log.warning("database_unreachable", error=str(error))
                pause = _PAUSE_AFTER_FAILURE_S
            except Exception:
                log.exception("worker_step_failed")
                pause = _PAUSE_AFTER_FAILURE_S
            if pause > 0 and not woken.is_set():
                await self._wait(woken, pause)

    async def _wait(self, woken: asyncio.Event, seconds: float) -> None:
        waiting = {
            asyncio.ensure_future(woken.wait()),
            asyncio.ensure_future(self.clock.sleep(seconds)),
        }
        _, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()

    async def _deliver(self) -> float | None:
        return None if self.deliveries is None else await self.deliveries.step()

    async def _confirm(self) -> float | None:
        """End doubts; return in how many seconds to look again."""
        if not await self.confirming.step():
            return None
        self.wake()
        return 0.0

    async def _hand_out(self) -> float:
        """Fill the free hands; return how long there is nothing more to hand out."""
        if self._look_later is not None:
            self._look_later.cancel()
            self._look_later = None
        want = self.capacity - len(self._in_hand)
        if want <= 0:
            self._looked_at = self.clock.monotonic()
            return POLL_S
        reservation = await self.database.write(
            turns.reserve,
            want=want,
            lease_ms=self.rules.lease_ms,
            pacing=self.rules.pacing,
            first_account=self._next_account,
        )
        self._looked_at = self.clock.monotonic()
        self._more = len(reservation.batches) == want
        for batch in reservation.batches:
            self._next_account = batch.account_id + 1
            opening = reservation.openings.get(batch.id)
            wait_ms = 0 if opening is None else opening.at - reservation.at
            task = asyncio.create_task(self.dispatcher.dispatch(batch, wait_ms))
            if opening is not None:
                measures.count_wait(opening.held_by)
            self._in_hand.add(task)
            task.add_done_callback(self._done)
        if reservation.next_at is None:
            return POLL_S
        soonest = _LOOKS_APART_S if reservation.batches else 2 * _LOOKS_APART_S
        return min(max((reservation.next_at - reservation.at) / 1000, soonest), POLL_S)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._in_hand.discard(task)
        if self._more and self.capacity - len(self._in_hand) >= _HANDS_AT_ONCE:
            self._work.set()
        elif self._look_later is None:
            loop = asyncio.get_running_loop()
            self._look_later = loop.call_later(_HANDS_WITHIN_S, self._work.set)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("dispatch_crashed", error=f"{type(error).__name__}: {error}")
