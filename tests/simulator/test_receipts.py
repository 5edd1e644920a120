from __future__ import annotations

import socket

import pytest

from .customer import message
from .webhook import Webhook, listening


@pytest.fixture
async def webhook():
    async with listening(Webhook()) as hook:
        yield hook


def ids(answer) -> list[str]:
    return [entry["messageId"] for entry in answer.body["messages"]]


async def test_every_accepted_message_gets_one_receipt_in_posts_of_at_most_a_hundred(
    start, webhook
):
    customer = await start(
        receipts={"url": webhook.url}, reject_destinations=[message(7)["destination"]]
    )
    answer = await customer.bulk(*map(message, range(251)))
    assert await customer.receipts_settled() == {"waiting": 0, "delivered": 250, "abandoned": 0}
    assert [len(post) for post in webhook.posts] == [100, 100, 50]
    assert [r["messageId"] for r in webhook.receipts] == [
        entry["messageId"] for entry in answer.body["messages"] if "messageId" in entry
    ]
    assert {r["deliveryStatus"] for r in webhook.receipts} == {"Delivered"}
    assert webhook.receipts[0].keys() == {"messageId", "deliveryStatus", "updatedAt"}


@pytest.mark.parametrize("fault", ["fail_after", "drop_after", "short_answer"])
async def test_accepted_messages_get_receipts_however_the_call_was_answered(start, webhook, fault):
    customer = await start(receipts={"url": webhook.url}, next=[fault])
    await customer.bulk(message(1), message(2))
    await customer.receipts_settled()
    assert [r["messageId"] for r in webhook.receipts] == [
        line["message_id"] for line in await customer.accepted()
    ]


async def test_nothing_accepted_means_no_receipt(start, webhook):
    customer = await start(receipts={"url": webhook.url, "before_answer": True}, next=["throttle"])
    await customer.bulk(message(1))
    assert webhook.posts == []
    assert await customer.receipts_settled() == {"waiting": 0, "delivered": 0, "abandoned": 0}


async def test_the_fail_share_is_met_and_the_status_call_agrees(start, webhook):
    customer = await start(receipts={"url": webhook.url, "fail_share": 0.4})
    await customer.bulk(*map(message, range(500)))
    await customer.receipts_settled()
    failed = [r for r in webhook.receipts if r["deliveryStatus"] == "Failure"]
    assert 150 < len(failed) < 250
    for receipt in (failed[0], webhook.receipts[0], webhook.receipts[-1]):
        status = await customer.get(f"/api/v1.1/Messages/{receipt['messageId']}")
        assert status["deliveryStatus"] == receipt["deliveryStatus"]


async def test_the_duplicate_share_is_posted_twice(start, webhook):
    customer = await start(receipts={"url": webhook.url, "duplicate_share": 1})
    answer = await customer.bulk(message(1), message(2))
    await customer.receipts_settled()
    assert [r["messageId"] for r in webhook.receipts] == [i for i in ids(answer) for _ in range(2)]


async def test_intermediate_receipts_come_first(start, webhook):
    customer = await start(receipts={"url": webhook.url, "intermediate": True})
    answer = await customer.bulk(message(1), message(2))
    await customer.receipts_settled()
    assert [(r["messageId"], r["deliveryStatus"]) for r in webhook.receipts] == [
        (message_id, status) for status in ("Sent", "Delivered") for message_id in ids(answer)
    ]


async def test_shuffled_receipts_are_the_same_ones_in_another_order(start, webhook):
    shuffle = {"intermediate": True, "duplicate_share": 0.5, "shuffle": True}
    customer = await start(receipts={"url": webhook.url, **shuffle})
    await customer.bulk(*map(message, range(100)))
    await customer.receipts_settled()
    shuffled = [(r["messageId"], r["deliveryStatus"]) for r in webhook.receipts]
    webhook.posts.clear()

    plain = await start(receipts={"url": webhook.url, **shuffle, "shuffle": False})
    await plain.bulk(*map(message, range(100)))
    await plain.receipts_settled()
    ordered = [(r["messageId"], r["deliveryStatus"]) for r in webhook.receipts]
    assert shuffled != ordered
    assert sorted(shuffled) == sorted(ordered)
    last = dict(shuffled)
    assert "Sent" in last.values()


async def test_receipts_before_the_answer_are_in_before_the_answer_is(start, webhook):
    customer = await start(receipts={"url": webhook.url, "before_answer": True})
    answer = await customer.bulk(*map(message, range(150)))
    assert [r["messageId"] for r in webhook.receipts] == ids(answer)


async def test_delayed_receipts_do_not_hold_up_the_answer(start, webhook):
    customer = await start(receipts={"url": webhook.url, "delay_ms": 3_600_000})
    assert (await customer.bulk(message(1))).status == 200
    assert await customer.get("/log/receipts") == {"waiting": 1, "delivered": 0, "abandoned": 0}
    assert webhook.posts == []


async def test_the_reference_is_echoed_only_when_asked_for(start, webhook):
    customer = await start(receipts={"url": webhook.url, "echo_reference": True})
    await customer.bulk(message(1))
    await customer.receipts_settled()
    assert [r["reference"] for r in webhook.receipts] == ["ref-1"]


async def test_a_webhook_that_fails_gets_the_receipts_again(start, webhook):
    webhook.statuses = [503, 500]
    customer = await start(receipts={"url": webhook.url})
    answer = await customer.bulk(message(1), message(2))
    assert (await customer.receipts_settled())["delivered"] == 2
    assert webhook.refused == 2
    assert [r["messageId"] for r in webhook.receipts] == ids(answer)


async def test_receipts_are_abandoned_when_the_tries_are_used_up(start, webhook):
    webhook.statuses = [503] * 3
    customer = await start(receipts={"url": webhook.url}, backoff=(0.001, 0.001))
    await customer.bulk(message(1))
    assert await customer.receipts_settled() == {"waiting": 0, "delivered": 0, "abandoned": 1}
    assert webhook.refused == 3


async def test_a_refused_receipt_is_not_posted_again(start, webhook):
    webhook.statuses = [404]
    customer = await start(receipts={"url": webhook.url})
    await customer.bulk(message(1))
    assert await customer.receipts_settled() == {"waiting": 0, "delivered": 0, "abandoned": 1}
    assert webhook.posts == []


async def test_receipts_arrive_once_a_webhook_that_was_down_is_up(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    customer = await start(
        receipts={"url": f"http://127.0.0.1:{port}/dlr", "before_answer": True},
        backoff=(0.02,) * 200,
    )
    answer = await customer.bulk(message(1))
    assert answer.status == 200
    async with listening(Webhook(), port) as hook:
        assert (await customer.receipts_settled())["delivered"] == 1
        assert [r["messageId"] for r in hook.receipts] == ids(answer)
