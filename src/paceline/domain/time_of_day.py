"""Minutes of a day as people write them: ``21:30``."""

from __future__ import annotations

import re

_WRITTEN = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
PATTERN = rf"^{_WRITTEN.pattern}$"
"""For the description of the API."""


def read_minutes(written: str) -> int:
    """The minute of the day, 0 to 1439.

    Raises:
        ValueError: it is not written as HH:MM.
    """
    match = _WRITTEN.fullmatch(written)
    if match is None:
        raise ValueError(f"must be a time of day such as 21:30, not “{written}”")
    return int(match[1]) * 60 + int(match[2])


def write_minutes(minutes: int) -> str:
    """As ``HH:MM``."""
    return f"{minutes // 60:02}:{minutes % 60:02}"
