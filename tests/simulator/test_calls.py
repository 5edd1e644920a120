from __future__ import annotations

import pytest

from .customer import API, message


async def test_bulk_answers_one_entry_per_message_in_order_and_logs_each(start):
    customer = await start()
    answer = await customer.bulk(message(1), message(2), message(3))
    assert answer.status == 200
    log = await customer.accepted()
    assert [entry["messageId"] for entry in answer.body["messages"]] == [
        line["message_id"] for line in log
    ]
    assert {entry["trafficAccountId"] for entry in answer.body["messages"]} == {"acct-1"}
    assert {line["bulk_id"] for line in log} == {answer.body["bulkId"]}
    assert [(line["destination"], line["text"], line["reference"]) for line in log] == [
        ("+306900000001", "Hello 1", "ref-1"),
        ("+306900000002", "Hello 2", "ref-2"),
        ("+306900000003", "Hello 3", "ref-3"),
    ]


async def test_single_answers_its_message_id_and_logs_it_without_a_bulk(start):
    customer = await start()
    answer = await customer.single(message(1, reference=None))
    assert answer.status == 200
    assert answer.body.keys() == {"messageId", "trafficAccountId"}
    [line] = await customer.accepted()
    assert (line["message_id"], line["bulk_id"], line["reference"]) == (
        answer.body["messageId"],
        None,
        None,
    )


async def test_ids_are_never_given_twice_not_even_after_the_log_is_cleared(start):
    customer = await start()
    ids = []
    for _ in range(3):
        answer = await customer.bulk(message(1), message(1))
        ids += [answer.body["bulkId"], *(e["messageId"] for e in answer.body["messages"])]
        assert (await customer.request("DELETE", "/log")).status == 204
        assert await customer.accepted() == []
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "MALFORMED_JSON"),
        (b'{"messages": [\xff]}', "MALFORMED_JSON"),
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{**message(1), "destination": None}]}, "destination"),
        ({"messages": [message(1), {"trafficAccountId": "a", "sms": {}}]}, "messages[1]"),
        ({"messages": [message(1, sms={"text": "Hello"})]}, "sender"),
        ({"messages": [message(1, sms={"text": "", "sender": "S"})]}, "sms.text"),
        ({"messages": [message(1), message(2, trafficAccountId="b")]}, "trafficAccountId"),
        ({"messages": [message(1), message(2, sms={"text": "t", "sender": "B"})]}, "sms.sender"),
    ],
)
async def test_a_bad_bulk_is_400_naming_the_field_and_accepts_nothing(start, body, named):
    customer = await start()
    answer = await customer.request("POST", f"{API}/sendmessagesbulk", body)
    assert answer.status == 400
    error = answer.body["error"]
    assert named in f"{error['code']} {error['description']}"
    summary = await customer.summary()
    assert (summary["accepted"], summary["calls_by_status"]) == (0, {"400": 1})


async def test_a_bad_single_is_400_naming_the_field(start):
    customer = await start()
    one = message(1)
    del one["destination"]
    answer = await customer.single(one)
    assert answer.status == 400
    assert "destination" in answer.body["error"]["description"]


async def test_more_messages_than_allowed_are_413_and_none_is_accepted(start):
    customer = await start(max_messages=2)
    assert (await customer.bulk(message(1), message(2), message(3))).status == 413
    assert (await customer.bulk(message(1), message(2))).status == 200
    summary = await customer.summary()
    assert (summary["accepted"], summary["calls_by_status"]) == (2, {"200": 1, "413": 1})
    assert summary["accounts"]["acct-1"]["calls"] == 2


async def test_ten_thousand_messages_in_a_call_are_the_default_maximum(start):
    customer = await start()
    assert (await customer.bulk(*map(message, range(10_001)))).status == 413
    assert (await customer.bulk(*map(message, range(10_000)))).status == 200
    assert (await customer.summary())["accepted"] == 10_000


async def test_any_key_will_do_until_keys_are_set(start):
    customer = await start()
    assert (await customer.single(message(1))).status == 200
    await customer.patch(api_keys=["secret"])
    assert (await customer.single(message(2))).status == 401
    assert (await customer.request("GET", f"{API}?reference=ref-1")).status == 401
    customer.headers = {"X-Mitto-API-Key": "secret"}
    assert (await customer.single(message(3))).status == 200
    assert [line["reference"] for line in await customer.accepted()] == ["ref-1", "ref-3"]


async def test_a_call_without_a_key_is_401(start):
    customer = await start()
    customer.headers = {}
    assert (await customer.single(message(1))).status == 401
    assert (await customer.summary())["accepted"] == 0


async def test_status_tells_text_sender_and_delivery(start):
    customer = await start()
    sent = await customer.single(message(1))
    status = await customer.get(f"{API}/{sent.body['messageId']}")
    assert status["text"] == "Hello 1"
    assert status["sender"] == "Paceline"
    assert status["deliveryStatus"] == "Delivered"
    assert status["messageParts"] == 1
    assert status["createdAt"] == status["updatedAt"]


async def test_status_is_sent_while_the_receipt_is_due_later(start):
    customer = await start(receipts={"url": "http://127.0.0.1:9/", "delay_ms": 3_600_000})
    sent = await customer.single(message(1))
    status = await customer.get(f"{API}/{sent.body['messageId']}")
    assert status["deliveryStatus"] == "Sent"


async def test_status_of_an_unknown_message_is_404(start):
    customer = await start()
    sent = await customer.single(message(1))
    own = sent.body["messageId"]
    for unknown in ("nonsense", own[:-1] + "9", own.upper() + "0", own[:-1] + "_", own[:-1] + "0"):
        assert (await customer.request("GET", f"{API}/{unknown}")).status == 404
    await customer.request("DELETE", "/log")
    await customer.single(message(2))
    assert (await customer.request("GET", f"{API}/{own}")).status == 404


async def test_look_up_finds_every_accepted_reference_and_no_other(start):
    customer = await start(reject_destinations=["+306900000002"])
    answer = await customer.bulk(message(1), message(2), message(3))
    await customer.single(message(4, reference=None))
    third = await customer.get(f"{API}?reference=ref-3")
    assert third["messageId"] == answer.body["messages"][2]["messageId"]
    assert third["reference"] == "ref-3"
    for unknown in ("ref-2", "ref-4", "ref-5"):
        assert (await customer.request("GET", f"{API}?reference={unknown}")).status == 404
    await customer.single(message(5))
    assert (await customer.get(f"{API}?reference=ref-5"))["destination"] == "+306900000005"


async def test_look_up_switched_off_is_501_so_that_it_proves_nothing(start):
    customer = await start(lookup=False)
    await customer.single(message(1))
    for reference in ("ref-1", "ref-2"):
        assert (await customer.request("GET", f"{API}?reference={reference}")).status == 501


async def test_look_up_without_a_reference_is_400(start):
    customer = await start()
    assert (await customer.request("GET", API)).status == 400
