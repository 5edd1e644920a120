"""Infobip's own: duplicates, mixed answers, and the two ways in which it writes errors."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.json import encode

from paceline.domain.message import Delivery
from paceline.domain.outcome import Answered, Known, Refused, Rejection
from paceline.providers.base import OutgoingMessage
from paceline.providers.infobip import Infobip
from paceline.providers.lines import HttpAnswer

from .scripted import answer, answering, scripted
from .subjects.infobip import (
    DELIVERED,
    DUPLICATE,
    INFOBIP,
    PENDING,
    TO_OPERATOR,
    answered,
    entry,
    rejected,
    results,
)
from .subjects.subject import SENDER, messages


def read(body: bytes, sent: Sequence[OutgoingMessage], status: int = 200):
    call = Infobip(INFOBIP.account("http://localhost")).prepare(SENDER, sent)
    return call._read(HttpAnswer(status, {}, body))


def test_a_duplicate_was_accepted_the_first_time():
    body = answered(entry("inst-1-0", DUPLICATE), entry("inst-0-0", PENDING))
    assert read(body, messages(2)) == Answered(["inst-0-0", "inst-1-0"], bulk_id="bulk-1")


def test_each_rejection_finds_its_message_in_any_order():
    body = answered(
        entry("inst-2-0", rejected(52, "REJECTED_DESTINATION")),
        entry("inst-0-0", PENDING),
        entry("inst-1-0", rejected(6, "REJECTED_NETWORK")),
    )
    assert read(body, messages(3)) == Answered(
        ["inst-0-0", None, None],
        {
            1: Rejection("REJECTED_NETWORK"),
            2: Rejection("REJECTED_DESTINATION", reason="invalid_number"),
        },
        bulk_id="bulk-1",
    )


def test_a_single_message_is_answered_without_a_bulk_id():
    body = encode({"messages": [entry("inst-0-0", PENDING)]})
    assert read(body, messages(1)) == Answered(["inst-0-0"])


@pytest.mark.parametrize(
    "body",
    [
        {"errorCode": "UNAUTHORIZED", "description": "Invalid login details"},
        {
            "requestError": {
                "serviceException": {"messageId": "UNAUTHORIZED", "text": "Invalid login details"}
            }
        },
    ],
)
def test_an_error_is_read_in_both_ways_in_which_it_is_written(body):
    assert read(encode(body), messages(1), status=401) == Refused(
        "401 Unauthorized: UNAUTHORIZED: Invalid login details", 401
    )


@pytest.mark.parametrize(
    "body",
    [{"requestError": None}, {"requestError": {"serviceException": []}}, {"requestError": []}],
)
def test_an_error_in_a_third_way_has_its_status(body):
    assert read(encode(body), messages(1), status=401) == Refused("401 Unauthorized", 401)


async def test_of_several_entries_in_the_logs_the_one_that_says_most_counts():
    entries = [
        entry("inst-0-0", DUPLICATE),
        entry("inst-0-0", DELIVERED),
        entry("inst-0-0", DUPLICATE),
        entry("inst-1-0", TO_OPERATOR),
        entry("inst-2-0", DUPLICATE),
    ]
    async with scripted(answering(answer(200, results(*entries)))) as server:
        provider = Infobip(INFOBIP.account(server.url))
        assert await provider.look_up(["inst-0-0", "inst-1-0", "inst-2-0", "inst-3-0"]) == {
            "inst-0-0": Known("inst-0-0", Delivery.DELIVERED),
            "inst-1-0": Known("inst-1-0"),
            "inst-2-0": Known("inst-2-0"),
        }
        await provider.aclose()
        assert server.received.startswith(
            b"GET /sms/3/logs?messageId=inst-0-0&messageId=inst-1-0&messageId=inst-2-0"
            b"&messageId=inst-3-0&limit=1000 HTTP/1.1\r\n"
        )
        assert b"Content-" not in server.received


def test_without_a_public_address_no_receipts_are_asked_for():
    account = INFOBIP.account("http://localhost")
    call = Infobip(type(account)("infobip", "http://localhost", "key", "acc-1")).prepare(
        SENDER, messages(1)
    )
    assert b"webhooks" not in call._request
