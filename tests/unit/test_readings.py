"""Who asks for the same at the same time shares a look, and nobody is given what is not good."""

from __future__ import annotations

import asyncio

import pytest

from paceline.engine.readings import Readings
from tests.loop_time import LoopTime

GOOD_FOR_S = 8


class Source:
    """Counts the looks at it; each gives its number once ``open`` is set."""

    def __init__(self) -> None:
        self.looks = 0
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None
        self.gone = False

    async def __call__(self, _key: str) -> int | None:
        self.looks += 1
        number = self.looks
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return None if self.gone else number


@pytest.fixture
async def source() -> Source:
    return Source()


@pytest.fixture
async def readings(source: Source) -> Readings[str, int]:
    return Readings(source, good_for_s=GOOD_FOR_S)


@pytest.fixture(autouse=True)
async def time() -> LoopTime:
    """The time of the loop is the time of readings."""
    return LoopTime()


async def test_a_crowd_shares_one_look(source, readings):
    source.open.clear()
    asking = [asyncio.create_task(readings.of("a", to=i)) for i in range(50)]
    await asyncio.sleep(0)
    source.open.set()
    assert set(await asyncio.gather(*asking)) == {1}
    assert await readings.of("a", to=51) == 1
    assert source.looks == 1


async def test_nobody_is_given_the_same_reading_twice(source, readings):
    assert [await readings.of("a", to="me") for _ in range(3)] == [1, 2, 3]
    assert await readings.of("a", to="you") == 3


async def test_whoever_it_is_is_given_it_while_it_is_good(source, readings, time):
    assert [await readings.of("a") for _ in range(3)] == [1, 1, 1]
    await time.move(GOOD_FOR_S // 4)
    assert await readings.of("a") == 1
    await time.move(GOOD_FOR_S)
    assert await readings.of("a") == 2


async def test_the_next_reading_is_fetched_before_this_one_is_too_old(source, readings, time):
    await readings.of("a")
    await time.move(3 * GOOD_FOR_S // 4)
    assert await readings.of("a") == 1
    await asyncio.sleep(0)
    assert source.looks == 2
    await asyncio.sleep(0)
    assert await readings.of("a") == 2


async def test_keys_are_read_each_for_itself(source, readings):
    assert [await readings.of(key) for key in "aba"] == [1, 2, 1]


async def test_what_was_changed_is_read_anew_even_by_who_comes_during_a_look(source, readings):
    source.open.clear()
    before = asyncio.create_task(readings.of("a"))
    await asyncio.sleep(0)
    readings.forget()
    after = asyncio.create_task(readings.of("a"))
    await asyncio.sleep(0)
    source.open.set()
    assert [await before, await after] == [1, 2]
    assert await readings.of("a") == 2


async def test_what_is_gone_is_gone_for_everybody(source, readings, time):
    assert await readings.of("a") == 1
    source.gone = True
    await time.move(GOOD_FOR_S + 1)
    assert await readings.of("a") is None
    source.gone = False
    assert await readings.of("a") == 3


async def test_a_failure_is_told_to_all_who_wait_for_it_and_not_kept(source, readings):
    source.open.clear()
    source.error = ValueError("broken")
    asking = [asyncio.create_task(readings.of("a")) for _ in range(2)]
    await asyncio.sleep(0)
    source.open.set()
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(each) for each in told] == [ValueError, ValueError]
    source.error = None
    assert await readings.of("a") == 2


async def test_who_is_given_up_takes_the_look_from_nobody(source, readings):
    source.open.clear()
    given_up, other = (asyncio.create_task(readings.of("a")) for _ in range(2))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)
    source.open.set()
    assert await other == 1


APART_S = 8


async def test_all_who_follow_share_each_look_and_are_told_each_reading(source, time):
    readings = Readings(source, good_for_s=APART_S / 2, apart_s=APART_S)

    async def followed() -> list[int]:
        told: list[int] = []
        async for number in readings.follow("a"):
            told.append(number)
            if number == 4:
                break
        return told

    following = []
    for _ in range(20):  # they come one after another, over more than two looks
        following.append(asyncio.create_task(followed()))
        await time.move(0)
        await time.move(1)
    assert source.looks == 3
    await time.move(3 * APART_S - 20 - 1)
    assert source.looks == 3
    await time.move(1)
    first, *others = await asyncio.gather(*following)
    assert first == [1, 2, 3, 4]
    assert [set(told) for told in others] == [set(range(told[0], 5)) for told in others]
    assert {told[0] for told in others} == {1, 2, 3}
    assert source.looks == 4


async def test_the_latest_is_not_looked_for_again_while_it_is_the_latest(source, time):
    readings = Readings(source, good_for_s=APART_S / 2, apart_s=APART_S)
    assert [await readings.latest("a") for _ in range(3)] == [1, 1, 1]
    await time.move(3 * APART_S // 4)
    assert await readings.latest("a") == 1
    assert await readings.of("a") == 2, "for those who ask with `of` it was too old"
    await time.move(APART_S + 1)
    assert await readings.latest("a") == 3


async def test_who_follows_is_let_go_when_it_is_gone_and_told_of_a_failure(source, time):
    readings = Readings(source, good_for_s=APART_S, apart_s=APART_S)

    async def followed() -> list[int]:
        return [number async for number in readings.follow("a")]

    following = asyncio.create_task(followed())
    await time.move(1)
    source.gone = True
    await time.move(APART_S)
    assert await following == [1]
    source.gone, source.error = False, ValueError("broken")
    with pytest.raises(ValueError, match="broken"):
        await anext(readings.follow("a"))
