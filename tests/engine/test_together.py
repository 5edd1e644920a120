"""What arrives while a transaction is under way is written together by the next one."""

from __future__ import annotations

import asyncio

import pytest

from paceline.engine.together import Together
from paceline.storage.database import DatabaseUnreachableError


class Writer:
    """Doubles numbers, one held list at a time; refuses lists with a zero in them."""

    def __init__(self) -> None:
        self.written: list[list[int]] = []
        self.going = asyncio.Event()
        self.error: Exception = ValueError("zero")

    async def __call__(self, numbers: list[int]) -> list[int]:
        self.written.append(numbers)
        await self.going.wait()
        if 0 in numbers:
            raise self.error
        return [2 * number for number in numbers]


@pytest.fixture
async def writer():
    return Writer()


async def wanted(together: Together[int, int], *numbers: int, key: str = "a"):
    tasks = [asyncio.create_task(together.write(key, number)) for number in numbers]
    await asyncio.sleep(0)  # each has asked by now
    return tasks


async def test_whoever_comes_first_does_not_wait_for_company(writer):
    writer.going.set()
    assert await Together(writer).write("a", 1) == 2
    assert writer.written == [[1]]


async def test_where_company_is_worth_a_wait_the_first_waits_for_it(writer):
    writer.going.set()
    together = Together(writer, gather_s=0.01)
    first = await wanted(together, 1)
    await asyncio.sleep(0)
    second = await wanted(together, 2)
    assert await asyncio.gather(*first, *second) == [2, 4]
    assert writer.written == [[1, 2]]


async def test_those_who_come_meanwhile_go_together_and_get_their_own(writer):
    together = Together(writer)
    (first,) = await wanted(together, 1)
    await asyncio.sleep(0)  # its transaction is under way
    others = await wanted(together, 2, 3, 4)
    writer.going.set()
    assert await first == 2
    assert await asyncio.gather(*others) == [4, 6, 8]
    assert writer.written == [[1], [2, 3, 4]]


async def test_keys_do_not_wait_for_each_other(writer):
    together = Together(writer)
    (one,) = await wanted(together, 1)
    (other,) = await wanted(together, 2, key="b")
    await asyncio.sleep(0)
    assert writer.written == [[1], [2]]
    writer.going.set()
    assert [await one, await other] == [2, 4]


async def test_one_that_cannot_be_written_fails_alone(writer):
    together = Together(writer)
    (first,) = await wanted(together, 1)
    await asyncio.sleep(0)
    others = await wanted(together, 2, 0, 4)
    writer.going.set()
    await first
    two, zero, four = await asyncio.gather(*others, return_exceptions=True)
    assert two == 4
    assert four == 8
    assert isinstance(zero, ValueError)
    assert writer.written == [[1], [2, 0, 4], [2], [0], [4]]


async def test_without_a_database_all_of_them_fail_at_once(writer):
    """Nobody knows whether it was committed, so trying each alone would prove nothing."""
    writer.error = DatabaseUnreachableError("gone")
    together = Together(writer)
    (first,) = await wanted(together, 1)
    await asyncio.sleep(0)
    others = await wanted(together, 2, 0)
    writer.going.set()
    await first
    failed = await asyncio.gather(*others, return_exceptions=True)
    assert [type(each) for each in failed] == [DatabaseUnreachableError] * 2
    assert writer.written == [[1], [2, 0]]


async def test_after_a_failure_the_next_one_is_served(writer):
    writer.going.set()
    together = Together(writer)
    with pytest.raises(ValueError, match="zero"):
        await together.write("a", 0)
    assert await together.write("a", 5) == 10


async def test_who_was_given_up_keeps_none_of_the_others(writer):
    together = Together(writer)
    (first,) = await wanted(together, 1)
    await asyncio.sleep(0)
    given_up, other = await wanted(together, 2, 3)
    given_up.cancel()
    writer.going.set()
    assert await first == 2
    assert await other == 6
