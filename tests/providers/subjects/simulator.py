"""Paceline's own provider simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from msgspec.json import encode

from paceline.domain.message import Delivery
from paceline.domain.outcome import Known
from paceline.providers.base import Capabilities, Receipt
from tests.providers.scripted import answer

from .mitto import ENTRIES, HEAD, MITTO, error
from .subject import LookUps

_WORDS = {Delivery.DELIVERED: "Delivered", Delivery.UNDELIVERED: "Failure", Delivery.NONE: "Sent"}


def _golden() -> bytes:
    body = ENTRIES.replace('"}},', '"},"reference":"inst-1-0"},')
    body = body.replace('"}}]', '"},"reference":"inst-2-0"}]')
    return (HEAD + body).encode()


def _status(message_id: str, reference: str, status: str = "Sent") -> bytes:
    return encode({"messageId": message_id, "reference": reference, "deliveryStatus": status})


def _look_up(references: Sequence[str], known: Mapping[str, Known]) -> bytes:
    [reference] = references
    if reference not in known:
        return answer(404, error("UNKNOWN_MESSAGE", "no such message"))
    found = known[reference]
    return answer(200, _status(found.provider_message_id, reference, _WORDS[found.delivery]))


SIMULATOR = replace(
    MITTO,
    name="simulator",
    options={"looks_up": True, "max_look_ups": 25},
    capabilities=Capabilities(10_000, looks_up=True, max_look_ups=25, echoes_reference=True),
    golden=_golden(),
    receipts=[
        *MITTO.receipts,
        (
            encode({"reference": "inst-1-0", "deliveryStatus": "Expired"}),
            {},
            [Receipt("", "inst-1-0", Delivery.EXPIRED, None, "expired")],
        ),
    ],
    look_ups=LookUps(
        "reference",
        _look_up,
        inconclusive=[
            answer(404, b"<html>404 page not found"),
            answer(404, error("NOT_FOUND", "no such address")),
            answer(501, error("NOT_SUPPORTED", "this provider has no look-up by reference")),
            answer(200, _status("id-0", "inst-99-0")),
            answer(200, _status("", "inst-0-0")),
        ],
    ),
)
