"""Twilio."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from urllib.parse import urlencode

from msgspec.json import encode

from paceline.domain.message import Delivery
from paceline.domain.outcome import Rejection
from paceline.providers.base import Capabilities, OutgoingMessage, Receipt, Reply

from .subject import API_KEY, PHONE, TOKEN, Subject

BASIC = base64.b64encode(f"acc-1:{API_KEY}".encode()).decode()
_HEAD = (
    "POST /2010-04-01/Accounts/acc-1/Messages.json HTTP/1.1\r\n"
    "Host: 127.0.0.1:PORT\r\n"
    "User-Agent: paceline/VERSION\r\n"
    "Accept: application/json\r\n"
    f"Authorization: Basic {BASIC}\r\n"
    "Content-Type: application/x-www-form-urlencoded\r\n"
    "Content-Length: LENGTH\r\n"
    "\r\n"
)
_BODY = (
    "To=%2B306912345678&From=Brand"
    "&Body=%CE%93%CE%B5%CE%B9%CE%B1+%22%CE%96%CF%89%CE%AE%22+%5C+%F0%9F%99%82%0A"
    f"&StatusCallback=https%3A%2F%2Fsms.example.org%2Fwebhooks%2Ftwilio%2F{TOKEN}%2Fdlr"
    "%3Freference%3Dinst-1-0"
)
SID = "SM0123456789abcdef0123456789abcdef"


def error(code: object, words: str, status: int = 400) -> bytes:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return encode({"code": code, "message": words, "more_info": more, "status": status})


def _ids(sent: Sequence[OutgoingMessage]) -> list[str]:
    return [SID for _ in sent]


def _accepts(sent: Sequence[OutgoingMessage]) -> bytes:
    return encode({"sid": SID, "status": "queued", "num_segments": "1", "error_code": None})


def form(**fields: str) -> bytes:
    return urlencode(fields).encode()


def _callback(status: str, **more: str) -> bytes:
    return form(MessageSid=SID, MessageStatus=status, AccountSid="acc-1", To=PHONE, **more)


TWILIO = Subject(
    name="twilio",
    capabilities=Capabilities(
        max_messages_per_call=1, echoes_reference=True, server_error_is_no=False
    ),
    golden=(_HEAD + _BODY).encode(),
    accepts=_accepts,
    ids=_ids,
    error=error,
    doubtful=[encode({"sid": "", "status": "queued"}), encode({"sid": 7}), encode({"status": "?"})],
    rejections=[
        (
            400,
            error(21610, "Attempt to send to unsubscribed recipient"),
            Rejection("21610", "Attempt to send to unsubscribed recipient", reason="opted_out"),
        ),
        (403, error(21610, "unsubscribed"), Rejection("21610", "unsubscribed", "opted_out")),
        (
            400,
            error(21211, f"The 'To' number {PHONE} is not a valid phone number."),
            Rejection("21211", "The 'To' number … is not a valid phone number.", "invalid_number"),
        ),
        (400, error("21614", "not mobile"), Rejection("21614", "not mobile", "invalid_number")),
        (400, error(21611, "queue full"), Rejection("21611", "queue full", retryable=True)),
        (400, error(63017, "over rate"), Rejection("63017", "over rate", retryable=True)),
        (
            201,
            encode(
                {"sid": SID, "status": "failed", "error_code": 30001, "error_message": "overflow"}
            ),
            Rejection("30001", "overflow", retryable=True),
        ),
        (
            201,
            encode({"sid": SID, "status": "failed", "error_code": 30007, "error_message": None}),
            Rejection("30007"),
        ),
        (201, encode({"sid": SID, "status": "canceled"}), Rejection("canceled")),
    ],
    receipts=[
        (
            _callback("delivered"),
            {"reference": "inst-1-0"},
            [Receipt(SID, "inst-1-0", Delivery.DELIVERED, None)],
        ),
        (
            _callback("undelivered", ErrorCode="30003"),
            {"reference": "inst-1-0"},
            [Receipt(SID, "inst-1-0", Delivery.UNDELIVERED, None, "30003")],
        ),
        (_callback("failed"), {}, [Receipt(SID, "", Delivery.UNDELIVERED, None, "failed")]),
        (
            _callback("failed", ErrorCode="30036"),
            {},
            [Receipt(SID, "", Delivery.EXPIRED, None, "30036")],
        ),
        (_callback("sent"), {}, [Receipt(SID, "", Delivery.NONE, None)]),
        (_callback("a_new_one"), {}, [Receipt(SID, "", Delivery.NONE, None)]),
        (
            form(SmsSid=SID, SmsStatus="delivered"),
            {},
            [Receipt(SID, "", Delivery.DELIVERED, None)],
        ),
    ],
    no_receipts=[
        *(b"", b"{}", b"\xff", b"MessageSid&MessageStatus"),
        form(MessageSid=SID),
        form(MessageStatus="sent"),
    ],
    replies=[
        (
            form(MessageSid=SID, From=PHONE, To="+15005550006", Body="ΣΤΟΠ & τέλος", NumMedia="0"),
            [Reply(SID, PHONE, "+15005550006", "ΣΤΟΠ & τέλος")],
        ),
        (form(From=PHONE, Body=""), [Reply("", PHONE, "", "")]),
    ],
    no_replies=[b"", b"{}", b"\xff", form(From=PHONE), form(Body="STOP"), form(From="", Body="x")],
    senders=[
        *("Brand", "My Shop", "A", "R&B-Shop_1+", "123", "+306912345678"),
        "MG0123456789abcdef0123456789abcdef",
    ],
    no_senders=["", "TwelveChars1", "Καφές", "12", "Brand\n", "MG0123456789abcdef", "a/b"],
    secrets=[BASIC],
    accepted_status=201,
)
