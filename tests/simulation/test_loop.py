"""The virtual loop: time passes when nobody has anything to do; processes die and stall."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from paceline.simulation.loop import Process, StandstillError, VirtualLoop


@pytest.fixture
def loop() -> VirtualLoop:
    return VirtualLoop(Random(1))  # type: ignore[abstract]


def never() -> bool:
    return False


def test_time_passes_only_as_far_as_the_next_thing_to_do(loop: VirtualLoop) -> None:
    seen = []

    async def main() -> None:
        for pause in (3600, 0, 0.25):
            await asyncio.sleep(pause)
            seen.append(loop.time())

    loop.run(main(), unless=never)
    assert seen == [3600, 3600, 3600.25]


def test_a_run_in_which_nobody_can_go_on_says_so(loop: VirtualLoop) -> None:
    async def main() -> None:
        await loop.create_future()

    with pytest.raises(StandstillError):
        loop.run(main(), unless=never)
    loop.close()


def test_what_a_process_registers_runs_in_that_order(loop: VirtualLoop) -> None:
    seen: list[int] = []
    process = loop.process("one")

    async def register() -> None:
        for n in range(50):
            loop.call_soon(seen.append, n)

    async def main() -> None:
        await process.spawn(register())
        await asyncio.sleep(1)

    loop.run(main(), unless=never)
    assert seen == list(range(50))


def ticking(process: Process, seen: list[float]) -> None:
    async def tick() -> None:
        while True:
            await asyncio.sleep(1)
            seen.append(process.loop.time())

    process.spawn(tick())


def test_nothing_of_a_process_that_was_killed_runs_again(loop: VirtualLoop) -> None:
    seen: list[float] = []
    left: list[str] = []
    process = loop.process("one")

    async def clinging() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0)
            left.append("ran on")

    async def main() -> None:
        ticking(process, seen)
        process.spawn(clinging())
        await asyncio.sleep(2.5)
        process.kill()
        await process.died
        await asyncio.sleep(200)

    loop.run(main(), unless=never)
    loop.close()
    assert (seen, left, loop.failures) == ([1, 2], [], [])


def test_a_stalled_process_finds_its_timers_late(loop: VirtualLoop) -> None:
    seen: list[float] = []
    process = loop.process("one")

    async def main() -> None:
        ticking(process, seen)
        await asyncio.sleep(1.5)
        process.stall(5)
        await asyncio.sleep(7)

    loop.run(main(), unless=never)
    loop.close()
    assert seen == [1, 6.5, 7.5, 8.5][: len(seen)]
    assert len(seen) >= 3


def test_whose_turn_it_is_follows_from_the_seed() -> None:
    def order(seed: int) -> list[str]:
        loop = VirtualLoop(Random(seed))  # type: ignore[abstract]
        seen: list[str] = []

        async def step(name: str) -> None:
            for _ in range(5):
                seen.append(name)
                await asyncio.sleep(0)

        async def main() -> None:
            await asyncio.wait([loop.process(name).spawn(step(name)) for name in "abc"])

        loop.run(main(), unless=never)
        return seen

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(20)}) > 10
