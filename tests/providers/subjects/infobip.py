"""Infobip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.json import encode

from paceline.domain.message import Delivery
from paceline.domain.outcome import Known, Rejection
from paceline.providers.base import Capabilities, OutgoingMessage, Receipt, Reply
from tests.providers.scripted import answer

from .subject import API_KEY, PHONE, TOKEN, LookUps, Subject

_HEAD = (
    "POST /sms/3/messages HTTP/1.1\r\n"
    "Host: 127.0.0.1:PORT\r\n"
    "User-Agent: paceline/VERSION\r\n"
    "Accept: application/json\r\n"
    f"Authorization: App {API_KEY}\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: LENGTH\r\n"
    "\r\n"
)
_WEBHOOKS = (
    f'"webhooks":{{"delivery":{{"url":"https://sms.example.org/webhooks/infobip/{TOKEN}/dlr"}},'
    '"contentType":"application/json"}'
)
_BODY = (
    '{"messages":['
    '{"sender":"Brand","destinations":[{"to":"306912345678","messageId":"inst-1-0"}],'
    f'"content":{{"text":"Γεια \\"Ζωή\\" \\\\ 🙂\\n"}},{_WEBHOOKS}}},'
    '{"sender":"Brand","destinations":[{"to":"4915112345678","messageId":"inst-2-0"}],'
    f'"content":{{"text":"Hi & bye"}},{_WEBHOOKS}}}'
    "]}"
)
PENDING = {"groupId": 1, "groupName": "PENDING", "id": 26, "name": "PENDING_ACCEPTED"}
DELIVERED = {"groupId": 3, "groupName": "DELIVERED", "id": 5, "name": "DELIVERED_TO_HANDSET"}
TO_OPERATOR = {"groupId": 3, "groupName": "DELIVERED", "id": 2, "name": "DELIVERED_TO_OPERATOR"}
UNDELIVERABLE = {"groupId": 2, "id": 9, "name": "UNDELIVERABLE_NOT_DELIVERED"}
EXPIRED = {"groupId": 4, "id": 15, "name": "EXPIRED_EXPIRED"}
DUPLICATE = {"groupId": 5, "id": 23, "name": "REJECTED_DUPLICATE_MESSAGE_ID"}
_NO_ERROR = {"groupId": 0, "id": 0, "name": "NO_ERROR", "permanent": False}
_STATUSES = {Delivery.NONE: PENDING, Delivery.DELIVERED: DELIVERED, Delivery.EXPIRED: EXPIRED}


def rejected(status_id: int, name: str) -> dict[str, Any]:
    return {"groupId": 5, "groupName": "REJECTED", "id": status_id, "name": name}


def entry(message_id: str, status: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"messageId": message_id, "status": status, "destination": "306912345678", **more}


def answered(*entries: object) -> bytes:
    return encode({"bulkId": "bulk-1", "messages": entries})


def results(*entries: object) -> bytes:
    return encode({"results": entries})


def _error(code: str, words: str) -> bytes:
    return encode({"errorCode": code, "description": words, "violations": []})


def _ids(sent: Sequence[OutgoingMessage]) -> list[str]:
    return [message.reference for message in sent]


def _accepts(sent: Sequence[OutgoingMessage]) -> bytes:
    return answered(*(entry(each, PENDING) for each in _ids(sent)))


def _look_up(references: Sequence[str], known: Mapping[str, Known]) -> bytes:
    there = [each for each in references if each in known]
    return answer(200, results(*(entry(each, _STATUSES[known[each].delivery]) for each in there)))


def _rejection(status: Mapping[str, Any], **more: Any) -> tuple[int, bytes]:
    return 200, answered(entry("inst-0-0", status, **more))


_PASSING_ERROR = {"groupId": 3, "id": 500, "name": "EC_PROVIDER_GENERAL_ERROR", "permanent": False}

INFOBIP = Subject(
    name="infobip",
    capabilities=Capabilities(
        max_messages_per_call=1_000,
        deduplicates=True,
        dedupe_horizon_ms=86_400_000,
        looks_up=True,
        max_look_ups=100,
        look_up_horizon_ms=47 * 3_600_000,
        echoes_reference=True,
    ),
    golden=(_HEAD + _BODY).encode(),
    accepts=_accepts,
    ids=_ids,
    error=_error,
    doubtful=[
        answered(entry("inst-0-0", PENDING), entry("inst-0-0", PENDING)),
        answered(entry("inst-0-0", PENDING), entry("inst-2-0", PENDING)),
        answered(entry("inst-0-0", PENDING), entry("", PENDING)),
        answered(entry("inst-0-0", PENDING), {"messageId": "inst-1-0"}),
        answered(entry("inst-0-0", PENDING), entry("inst-1-0", {"groupId": 77, "id": 1})),
        answered(entry("inst-0-0", PENDING), {"status": PENDING}),
    ],
    rejections=[
        (
            *_rejection(rejected(6, "REJECTED_NETWORK")),
            Rejection("REJECTED_NETWORK"),
        ),
        (
            *_rejection(rejected(52, "REJECTED_DESTINATION"), error=_NO_ERROR),
            Rejection("REJECTED_DESTINATION", reason="invalid_number"),
        ),
        (
            *_rejection(rejected(14, "REJECTED_DESTINATION_BLOCKLISTED")),
            Rejection("REJECTED_DESTINATION_BLOCKLISTED", reason="opted_out"),
        ),
        (
            *_rejection(rejected(12, "REJECTED_NOT_ENOUGH_CREDITS")),
            Rejection("REJECTED_NOT_ENOUGH_CREDITS", retryable=True),
        ),
        (
            *_rejection(UNDELIVERABLE, error=_PASSING_ERROR),
            Rejection("UNDELIVERABLE_NOT_DELIVERED", "EC_PROVIDER_GENERAL_ERROR", retryable=True),
        ),
        (*_rejection({"groupId": 5, "id": 99, "name": PHONE}), Rejection("…")),
    ],
    receipts=[
        (
            results(
                entry("inst-1-0", DELIVERED, doneAt="2026-11-24T12:00:00.250+0000", error=_NO_ERROR)
            ),
            {},
            [Receipt("inst-1-0", "inst-1-0", Delivery.DELIVERED, 1_795_521_600_250)],
        ),
        (
            results(
                entry("inst-1-0", PENDING),
                entry("inst-2-0", TO_OPERATOR),
                entry("inst-3-0", DUPLICATE),
                entry("inst-4-0", EXPIRED, error=_NO_ERROR),
                entry("inst-5-0", UNDELIVERABLE, error=_PASSING_ERROR),
                entry("inst-6-0", rejected(6, "REJECTED_NETWORK"), doneAt="soon"),
            ),
            {},
            [
                Receipt("inst-1-0", "inst-1-0", Delivery.NONE, None),
                Receipt("inst-2-0", "inst-2-0", Delivery.NONE, None),
                Receipt("inst-3-0", "inst-3-0", Delivery.NONE, None),
                Receipt("inst-4-0", "inst-4-0", Delivery.EXPIRED, None, "EXPIRED_EXPIRED"),
                Receipt(
                    "inst-5-0", "inst-5-0", Delivery.UNDELIVERED, None, "EC_PROVIDER_GENERAL_ERROR"
                ),
                Receipt("inst-6-0", "inst-6-0", Delivery.UNDELIVERED, None, "REJECTED_NETWORK"),
            ],
        ),
        (results(), {}, []),
    ],
    no_receipts=[
        *(b"", b"null", b"[]", b"{}", b"[" * 9000, b"\xff"),
        results({"status": DELIVERED}),
        results({"messageId": "inst-1-0"}),
        results(entry("", DELIVERED)),
    ],
    replies=[
        (
            encode(
                {
                    "results": [
                        {
                            "messageId": "817790313235066447",
                            "from": "306912345678",
                            "to": "54321",
                            "text": "STOP shop",
                            "cleanText": "shop",
                            "keyword": "STOP",
                        }
                    ],
                    "messageCount": 1,
                    "pendingMessageCount": 0,
                }
            ),
            [Reply("817790313235066447", "306912345678", "54321", "STOP shop")],
        ),
        (results(), []),
    ],
    no_replies=[
        *(b"", b"null", b"[]", b"{}", b"\xff"),
        results({"from": "306912345678"}),
        results({"text": "STOP"}),
        results({"from": "", "text": "STOP"}),
    ],
    senders=["Brand", "My Shop", "a.b-c_d", "123", "306912345678"],
    no_senders=["", "AB", "TwelveChars1", "Καφές", "12", "Brand\n", "a/b"],
    look_ups=LookUps(
        "messageId",
        _look_up,
        inconclusive=[
            answer(404, _error("E404", "not found")),
            answer(200, results(entry("inst-99-0", DELIVERED))),
            answer(200, results(*[entry("inst-0-0", PENDING)] * 1000)),
        ],
    ),
    matched_by_reference=True,
)
