"""Which failures pass by themselves, and how long to wait for that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_RATE_LIMITED = "rate limit exceeded"
_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429


def is_retryable(error: Any) -> bool:
    """Say whether a declared failure is a passing one.

    The truth table is that of the document Paceline started from: our own rate limit (by ``reason``
    or by the message's text, in any case), no status (network, time-out), 5xx and 429 are passing;
    every other status is final. It is asked about declared failures only: any other exception is a
    bug, and a bug is never retried. Whether the call may have been *accepted* is another question,
    which ``verdict`` answers.

    Args:
        error: anything with optional ``reason``, ``message`` (or ``error``, or its text) and
            ``status``; ``None`` has none of them.
    """
    if getattr(error, "reason", None) == "rate_limit_exceeded":
        return True
    text = getattr(error, "message", None) or getattr(error, "error", None) or str(error or "")
    if _RATE_LIMITED in str(text).lower():
        return True
    status = getattr(error, "status", None)
    if not status:
        return True
    return bool(status >= _SERVER_ERROR or status == _TOO_MANY_REQUESTS)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``attempts`` tries in all; the wait doubles after each (3, 6, 12, 24 s by default)."""

    attempts: int = 5
    backoff_ms: int = 3000

    def delay_ms(self, failed_tries: int, retry_after_ms: int | None = None) -> int:
        """Milliseconds to wait after the ``failed_tries``-th failure (1-based), never less than
        what the provider asked for.
        """
        return max(self.backoff_ms << (failed_tries - 1), retry_after_ms or 0)

    def exhausted(self, failed_tries: int) -> bool:
        return failed_tries >= self.attempts
