from __future__ import annotations

import asyncio
import time

import pytest

from .customer import API, DROPPED, message


async def test_a_rejected_destination_has_an_error_in_place_of_its_id(start):
    customer = await start(reject_destinations=["+306900000002"])
    answer = await customer.bulk(message(1), message(2), message(3))
    entries = answer.body["messages"]
    assert [("messageId" in e, "error" in e) for e in entries] == [
        (True, False),
        (False, True),
        (True, False),
    ]
    assert entries[1]["error"].keys() == {"code", "description"}
    assert [line["reference"] for line in await customer.accepted()] == ["ref-1", "ref-3"]
    assert (await customer.calls())[0]["accepted"] == 2
    assert "error" in (await customer.single(message(2))).body


async def test_the_reject_share_is_met_and_a_destination_keeps_its_fate(start):
    customer = await start(reject_share=0.3)
    messages = [message(number) for number in range(2000)]
    first, second = [await customer.bulk(*messages) for _ in range(2)]
    fates = [["error" in e for e in answer.body["messages"]] for answer in (first, second)]
    assert fates[0] == fates[1]
    assert 500 < sum(fates[0]) < 700
    assert (await customer.summary())["accepted"] == 2 * (2000 - sum(fates[0]))


@pytest.mark.parametrize(
    ("fault", "status", "accepted"),
    [
        ("ok", 200, 1),
        ("throttle", 429, 0),
        ("unauthorized", 401, 0),
        ("fail_before", 500, 0),
        ("fail_after", 500, 1),
        ("drop_before", DROPPED, 0),
        ("drop_after", DROPPED, 1),
        ("short_answer", 200, 1),
        ("slow", 200, 1),
        ({"status": 503}, 503, 0),
    ],
)
@pytest.mark.parametrize("kind", ["bulk", "single"])
async def test_a_scripted_fault_meets_exactly_its_call(start, kind, fault, status, accepted):
    customer = await start(next=["ok", fault], slow_ms=1)
    send = getattr(customer, kind)
    assert (await send(message(1))).status == 200
    assert (await send(message(2))).status == status
    assert (await send(message(3))).status == 200
    expected = ["ref-1", "ref-2", "ref-3"] if accepted else ["ref-1", "ref-3"]
    assert [line["reference"] for line in await customer.accepted()] == expected
    assert [call["status"] for call in await customer.calls()] == [200, status, 200]


@pytest.mark.parametrize(
    ("fault", "status", "accepted"),
    [
        ("fail_before", 500, 0),
        ("fail_after", 500, 1),
        ("drop_before", DROPPED, 0),
        ("drop_after", DROPPED, 1),
    ],
)
async def test_a_fault_share_of_one_meets_every_call(start, fault, status, accepted):
    customer = await start(**{f"{fault}_share": 1})
    for number in range(5):
        assert (await customer.bulk(message(number))).status == status
    summary = await customer.summary()
    assert summary["accepted"] == 5 * accepted
    assert summary["calls_by_status"] == {str(status or "dropped"): 5}


async def test_fault_shares_are_met_side_by_side(start):
    customer = await start(fail_before_share=0.25, drop_after_share=0.25)
    statuses = [(await customer.single(message(number))).status for number in range(400)]
    assert 70 < statuses.count(500) < 130
    assert 70 < statuses.count(DROPPED) < 130
    log = {line["reference"] for line in await customer.accepted()}
    assert log == {f"ref-{number}" for number, status in enumerate(statuses) if status != 500}


async def test_a_short_answer_accepts_all_and_reports_one_too_few(start):
    customer = await start(short_answer_share=1)
    answer = await customer.bulk(message(1), message(2), message(3))
    assert answer.status == 200
    assert len(answer.body["messages"]) == 2
    assert (await customer.single(message(4))).body == {}
    assert (await customer.summary())["accepted"] == 4


async def test_a_slow_call_is_accepted_long_before_it_is_answered(start):
    customer = await start(slow_share=1, slow_ms=3_600_000)
    call = asyncio.create_task(customer.bulk(message(1)))
    await customer.eventually("/log/summary", lambda summary: summary["accepted"] == 1)
    assert not call.done()
    call.cancel()


async def test_latency_holds_back_every_answer(start):
    customer = await start(latency_ms=30, latency_jitter_ms=20, next=["ok", "drop_before"])
    for _ in range(2):
        begin = time.monotonic()
        await customer.bulk(message(1))
        assert time.monotonic() - begin >= 0.03


