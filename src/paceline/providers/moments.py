"""Times as providers write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_EPOCH = re.compile(r"[0-9]{1,16}(\.[0-9]{1,9})?")
_FIRST_MILLISECONDS = 100_000_000_000
"""Epoch numbers from here on are milliseconds (since 1973); in seconds this is the year 5138."""


def read_moment(moment: str | float | None) -> int | None:
    """Read an ISO 8601 time (UTC unless it says otherwise) or an epoch in seconds or milliseconds
    as milliseconds since 1970; None when it is neither, as a receipt is worth more than its time.
    """
    if moment is None:
        return None
    if isinstance(moment, str) and not _EPOCH.fullmatch(moment):
        since_1970 = _iso_seconds(moment) * 1000
    else:
        since_1970 = _number(moment)
        if since_1970 < _FIRST_MILLISECONDS:
            since_1970 *= 1000
    return round(since_1970) if 0 < since_1970 < _FIRST_MILLISECONDS * 1000 else None


def _number(moment: str | float) -> float:
    try:
        return float(moment)
    except OverflowError:  # an integer of hundreds of digits
        return 0.0


def _iso_seconds(moment: str) -> float:
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return 0.0
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
