"""Mitto's wire: answers entry by entry, receipts of every kind."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.domain.message import Delivery
from paceline.domain.outcome import Answered, NoAnswer, Outcome, Rejection
from paceline.providers import create
from paceline.providers.base import Receipt, UnreadableError
from paceline.providers.lines import HttpAnswer
from paceline.providers.mitto import Mitto

from .subjects.mitto import MITTO
from .subjects.subject import API_KEY, PHONE, SENDER, TEXT, messages

# --- Answers --------------------------------------------------------------------------------------


def read(body: object, count: int = 2, status: int = 200) -> Outcome:
    """What an answer of this body means for a call of ``count`` messages."""
    call = Mitto(MITTO.account("http://localhost")).prepare(SENDER, messages(count))
    encoded = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return call._read(HttpAnswer(status, {}, encoded))


def test_an_entry_with_an_error_is_a_rejection_of_its_message():
    outcome = read(
        {
            "bulkId": 17,
            "messages": [
                {"error": {"code": "NO_ROUTE", "description": "no route"}},
                {"messageId": 12, "trafficAccountId": "acc-1", "error": None},
                {"messageId": "", "error": "unknown subscriber"},
                {"messageId": None, "error": {"errorCode": 44, "message": "barred"}},
                {"error": ["?"]},
            ],
        },
        count=5,
    )
    assert outcome == Answered(
        provider_ids=[None, "12", None, None, None],
        rejections={
            0: Rejection("NO_ROUTE", "no route"),
            2: Rejection("rejected", "unknown subscriber"),
            3: Rejection("44", "barred"),
            4: Rejection("rejected", ""),
        },
        bulk_id="17",
    )


def test_an_entry_with_an_id_is_accepted_whatever_else_it_says():
    outcome = read({"messages": [{"messageId": "a", "error": {"code": "W"}}]}, count=1)
    assert outcome == Answered(["a"])


def test_a_rejection_reveals_neither_number_nor_text_nor_key():
    echo = {"code": PHONE, "description": f"{PHONE} {TEXT} (0) {API_KEY}"}
    outcome = read({"messages": [{"error": echo}]}, count=1)
    assert isinstance(outcome, Answered)
    assert outcome.rejections == {0: Rejection("…", "withheld, as it repeats the message")}


_ENTRIES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "messageId": st.none() | st.integers(1, 9) | st.text(max_size=2),
            "error": st.none() | st.text(max_size=3) | st.dictionaries(st.text(), st.text()),
        },
    ),
    max_size=6,
)


@given(entries=_ENTRIES, count=st.integers(1, 5))
def test_an_answered_call_settles_each_message_exactly_once(entries, count):
    outcome = read({"messages": entries}, count)
    if isinstance(outcome, NoAnswer):
        return
    assert isinstance(outcome, Answered)
    assert len(outcome.provider_ids) == count == len(entries)
    for position, provider_id in enumerate(outcome.provider_ids):
        assert (provider_id is None) == (position in outcome.rejections)
        assert provider_id in (None, str(entries[position].get("messageId")))


# --- Receipts -------------------------------------------------------------------------------------

NOON = 1_795_521_600_000
"""2026-11-24 12:00:00 UTC in milliseconds since 1970."""


def receipts(body: object) -> list[Receipt]:
    encoded = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return create(MITTO.account("http://localhost")).read_receipts(encoded, {}, {})


@pytest.mark.parametrize(
    ("status", "delivery", "error"),
    [
        ("Sent", Delivery.NONE, ""),
        ("Delivered", Delivery.DELIVERED, ""),
        ("DELIVRD", Delivery.DELIVERED, ""),
        ("Failure", Delivery.UNDELIVERED, "failure"),
        ("Undelivered", Delivery.UNDELIVERED, "undelivered"),
        ("REJECTED", Delivery.UNDELIVERED, "rejected"),
        ("failed", Delivery.UNDELIVERED, "failed"),
        ("Expired", Delivery.EXPIRED, "expired"),
        (" delivered ", Delivery.DELIVERED, ""),
        ("Buffered", Delivery.NONE, ""),
        ("", Delivery.NONE, ""),
    ],
)
def test_a_receipt_status_in_any_case(status, delivery, error):
    for spelled in (status, status.upper(), status.lower()):
        assert receipts({"messageId": "m-1", "deliveryStatus": spelled}) == [
            Receipt("m-1", "", delivery, None, error)
        ]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"updatedAt": "2026-11-24T12:00:00Z"}, NOON),
        ({"updatedAt": "2026-11-24T12:00:00.1234567Z"}, NOON + 123),
        ({"updatedAt": "2026-11-24T14:00:00+02:00"}, NOON),
        ({"updatedAt": "2026-11-24T12:00:00"}, NOON),
        ({"updatedAt": "2026-11-24 12:00:00"}, NOON),
        ({"doneAt": NOON}, NOON),
        ({"timestamp": NOON // 1000}, NOON),
        ({"timestamp": NOON / 1000 + 0.25}, NOON + 250),
        ({"timestamp": str(NOON)}, NOON),
        ({"timestamp": str(NOON // 1000)}, NOON),
        ({"updatedAt": None, "doneAt": "", "timestamp": NOON}, NOON),
        ({"updatedAt": NOON, "timestamp": 5}, NOON),
        ({}, None),
        ({"updatedAt": "yesterday"}, None),
        ({"updatedAt": "0001-01-01T00:00:00+12:00"}, None),
        ({"updatedAt": -1}, None),
        ({"updatedAt": 1e300}, None),
        ({"updatedAt": "9" * 400}, None),
        ({"updatedAt": "nan"}, None),
    ],
)
def test_a_receipt_time_in_any_form(times, expected):
    [receipt] = receipts({"messageId": "m-1", "deliveryStatus": "Sent", **times})
    assert receipt.occurred_at == expected


def test_receipts_come_alone_or_in_an_array():
    one = {"messageId": "m-1", "deliveryStatus": "Delivered", "text": "ignored"}
    other = {"messageId": 7, "deliveryStatus": "Failure", "reference": "inst-1-0"}
    assert receipts(one) == [Receipt("m-1", "", Delivery.DELIVERED, None)]
    assert receipts([one, other]) == [
        Receipt("m-1", "", Delivery.DELIVERED, None),
        Receipt("7", "inst-1-0", Delivery.UNDELIVERED, None, "failure"),
    ]
    assert receipts([]) == []


def test_a_reference_alone_names_a_message():
    assert receipts({"reference": "inst-1-0", "deliveryStatus": "Delivered"}) == [
        Receipt("", "inst-1-0", Delivery.DELIVERED, None)
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[" * 9000,
        b"null",
        b'"m-1"',
        {},
        {"messageId": "m-1"},
        {"messageId": "m-1", "deliveryStatus": None},
        {"deliveryStatus": "Delivered"},
        {"messageId": "", "reference": "", "deliveryStatus": "Delivered"},
        [{"messageId": "m-1", "deliveryStatus": "Delivered"}, {"deliveryStatus": "Delivered"}],
        {"messageId": ["m-1"], "deliveryStatus": "Delivered"},
    ],
)
def test_what_is_no_receipt_is_unreadable(body):
    with pytest.raises(UnreadableError):
        receipts(body)
