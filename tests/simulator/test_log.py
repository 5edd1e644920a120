from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paceline.simulator import summarise
from paceline.simulator.log import Log
from paceline.simulator.seeded import Identifiers
from paceline.simulator.summary import Traffic
from paceline.simulator.window import NS_PER_MS, StrictWindow, busiest_window
from paceline.simulator.wire import Message, Sms, Submission

from .customer import message

gaps = st.lists(st.integers(0, 12), max_size=40)


def times_from(steps: list[int]) -> list[int]:
    return [sum(steps[: end + 1]) for end in range(len(steps))]


def brute_force(times: list[int], length: int) -> int:
    """Every window of the length that begins anywhere in reach, counted one by one."""
    if not times:
        return 0
    starts = range(times[0] - length, times[-1] + 1)
    return max(sum(start <= time < start + length for time in times) for start in starts)


@given(gaps, st.integers(1, 30))
@settings(max_examples=150)
def test_the_busiest_window_is_what_counting_every_window_finds(steps, length):
    times = times_from(steps)
    assert busiest_window(times, length) == brute_force(times, length)


@given(gaps, st.integers(1, 30), st.integers(1, 5))
@settings(max_examples=150)
def test_the_limiter_is_strict_and_never_throttles_without_need(steps, length, most):
    window = StrictWindow()
    admitted: list[int] = []
    for now in times_from(steps):
        recent = sum(now - length < time for time in admitted)
        admits = window.admit(now, most=most, length=length)
        assert admits == (recent < most)
        if admits:
            admitted.append(now)
    assert brute_force(admitted, length) <= most


def submission(account: str, sender: str, texts: list[tuple[str, str]]) -> Submission:
    return Submission(
        account, sender, [Message(account, to, Sms(text, sender)) for to, text in texts]
    )


calls = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["X", "Y"]),
        st.lists(st.tuples(st.sampled_from("12"), st.sampled_from("tu")), min_size=1, max_size=4),
        st.integers(0, 4),
    ),
    max_size=25,
)


@given(calls, st.integers(1, 10))
@settings(max_examples=100)
def test_the_summary_is_what_a_plain_list_of_the_calls_gives(made, window_ms):
    log, now = Log(Identifiers(1)), 0
    times: dict[str, list[int]] = {}
    pairs: list[tuple[str, str]] = []
    for wait_ms, account, sender, texts, taken in made:
        now += wait_ms
        call = submission(account, sender, texts)
        log.add(now * NS_PER_MS, call, 200, call.messages[:taken], bulk=True)
        for party in (account, sender, account + sender):
            times.setdefault(party, []).append(now)
        pairs += texts[:taken]
    summary = summarise(log, window_ms)
    assert (summary.accepted, summary.distinct) == (len(pairs), len(set(pairs)))
    assert summary.duplicates == sum(count - 1 for count in Counter(pairs).values())
    seen: dict[str, Traffic] = {}
    for account, traffic in summary.accounts.items():
        seen[account] = traffic
        seen |= {account + sender: pair for sender, pair in traffic.senders.items()}
    seen |= summary.senders
    assert {party: (len(at), brute_force(at, window_ms)) for party, at in times.items()} == {
        party: (traffic.calls, traffic.max_in_window) for party, traffic in seen.items()
    }
    assert summary.max_in_window == max(
        (t.max_in_window for t in summary.accounts.values()), default=0
    )


@given(calls, st.integers(0, 60), st.integers(1, 60), st.integers(0, 24))
@example([(0, "a", "X", [("1", "t")], 1)] * 4, 2, 9, 2)
@settings(max_examples=100)
def test_paging_gives_every_acceptance_and_call_once_also_after_a_clear(made, after, limit, cut):
    log, number = Log(Identifiers(1)), 0
    kept: list[tuple[int, list[tuple[int, tuple[str, str]]]]] = []
    for call_number, (_, account, sender, texts, taken) in enumerate(made, 1):
        if call_number == cut:
            log, kept = log.cleared(), []
        call = submission(account, sender, texts)
        log.add(call_number, call, 200, call.messages[:taken], bulk=True)
        numbers = range(number + 1, number + 1 + len(texts[:taken]))
        number += len(numbers)
        kept.append((call_number, list(zip(numbers, texts, strict=False))))
    acceptances = [line for _, lines in kept for line in lines]
    found = log.acceptances(after=after, limit=limit)
    assert [(a.number, (a.destination, a.text)) for a in found] == [
        line for line in acceptances if line[0] > after
    ][:limit]
    assert [(c.number, c.accepted) for c in log.call_records(after=after, limit=limit)] == [
        (call, len(lines)) for call, lines in kept if call > after
    ][:limit]
    for wanted in range(number + 2):
        match = log.find(wanted)
        assert (match.number if match else None) == (
            wanted if wanted in dict(acceptances) else None
        )


