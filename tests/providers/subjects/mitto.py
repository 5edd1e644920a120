"""Mitto."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.json import encode

from paceline.domain.message import Delivery
from paceline.domain.outcome import Rejection
from paceline.providers.base import Capabilities, OutgoingMessage, Receipt, Reply

from .subject import API_KEY, PHONE, Subject

HEAD = (
    "POST /api/v1.1/Messages/sendmessagesbulk HTTP/1.1\r\n"
    "Host: 127.0.0.1:PORT\r\n"
    "User-Agent: paceline/VERSION\r\n"
    "Accept: application/json\r\n"
    "Content-Type: application/json\r\n"
    f"X-Mitto-API-Key: {API_KEY}\r\n"
    "Content-Length: LENGTH\r\n"
    "\r\n"
)
ENTRIES = (
    '{"messages":['
    '{"trafficAccountId":"acc-1","destination":"+306912345678",'
    '"sms":{"text":"Γεια \\"Ζωή\\" \\\\ 🙂\\n","sender":"Brand"}},'
    '{"trafficAccountId":"acc-1","destination":"+4915112345678",'
    '"sms":{"text":"Hi & bye","sender":"Brand"}}'
    "]}"
)


def accepts(sent: Sequence[OutgoingMessage]) -> bytes:
    entries = [{"messageId": each, "trafficAccountId": "acc-1"} for each in ids(sent)]
    return encode({"bulkId": "bulk-1", "messages": entries})


def ids(sent: Sequence[OutgoingMessage]) -> list[str]:
    return [f"id-{n}" for n in range(len(sent))]


def error(code: str, words: str) -> bytes:
    return encode({"error": {"code": code, "description": words}})


def _entries(*entries: object) -> bytes:
    return encode({"bulkId": "x", "messages": entries})


_DELIVERED = {"messageId": "m-1", "deliveryStatus": "Delivered", "updatedAt": 1_795_521_600_000}
_REPLY = Reply("r-1", PHONE, "54321", "STOP")

MITTO = Subject(
    name="mitto",
    capabilities=Capabilities(max_messages_per_call=10_000),
    golden=(HEAD + ENTRIES).encode(),
    accepts=accepts,
    ids=ids,
    error=error,
    doubtful=[
        _entries({"messageId": "a"}, {"messageId": "a"}),
        _entries({"messageId": "a"}, {}),
        _entries({"messageId": "a"}, {"messageId": ""}),
        _entries({"messageId": "a"}, {"messageId": None, "error": None}),
        _entries({"messageId": "a"}, {"messageId": {"id": "b"}}),
        _entries({"messageId": "a"}, "b"),
    ],
    rejections=[
        (
            200,
            _entries({"error": {"code": "NO_ROUTE", "description": "no route"}}),
            Rejection("NO_ROUTE", "no route"),
        ),
        (
            200,
            _entries({"error": "unknown subscriber"}),
            Rejection("rejected", "unknown subscriber"),
        ),
    ],
    receipts=[
        (
            encode(_DELIVERED),
            {},
            [Receipt("m-1", "", Delivery.DELIVERED, 1_795_521_600_000)],
        ),
        (
            encode([_DELIVERED, {"messageId": 7, "deliveryStatus": "Failure"}]),
            {},
            [
                Receipt("m-1", "", Delivery.DELIVERED, 1_795_521_600_000),
                Receipt("7", "", Delivery.UNDELIVERED, None, "failure"),
            ],
        ),
    ],
    no_receipts=[b"", b"null", b"{}", b"[" * 9000, encode({"deliveryStatus": "Delivered"})],
    replies=[
        (encode({"messageId": "r-1", "from": PHONE, "to": "54321", "text": "STOP"}), [_REPLY]),
        (
            encode([{"id": "r-1", "MSISDN": PHONE, "destination": 54321, "Message": "STOP"}]),
            [_REPLY],
        ),
        (encode({"sender": PHONE, "text": ""}), [Reply("", PHONE, "", "")]),
        (b"[]", []),
    ],
    no_replies=[
        *(b"", b"null", b"{}", b'"STOP"', b"[" * 9000, b"\xff"),
        encode({"from": PHONE}),
        encode({"text": "STOP"}),
        encode({"from": "", "text": "STOP"}),
        encode({"from": PHONE, "text": None}),
        encode([{"from": PHONE, "text": "STOP"}, {}]),
    ],
    senders=["Brand", "ABC", "a1b", "Elevenchars", "123", "+306912345678", "4915112345678"],
    no_senders=["", "AB", "TwelveChars1", "My Shop", "Καφές", "12", "1" * 16, "+", "Brand\n"],
)
