"""What happens to processes, machines and providers while there is trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from paceline.simulation.database import EPOCH_MS
from paceline.simulation.loop import Process
from paceline.simulation.people import People
from paceline.simulation.world import World

_TICK_S = 0.05
_STEPS_UNTIL_DEATH = 60
"""Somebody who is to die does so between any two of its next callbacks."""


class Fate:
    """Kills, stalls, outages and clocks that jump."""

    def __init__(self, world: World, people: People) -> None:
        self.world = world
        self.people = people
        self.dice = world.dice["fate"]
        self.calm = False

    def begin(self) -> None:
        for _ in range(self.world.scenario.workers):
            self.world.start_worker()
        self.world.loop.world.spawn(self._keep_alive())

    async def trouble(self) -> None:
        """Make trouble for as long as the scenario says."""
        until_s = self.world.loop.time() + self.world.scenario.faulty_for_s
        rates = self.world.rates
        while self.world.loop.time() < until_s:
            await asyncio.sleep(_TICK_S)
            for per_s, what in (
                (rates.deaths_per_s, self._kill),
                (rates.stalls_per_s, self._stall),
                (rates.outages_per_s, self._break_provider),
                (rates.clock_jumps_per_s, self._jump),
            ):
                if self.dice.random() < per_s * _TICK_S:
                    what()
            if self.dice.random() < rates.orders_per_s * _TICK_S:
                self.world.loop.world.spawn(self.people.meddle())
        self.calm = True
        self.world.calm()

    async def _keep_alive(self) -> None:
        """Start again what has died, after a while."""
        while True:
            missing = self.world.scenario.workers - sum(
                process.alive for process, _ in self.world.workers
            )
            for _ in range(missing):
                await self._wait_to_start()
                if self.world.scenario.sole_sender and not self.calm:
                    self._set_clock()
                self.world.start_worker()
            if not self.world.api.process.alive:
                await self._wait_to_start()
                self.world.start_api()
            await asyncio.sleep(0.02)

    async def _wait_to_start(self) -> None:
        await asyncio.sleep(0.01 if self.calm else self.dice.uniform(0.01, 1.5))

    def _anybody(self) -> Process:
        processes = [process for process, _ in self.world.workers if process.alive]
        return self.dice.choice([*processes, *processes, self.world.api.process])

    def _kill(self) -> None:
        process = self._anybody()
        last = process.steps + self.dice.randrange(_STEPS_UNTIL_DEATH)
        process.on_step = self._dies_after(last)

    def _dies_after(self, last: int) -> Callable[[Process], None]:
        def step(process: Process) -> None:
            if process.steps >= last:
                self.world.trace.note(process, "dies")
                process.kill()

        return step

    def _stall(self) -> None:
        seconds = self.dice.choice((self.dice.uniform(0.02, 0.2), self.dice.uniform(1, 5)))
        self.world.stall(self._anybody(), seconds)

    def _break_provider(self) -> None:
        model = self.dice.choice(list(self.world.models.values()))
        kind, seconds = self.dice.choice(("refuse", "hang", "503")), self.dice.uniform(0.2, 2)
        self.world.trace.note(model.plan.name, f"is out of order ({kind}) for {seconds:.3f} s")
        model.broken = kind
        self.world.loop.world.spawn(self._mend(model.plan.name, seconds))

    async def _mend(self, name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.world.models[name].broken = None

    def _jump(self) -> None:
        """The database's clock is set. Where one process sends, its clock is its own and steady, so
        that can only be while it is down.
        """
        if not self.world.scenario.sole_sender:
            self._set_clock()

    def _set_clock(self) -> None:
        if not self.world.rates.clock_jumps_per_s:
            return
        by_ms = self.dice.randint(-4000, 4000)
        clock = self.world.database_clock
        clock.off_ms = max(clock.off_ms + by_ms, -EPOCH_MS)
        self.world.trace.note("fate", f"sets the database's clock by {by_ms} ms")
        if by_ms > 0 and not self.world.scenario.sole_sender:
            self.world.judge.clock_put_forward()
