"""What an HTTP answer means for a call, and what may be repeated of its words.

Every provider that speaks plain HTTP shares these rules; only a success's body is its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from paceline.domain.outcome import (
    NoAnswer,
    Outcome,
    Refused,
    Rejected,
    Rejection,
    ServerError,
    Throttled,
)
from paceline.providers.base import Account
from paceline.providers.http import MAX_ERROR_LENGTH
from paceline.providers.lines import HttpAnswer

MAX_RETRY_AFTER_MS = 86_400_000
"""A day: whoever asks for more has made a mistake, and an account must not be closed by it."""

_REFUSALS = frozenset({*range(300, 400), 401, 402, 403, 404, 405, 407})
"""The account is at fault. Redirects, 405 and 407 are among them: they answer a wrong address or
proxy, and must not fail a whole campaign."""
_REJECTIONS = frozenset(range(400, 500)) - {HTTPStatus.REQUEST_TIMEOUT}
"""Nothing was accepted; but a call that timed out at the server may have been, before that."""
_CODES = {413: "too_large"}
_LAST_STATUS = 599
_PHONE_NUMBER = re.compile(r"\+?\d(?:[\s().-]*\d){5,}")
_CONSIDERED_LENGTH = 1000
_REPEATED_CHARACTERS = 12
_TOKEN_LENGTH = 16


def secrets_of(account: Account) -> tuple[str, ...]:
    """What a provider might repeat of an account and nobody may read: its key, and whatever in the
    address of its receipts is long enough to be the token that opens it.
    """
    pieces = account.receipts_url.split("/")
    return (account.api_key, *(piece for piece in pieces if len(piece) >= _TOKEN_LENGTH))


def public_words(said: Any, *, secrets: Iterable[str], texts: Iterable[str]) -> str:
    """Make what a provider said fit to be stored, shown and logged.

    Secrets and phone numbers are blanked, words that repeat a piece of a message are withheld
    whole, and the rest is cut to one line of at most 200 characters.

    Args:
        said: a string of any length and content, or a number; anything else says nothing.
        secrets: of the account, from ``secrets_of`` or made of its key; empty ones are ignored.
        texts: of the messages that the words may be about.
    """
    line = _one_line(str(said) if isinstance(said, str | int) else "")
    for secret in filter(None, secrets):
        line = line.replace(secret, "…")
    line = line[:_CONSIDERED_LENGTH]
    if _repeats(line, [_one_line(text) for text in texts]):
        return "withheld, as it repeats the message"
    line = "".join(c for c in _PHONE_NUMBER.sub("…", line) if c.isprintable())
    return line[:MAX_ERROR_LENGTH]


def outcome_of(
    answer: HttpAnswer,
    *,
    accepted: Callable[[bytes], Outcome],
    explain: Callable[[bytes], tuple[str, str]],
) -> Outcome:
    """Map an answer to its outcome.

    Args:
        answer: a whole answer, of any status.
        accepted: reads the body of a 2xx.
        explain: finds the provider's error code and words in the body of any other, either perhaps
            empty; they become part of errors, so they have been through ``public_words``.
    """
    status = answer.status
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return accepted(answer.body)
    code, words = explain(answer.body)
    error = ": ".join(part for part in (status_line(status), code, words) if part)
    if status in _REFUSALS:
        return Refused(error, status)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(error, read_retry_after(answer.headers), status)
    if HTTPStatus.INTERNAL_SERVER_ERROR <= status <= _LAST_STATUS:
        return ServerError(error, status, read_retry_after(answer.headers))
    if status in _REJECTIONS:
        return Rejected(Rejection(_CODES.get(status, code) or f"http_{status}", words), status)
    return NoAnswer(error)


def read_retry_after(headers: Mapping[str, str]) -> int | None:
    """Milliseconds that a Retry-After (RFC 9110, 10.2.3) asks for: none, 0 to a day.

    A date is measured from the answer's own Date: the clock that wrote the one wrote the other.
    """
    value = headers.get("Retry-After", "").strip()
    try:
        if re.fullmatch("[0-9]{1,15}", value):
            wait_ms = int(value) * 1000
        else:
            until = parsedate_to_datetime(value)
            wait_ms = round((until - parsedate_to_datetime(headers["Date"])).total_seconds() * 1000)
    except (ValueError, TypeError, KeyError):  # TypeError: only one of them names a time zone
        return None
    return min(max(wait_ms, 0), MAX_RETRY_AFTER_MS)


def status_line(status: int) -> str:
    """A status and its name, as ``503 Service Unavailable``."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _one_line(words: str) -> str:
    return " ".join(words.split())


def _repeats(line: str, texts: list[str]) -> bool:
    """Whether the line has a piece of a text that is too long to be a coincidence, or all of a
    short one.
    """
    if any(text in line for text in texts if text):
        return True
    everything = "\0".join(texts)
    ends = range(_REPEATED_CHARACTERS, len(line) + 1)
    return any(line[end - _REPEATED_CHARACTERS : end] in everything for end in ends)