async def test_the_log_is_paged_over_http(start):
    customer = await start()
    await customer.bulk(*(message(n) for n in range(1, 1201)))
    await customer.single(message(1201))
    every = await customer.accepted()
    assert [line["number"] for line in every] == list(range(1, 1202))
    assert await customer.accepted("?after=1190&limit=3") == every[1190:1193]
    assert [call["count"] for call in await customer.calls("?after=1")] == [1]
    assert every[0].keys() == {
        "number",
        "received_ns",
        "account",
        "sender",
        "destination",
        "text",
        "reference",
        "message_id",
        "bulk_id",
    }


async def test_the_summary_counts_every_submission_by_account_and_sender(start):
    customer = await start(next=["ok", "throttle", "fail_before"])
    for number in range(3):
        await customer.bulk(message(number))
    other = {"text": "Hi", "sender": "Other"}
    await customer.single(message(4, sms=other))
    await customer.single(message(5, sms=other, trafficAccountId="acct-2"))
    await customer.bulk()
    summary = await customer.summary(window_ms=3_600_000)
    assert summary["calls"] == 6
    assert summary["calls_by_status"] == {"200": 3, "400": 1, "429": 1, "500": 1}
    assert summary["accounts"] == {
        "acct-1": {
            "calls": 4,
            "max_in_window": 4,
            "senders": {
                "Paceline": {"calls": 3, "max_in_window": 3},
                "Other": {"calls": 1, "max_in_window": 1},
            },
        },
        "acct-2": {
            "calls": 1,
            "max_in_window": 1,
            "senders": {"Other": {"calls": 1, "max_in_window": 1}},
        },
    }
    assert summary["senders"]["Other"] == {"calls": 2, "max_in_window": 2}
    assert (summary["max_in_window"], summary["window_ms"]) == (4, 3_600_000)


async def test_an_empty_log_has_an_empty_summary(start):
    customer = await start()
    summary = await customer.summary()
    assert (summary["accepted"], summary["calls"], summary["max_in_window"]) == (0, 0, 0)


@pytest.mark.parametrize(
    "path", ["/log/summary?window_ms=0", "/log?after=-1", "/log?limit=x", "/log/calls?limit=0"]
)
async def test_a_wrong_number_in_the_query_is_400_naming_it(start, path):
    customer = await start()
    answer = await customer.request("GET", path)
    assert answer.status == 400
    assert path.partition("?")[2].partition("=")[0] in answer.body["error"]["description"]


async def test_every_call_that_contained_a_number_is_told_with_whether_it_was_accepted(start):
    customer = await start(
        next=["ok", "fail_before", "drop_after"], reject_destinations=[message(2)["destination"]]
    )
    before_ms = time.time() * 1000
    for _ in range(3):
        await customer.bulk(message(1), message(2))
    every = await customer.lines("/log/sightings")
    assert [(s["call"], s["destination"][-1], s["accepted"]) for s in every] == [
        (1, "1", True),
        (1, "2", False),
        (2, "1", False),
        (2, "2", False),
        (3, "1", True),
        (3, "2", False),
    ]
    assert [s["received_ns"] for s in every[::2]] == [
        call["received_ns"] for call in await customer.calls()
    ]
    assert all(before_ms - 1 <= s["received_at"] <= time.time() * 1000 + 1 for s in every)
    path = "/log/sightings?destination=%2B306900000002&after=1"
    assert await customer.lines(path) == every[3::2]


async def test_a_message_known_from_before_is_sighted_but_not_accepted_again(start):
    customer = await start(deduplicate=True)
    for _ in range(2):
        await customer.bulk(message(1))
    sightings = await customer.lines("/log/sightings")
    assert [sighting["accepted"] for sighting in sightings] == [True, False]


async def test_what_was_accepted_twice_is_listed_with_all_its_ids(start):
    customer = await start()
    await customer.bulk(message(1), message(2))
    await customer.bulk(message(2, reference="again"), message(3))
    await customer.bulk(message(1, sms={"text": "Another", "sender": "Paceline"}))
    [duplicate] = await customer.lines("/log/duplicates")
    assert (duplicate["destination"], duplicate["text"]) == ("+306900000002", "Hello 2")
    assert duplicate["references"] == ["ref-2", "again"]
    ids = {line["reference"]: line["message_id"] for line in await customer.accepted()}
    assert duplicate["message_ids"] == [ids["ref-2"], ids["again"]]


async def test_the_summary_counts_calls_by_what_befell_them(start):
    customer = await start(next=["ok", "slow", {"status": 503}, "short_answer"], slow_ms=1)
    for number in range(5):
        await customer.bulk(message(number))
    assert (await customer.summary())["calls_by_fault"] == {
        "ok": 2,
        "short_answer": 1,
        "slow": 1,
        "status": 1,
    }
    assert [call["fault"] for call in await customer.calls()][1:3] == ["slow", "status"]
