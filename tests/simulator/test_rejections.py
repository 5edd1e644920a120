"""Messages that pass at another time, and calls that one message or the sender spoils."""

from __future__ import annotations

from .customer import message

SECOND = message(2)["destination"]


def codes(answer) -> list[str | None]:
    return [entry.get("error", {}).get("code") for entry in answer.body["messages"]]


async def test_a_destination_fails_as_often_as_it_was_told_to_and_then_passes(start):
    customer = await start(retry_destinations={SECOND: 2})
    answers = [await customer.bulk(message(1), message(2)) for _ in range(3)]
    failing = [None, "TEMPORARILY_UNAVAILABLE"]
    assert [codes(answer) for answer in answers] == [failing, failing, [None, None]]
    assert answers[0].body["messages"][1]["error"]["retryable"] is True
    assert [line["reference"] for line in await customer.accepted()].count("ref-2") == 1


async def test_the_document_shows_how_often_a_destination_will_fail_yet(start):
    customer = await start(retry_destinations={SECOND: 2})
    await customer.bulk(message(2))
    assert (await customer.get("/control"))["retry_destinations"] == {SECOND: 1}
    await customer.patch(latency_ms=1)
    await customer.bulk(message(2))
    assert (await customer.get("/control"))["retry_destinations"] == {}


async def test_a_call_that_fails_whole_consumes_no_failure_of_its_messages(start):
    customer = await start(retry_destinations={SECOND: 1}, next=["fail_before"])
    await customer.bulk(message(2))
    assert codes(await customer.bulk(message(2))) == ["TEMPORARILY_UNAVAILABLE"]


async def test_the_retryable_share_is_met_and_drawn_anew_in_each_call(start):
    customer = await start(retryable_share=0.3)
    fates = [codes(await customer.bulk(*map(message, range(2000)))) for _ in range(2)]
    assert fates[0] != fates[1]
    for fate in fates:
        assert 500 < fate.count("TEMPORARILY_UNAVAILABLE") < 700


async def test_an_error_for_good_is_not_marked_retryable(start):
    customer = await start(reject_destinations=[SECOND])
    answer = await customer.bulk(message(2))
    assert "retryable" not in answer.body["messages"][0]["error"]


async def test_a_known_reference_is_accepted_whatever_its_destination_would_get(start):
    customer = await start(deduplicate=True)
    first = await customer.bulk(message(2))
    await customer.patch(retry_destinations={SECOND: 1})
    assert (await customer.bulk(message(2))).body["messages"] == first.body["messages"]


async def test_one_poisoned_destination_spoils_its_call_without_being_named(start):
    customer = await start(poison_destinations=[SECOND])
    answer = await customer.bulk(message(1), message(2), message(3))
    assert answer.status == 400
    assert not any(word in str(answer.body) for word in (SECOND, "ref-2", "Hello"))
    assert (await customer.bulk(message(1), message(3))).status == 200
    assert (await customer.single(message(2))).status == 400
    assert {line["reference"] for line in await customer.accepted()} == {"ref-1", "ref-3"}


async def test_a_rejected_sender_spoils_each_of_its_calls(start):
    customer = await start(reject_senders=["Bad"])
    for number in range(3):
        bad = message(number, sms={"text": "t", "sender": "Bad"})
        assert (await customer.bulk(bad)).status == 400
    assert (await customer.bulk(message(1))).status == 200
