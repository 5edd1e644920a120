"""Replies are posted to the inbound webhook until it takes them, each under one id."""

from __future__ import annotations

import json

import pytest

from .webhook import Webhook, listening


@pytest.fixture
async def webhook():
    async with listening(Webhook()) as hook:
        yield hook


def reply(number: int) -> dict[str, str]:
    return {"from": f"+3069{number:08d}", "to": "Paceline", "text": f"STOP {number}"}


async def send(customer, webhook, *replies, **order):
    answer = await customer.request(
        "POST", "/inbound/send", {"url": webhook.url, "replies": replies, **order}
    )
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in answer.body.splitlines()]


async def test_a_reply_is_posted_as_the_provider_posts_it_and_told_when_it_was_taken(
    start, webhook
):
    customer = await start()
    [delivery] = await send(customer, webhook, reply(1))
    assert webhook.posts == [{"messageId": delivery["message_id"], **reply(1)}]
    assert (delivery["from"], delivery["delivered"], delivery["tries"]) == (
        reply(1)["from"],
        True,
        1,
    )
    assert delivery["posted_ns"] < delivery["answered_ns"]


async def test_a_reply_is_posted_again_under_its_id_until_it_is_taken(start, webhook):
    customer = await start()
    webhook.statuses = [503, 500]
    [delivery] = await send(customer, webhook, reply(1))
    assert (delivery["delivered"], delivery["tries"]) == (True, 3)
    assert [post["messageId"] for post in webhook.posts] == [delivery["message_id"]]


@pytest.mark.parametrize(("statuses", "tries"), [([404], 1), ([503] * 3, 3)])
async def test_a_reply_that_is_refused_or_never_taken_is_told_so(start, webhook, statuses, tries):
    customer = await start()
    webhook.statuses = list(statuses)
    [delivery] = await send(customer, webhook, reply(1))
    assert (delivery["delivered"], delivery["tries"]) == (False, tries)


async def test_many_replies_go_at_their_rate_and_are_told_in_their_order(start, webhook):
    customer = await start()
    deliveries = await send(customer, webhook, *map(reply, range(40)), per_second=200)
    assert [each["from"] for each in deliveries] == [reply(n)["from"] for n in range(40)]
    assert len({each["message_id"] for each in deliveries}) == 40
    assert deliveries[-1]["posted_ns"] - deliveries[0]["posted_ns"] >= 39 / 200 * 1e9 * 0.9


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"url": "ftp://x", "replies": [reply(1)]}, "url"),
        ({"url": "http://x", "replies": []}, "replies"),
        ({"url": "http://x", "replies": [{"from": "1", "text": ""}]}, "to"),
        ({"url": "http://x", "replies": [reply(1)], "per_second": 0}, "per_second"),
    ],
)
async def test_a_wrong_order_is_400_naming_the_fault(start, document, named):
    customer = await start()
    answer = await customer.request("POST", "/inbound/send", document)
    assert answer.status == 400
    assert named in answer.body["error"]["description"]