async def test_a_dropped_connection_is_closed_without_a_byte_and_without_a_fuss(start, caplog):
    customer = await start(next=["drop_after"])
    host, port = customer.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = b'{"trafficAccountId":"a","destination":"1","sms":{"text":"t","sender":"s"}}'
    head = f"POST {API}/send HTTP/1.1\r\nHost: x\r\nX-Mitto-API-Key: k\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert not caplog.records
    assert (await customer.summary())["accepted"] == 1


async def test_a_request_broken_off_before_its_end_is_no_call(start):
    customer = await start()
    host, port = customer.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {API}/send HTTP/1.1\r\nHost: x\r\nX-Mitto-API-Key: k\r\nContent-Length: 99\r\n"
    writer.write(head.encode() + b'\r\n{"traffic')
    writer.write_eof()
    await reader.read()
    writer.close()
    await writer.wait_closed()
    assert (await customer.summary())["calls"] == 0


async def test_the_limit_counts_calls_per_account_and_throttles_the_rest(start):
    customer = await start(limit={"max": 3, "window_ms": 3_600_000}, retry_after=7)
    answers = [await customer.bulk(message(number)) for number in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[3].headers["Retry-After"] == "7"
    assert (await customer.single(message(9, trafficAccountId="acct-2"))).status == 200
    summary = await customer.summary()
    assert summary["accepted"] == 4
    assert summary["accounts"]["acct-1"]["calls"] == 5


async def test_no_window_at_the_provider_admits_more_than_the_limit(start):
    most, window_ms = 5, 100
    customer = await start(limit={"max": most, "window_ms": window_ms})
    until = time.monotonic() + 0.4
    while time.monotonic() < until:
        await customer.single(message(1))
    admitted = [c["received_ns"] for c in await customer.calls() if c["status"] == 200]
    assert len(admitted) > 2 * most
    length = window_ms * 1_000_000
    assert max(sum(t <= u < t + length for u in admitted) for t in admitted) == most


async def test_a_throttled_call_carries_no_retry_after_unless_asked_for(start):
    customer = await start(next=["throttle"])
    assert "Retry-After" not in (await customer.single(message(1))).headers


async def test_a_known_reference_is_not_accepted_again_and_keeps_its_id(start):
    customer = await start(deduplicate=True)
    first = await customer.bulk(message(1), message(2), message(1))
    again = await customer.bulk(message(3), message(2), message(1))
    ids = [[e["messageId"] for e in answer.body["messages"]] for answer in (first, again)]
    assert ids[0][0] == ids[0][2] == ids[1][2]
    assert ids[0][1] == ids[1][1]
    assert [line["reference"] for line in await customer.accepted()] == ["ref-1", "ref-2", "ref-3"]
    assert (await customer.single(message(2))).body["messageId"] == ids[0][1]


async def test_references_are_known_from_before_deduplication_is_switched_on(start):
    customer = await start()
    sent = await customer.single(message(1))
    await customer.patch(deduplicate=True)
    assert (await customer.single(message(1))).body == sent.body
    assert (await customer.summary())["accepted"] == 1


async def test_messages_without_a_reference_are_never_deduplicated(start):
    customer = await start(deduplicate=True)
    await customer.bulk(message(1, reference=None), message(1, reference=None))
    summary = await customer.summary()
    assert (summary["accepted"], summary["distinct"], summary["duplicates"]) == (2, 1, 1)


async def test_without_deduplication_a_repeated_call_shows_as_duplicates(start):
    customer = await start(next=["drop_after"])
    for _ in range(2):
        await customer.bulk(message(1), message(2))
    summary = await customer.summary()
    assert (summary["accepted"], summary["distinct"], summary["duplicates"]) == (4, 2, 2)


async def test_the_same_seed_and_calls_get_the_same_answers_and_another_seed_others(start):
    controls = {"fail_before_share": 0.3, "drop_after_share": 0.2, "reject_share": 0.2}

    async def answers(seed: int) -> list[tuple[int | None, object]]:
        customer = await start(seed=seed, **controls)
        calls = [
            await customer.bulk(*(message(5 * call + n) for n in range(5))) for call in range(30)
        ]
        return [(answer.status, answer.body) for answer in calls]

    assert await answers(7) == await answers(7)
    assert await answers(7) != await answers(8)
