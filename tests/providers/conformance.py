"""What every provider's adapter is put through; a provider joins with one ``Subject``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from paceline.domain.outcome import (
    Known,
    NoAnswer,
    Outcome,
    Refused,
    Rejected,
    ServerError,
    Throttled,
)
from paceline.providers.base import OutgoingMessage

from .scripted import Script, ScriptedServer, Visit, answer, answering
from .subjects.subject import API_KEY, PHONE, SENDER, TEXT, TOKEN, Subject, messages

_TEN_MEGABYTES = 10_000_000


def more_than_sockets_hold(subject: Subject) -> list[OutgoingMessage]:
    """Ten megabytes: when the server stops reading, the rest of the request waits in the client."""
    count = min(subject.most, 1_000)
    return messages(count, padding="." * (_TEN_MEGABYTES // count))


def in_time() -> float:
    """A ``send_by`` far away."""
    return time.monotonic() + 60


async def exchange(
    subject: Subject,
    server: ScriptedServer,
    sent: list[OutgoingMessage] | None = None,
    timeout_ms: int = 10_000,
) -> Outcome:
    """One call from its preparation to its outcome."""
    provider = subject.provider(server.url, timeout_ms)
    try:
        call = provider.prepare(SENDER, sent or messages(1))
        return await call.connect() or await call.submit(in_time())
    finally:
        await provider.aclose()


def reveals_nothing(subject: Subject, text: str) -> bool:
    private = (API_KEY, TOKEN, *subject.secrets, PHONE, PHONE[1:], TEXT, TEXT[:20])
    return not any(piece in text for piece in private)


# --- Each phase at which an exchange can fail after the first byte: always a doubt ---------------


def _closed_after(part: Callable[[bytes], bytes]) -> Callable[[bytes], Script]:
    def of(whole: bytes) -> Script:
        async def script(visit: Visit) -> None:
            await visit.request()
            visit.write(part(whole))
            visit.close()

        return script

    return of


def _stuck_after(part: Callable[[bytes], bytes]) -> Callable[[bytes], Script]:
    def of(whole: bytes) -> Script:
        async def script(visit: Visit) -> None:
            await visit.request()
            visit.write(part(whole))
            await visit.gone.wait()

        return script

    return of


def _reset_during_request(_: bytes) -> Script:
    async def script(visit: Visit) -> None:
        await visit.some()
        visit.transport.pause_reading()
        visit.reset()

    return script


def _reset_after_request(_: bytes) -> Script:
    async def script(visit: Visit) -> None:
        await visit.request()
        visit.reset()

    return script


def _said(part: bytes) -> Callable[[bytes], bytes]:
    return lambda _: part


def _headers(whole: bytes) -> bytes:
    return whole[: whole.index(b"\r\n\r\n") + 4]


def _all_but_the_last_byte(whole: bytes) -> bytes:
    return whole[:-1]


def _with_two_lengths(whole: bytes) -> bytes:
    return whole.replace(b"\r\n", b"\r\nContent-Length: 1\r\n", 1)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Failure:
    """A way to fail after the first byte was written."""

    name: str
    script: Callable[[bytes], Script]
    """From the whole answer that would have come."""
    timeout_ms: int = 10_000
    during_request: bool = False

    def __str__(self) -> str:
        return self.name


HANG_MS = 150
FAILURES = [
    Failure("reset during the request", _reset_during_request, during_request=True),
    Failure("closed after the request", _closed_after(_said(b""))),
    Failure("reset after the request", _reset_after_request),
    Failure("closed in the status line", _closed_after(_said(b"HTTP/1.1 20"))),
    Failure("closed in the headers", _closed_after(_said(b"HTTP/1.1 200 OK\r\nContent-Le"))),
    Failure("closed after the headers", _closed_after(_headers)),
    Failure("closed in the body", _closed_after(_all_but_the_last_byte)),
    Failure("closed in a chunk", _closed_after(_said(CHUNKED + b"20\r\n{"))),
    Failure("closed before the last chunk", _closed_after(_said(CHUNKED + b"2\r\n{}\r\n"))),
    Failure("closed after 100 Continue", _closed_after(_said(b"HTTP/1.1 100 Continue\r\n\r\n"))),
    Failure("silent", _stuck_after(_said(b"")), HANG_MS),
    Failure("stuck in the headers", _stuck_after(_said(b"HTTP/1.1 200 OK\r\n")), HANG_MS),
    Failure("stuck in the body", _stuck_after(_all_but_the_last_byte), HANG_MS),
    Failure("not HTTP", _closed_after(_said(b"* OK IMAP4 ready\r\n\r\n"))),
    Failure("two lengths", _closed_after(_with_two_lengths)),
    Failure("404 without its body", _closed_after(_said(answer(404, b"1234")[:-1]))),
    Failure("500 without its body", _closed_after(_said(answer(500, b"1234")[:-1]))),
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
    secrets = " ".join([API_KEY, TOKEN, *subject.secrets])
    words = f"bad key {secrets}, number {PHONE}, text '{TEXT} (0)'"
    location = f"https://elsewhere.example/{API_KEY}"
    return answering(answer(status, subject.error(f"E-{PHONE}", words), Location=location))


# --- Look-ups ------------------------------------------------------------------------------------


def looking_up(subject: Subject, known: Mapping[str, Known]) -> Script:
    """Answer each look-up as a provider does that knows these references."""
    look_ups = subject.look_ups
    assert look_ups is not None

    async def script(visit: Visit) -> None:
        answered = 0
        while not visit.gone.is_set():
            await visit.request(answered + 1)
            for request in visit.requests[answered:]:
                visit.write(look_ups.answer(asked_for(subject, request), known))
                answered += 1

    return script


def asked_for(subject: Subject, request: bytes) -> list[str]:
    """The references that a look-up asks about."""
    assert subject.look_ups is not None
    target = request.split(b" ", 2)[1].decode()
    return parse_qs(urlsplit(target).query)[subject.look_ups.parameter]
