from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.clock import Clock, SystemClock, VirtualClock


async def started(*sleeps):
    """Tasks for these coroutines, each of which has run up to its sleep."""
    tasks = [asyncio.create_task(each) for each in sleeps]
    await asyncio.sleep(0)
    return tasks


class TestSystemClock:
    def test_it_starts_at_the_wall_clock(self):
        before = time.time_ns() // 1_000_000
        now = SystemClock().now_ms()
        assert before <= now <= time.time_ns() // 1_000_000

    def test_a_step_of_the_wall_clock_does_not_move_it(self, monkeypatch):
        clock = SystemClock()
        before = clock.now_ms()
        monkeypatch.setattr(time, "time_ns", lambda: 0)
        monkeypatch.setattr(time, "time", lambda: 0.0)
        assert before <= clock.now_ms() < before + 60_000

    async def test_sleep_takes_at_least_as_long_as_asked(self):
        clock: Clock = SystemClock()
        before = clock.monotonic()
        await clock.sleep(0.02)
        assert clock.monotonic() - before >= 0.019  # the loop's clock ticks in its own steps


class TestVirtualClock:
    def test_it_stands_still_until_it_is_advanced(self):
        clock = VirtualClock(start_ms=1000)
        assert (clock.now_ms(), clock.monotonic()) == (1000, 0)
        clock.advance(2.5)
        assert (clock.now_ms(), clock.monotonic()) == (3500, 2.5)

    def test_it_does_not_go_back(self):
        with pytest.raises(ValueError, match="back"):
            VirtualClock().advance(-1)

    @given(st.lists(st.integers(0, 5000), max_size=50))
    def test_many_small_steps_add_up_exactly(self, steps_ms):
        clock = VirtualClock(start_ms=0)
        for step in steps_ms:
            clock.advance(step / 1000)
        assert clock.now_ms() == sum(steps_ms)

    async def test_a_sleeper_wakes_when_its_time_has_come_and_not_before(self):
        clock = VirtualClock()
        (task,) = await started(clock.sleep(10))
        clock.advance(9.999)
        await asyncio.sleep(0)
        assert not task.done()
        clock.advance(0.001)
        await task

    @given(st.lists(st.integers(1, 5), min_size=1, max_size=20))
    def test_sleepers_wake_in_the_order_of_their_times_then_of_arrival(self, durations):
        woken = []

        async def sleeper(clock, number, seconds):
            await clock.sleep(seconds)
            woken.append((seconds, number))

        async def run():
            clock = VirtualClock()
            tasks = await started(*(sleeper(clock, *each) for each in enumerate(durations)))
            clock.advance(5)
            await asyncio.gather(*tasks)

        asyncio.run(run())
        assert woken == sorted((seconds, number) for number, seconds in enumerate(durations))

    async def test_steps_of_next_wake_show_each_sleeper_its_own_moment(self):
        clock = VirtualClock(start_ms=0)
        seen = []

        async def every(seconds):
            for _ in range(3):
                await clock.sleep(seconds)
                seen.append(clock.now_ms())

        await started(every(2), every(3))
        while clock.next_wake is not None:
            clock.advance(clock.next_wake)
            await asyncio.sleep(0)
        assert seen == [2000, 3000, 4000, 6000, 6000, 9000]

    async def test_a_cancelled_sleeper_is_forgotten(self):
        clock = VirtualClock()
        cancelled, _other = await started(clock.sleep(1), clock.sleep(2))
        assert clock.sleepers == 2
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert (clock.sleepers, clock.next_wake) == (1, 2)
        clock.advance(2)
        assert (clock.sleepers, clock.next_wake) == (0, None)

    async def test_sleeping_for_no_time_lets_others_run_without_an_advance(self):
        clock = VirtualClock()
        ran: list[str] = []
        asyncio.get_running_loop().call_soon(ran.append, "other")
        await clock.sleep(0)
        assert ran == ["other"]
