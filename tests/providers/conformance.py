"""What every provider's adapter is put through; a provider joins with one ``Subject``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from paceline.domain.outcome import (
    NoAnswer,
    Outcome,
    Refused,
    Rejected,
    ServerError,
    Throttled,
)
from paceline.providers import create
from paceline.providers.base import Account, OutgoingMessage, Provider

from .scripted import Script, Visit, answer, answering

API_KEY = "key-7f3a9c51d2e84b06"
PHONE = "+306912345678"
TEXT = "Dear Eleni, your parcel waits at the usual place"
SENDER = "Brand"


def messages(count: int, padding: str = "") -> list[OutgoingMessage]:
    return [
        OutgoingMessage(f"+3069123{n + 45_678:05}", f"{TEXT} ({n}){padding}", f"inst-{n}-0")
        for n in range(count)
    ]


def more_than_sockets_hold() -> list[OutgoingMessage]:
    """Ten megabytes: when the server stops reading, the rest of the request waits in the client."""
    return messages(10_000, padding="." * 1_000)


def in_time() -> float:
    """A ``send_by`` far away."""
    return time.monotonic() + 60


@dataclass(frozen=True)
class Subject:
    """One provider, as the suite has to know it."""

    name: str
    ids: Callable[[int], bytes]
    """The body of an answer that accepts this many messages as ``id-0``, ``id-1``, …"""
    error: Callable[[str, str], bytes]
    """The body of a refused call, from a code and words."""

    def __str__(self) -> str:
        return self.name

    def account(self, url: str, timeout_ms: int = 10_000) -> Account:
        return Account(self.name, url, API_KEY, "acc-1", timeout_ms)

    def provider(self, url: str, timeout_ms: int = 10_000) -> Provider:
        return create(self.account(url, timeout_ms))


def _mitto_ids(count: int) -> bytes:
    entries = [{"messageId": f"id-{n}", "trafficAccountId": "acc-1"} for n in range(count)]
    return msgspec.json.encode({"bulkId": "bulk-1", "messages": entries})


def _mitto_error(code: str, words: str) -> bytes:
    return msgspec.json.encode({"error": {"code": code, "description": words}})


SUBJECTS = [
    Subject("mitto", _mitto_ids, _mitto_error),
    Subject("simulator", _mitto_ids, _mitto_error),
]


# --- Each phase at which an exchange can fail after the first byte: always a doubt ---------------


def _then_close(part: bytes) -> Script:
    async def script(visit: Visit) -> None:
        await visit.request()
        visit.write(part)
        visit.close()

    return script


def _then_hang(part: bytes) -> Script:
    async def script(visit: Visit) -> None:
        await visit.request()
        visit.write(part)
        await visit.gone.wait()

    return script


async def _reset_during_request(visit: Visit) -> None:
    await visit.some()
    visit.transport.pause_reading()
    visit.reset()


async def _reset_after_request(visit: Visit) -> None:
    await visit.request()
    visit.reset()


WHOLE = answer(200, _mitto_ids(1))
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Failure:
    """A way to fail after the first byte was written."""

    name: str
    script: Script
    timeout_ms: int = 10_000
    during_request: bool = False

    def __str__(self) -> str:
        return self.name


HANG_MS = 150
FAILURES = [
    Failure("reset during the request", _reset_during_request, during_request=True),
    Failure("closed after the request", _then_close(b"")),
    Failure("reset after the request", _reset_after_request),
    Failure("closed in the status line", _then_close(b"HTTP/1.1 20")),
    Failure("closed in the headers", _then_close(b"HTTP/1.1 200 OK\r\nContent-Le")),
    Failure("closed after the headers", _then_close(WHOLE[: WHOLE.index(b"{")])),
    Failure("closed in the body", _then_close(WHOLE[:-1])),
    Failure("closed in a chunk", _then_close(CHUNKED + b"20\r\n{")),
    Failure("closed before the last chunk", _then_close(CHUNKED + b"2\r\n{}\r\n")),
    Failure("closed after 100 Continue", _then_close(b"HTTP/1.1 100 Continue\r\n\r\n")),
    Failure("silent", _then_hang(b""), HANG_MS),
    Failure("stuck in the headers", _then_hang(b"HTTP/1.1 200 OK\r\n"), HANG_MS),
    Failure("stuck in the body", _then_hang(WHOLE[:-1]), HANG_MS),
    Failure("not HTTP", _then_close(b"* OK IMAP4 ready\r\n\r\n")),
    Failure("two lengths", _then_close(WHOLE.replace(b"\r\n", b"\r\nContent-Length: 1\r\n", 1))),
    Failure("404 without its body", _then_close(answer(404, b"1234")[:-1])),
    Failure("500 without its body", _then_close(answer(500, b"1234")[:-1])),
]


# --- Each status of a whole answer ---------------------------------------------------------------


@dataclass(frozen=True)
class StatusCase:
    """An answered call and the fields of its outcome that the status decides."""

    status: int
    outcome: type[Outcome]
    expected: dict[str, object] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join(map(str, [self.status, *self.headers.values()]))


def _at(status: int) -> dict[str, object]:
    return {"status": status}


_NOON = "Tue, 24 Nov 2026 12:00:00 GMT"
_A_MINUTE_PAST = "Tue, 24 Nov 2026 12:01:00 GMT"
STATUSES = [
    *(StatusCase(s, Rejected, _at(s)) for s in (400, 406, 409, 410, 413, 415, 422, 451)),
    *(StatusCase(s, Refused, _at(s)) for s in (301, 307, 308, 401, 402, 403, 404, 405, 407)),
    *(StatusCase(s, ServerError, _at(s)) for s in (500, 502, 503, 504, 599)),
    # Without a status: the seed's classifier takes no status for a passing failure, 408 for a
    # final one, and only the first of the two can be in doubt.
    StatusCase(408, NoAnswer, {"status": None}),
    StatusCase(600, NoAnswer, {"status": None}),
    StatusCase(429, Throttled, {"status": 429, "retry_after_ms": None}),
    StatusCase(429, Throttled, {"retry_after_ms": 7_000}, {"Retry_After": "7"}),
    StatusCase(429, Throttled, {"retry_after_ms": 0}, {"Retry_After": "0"}),
    StatusCase(429, Throttled, {"retry_after_ms": None}, {"Retry_After": "soon"}),
    StatusCase(429, Throttled, {"retry_after_ms": None}, {"Retry_After": "-1"}),
    StatusCase(
        429, Throttled, {"retry_after_ms": 60_000}, {"Retry_After": _A_MINUTE_PAST, "Date": _NOON}
    ),
    StatusCase(
        429, Throttled, {"retry_after_ms": 0}, {"Retry_After": _NOON, "Date": _A_MINUTE_PAST}
    ),
    StatusCase(429, Throttled, {"retry_after_ms": None}, {"Retry_After": _NOON}),
    StatusCase(503, ServerError, {"retry_after_ms": 120_000}, {"Retry_After": "120"}),
    StatusCase(503, ServerError, {"retry_after_ms": 86_400_000}, {"Retry_After": "9" * 15}),
]


def echo_everything(subject: Subject, status: int) -> Script:
    """Answer with an error that repeats all that is private in the request."""
    words = f"bad key {API_KEY}, number {PHONE}, text '{TEXT} (0)'"
    location = f"https://elsewhere.example/{API_KEY}"
    return answering(answer(status, subject.error(f"E-{PHONE}", words), Location=location))
