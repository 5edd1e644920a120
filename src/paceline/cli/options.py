"""What several commands' options are written as."""

from __future__ import annotations

from paceline.domain.errors import InvalidInputError
from paceline.domain.time_of_day import read_minutes

NONE = "none"
"""Takes a value away, where leaving the option out keeps it."""


def hours_of(written: str, option: str) -> tuple[str, str]:
    """The two times of hours such as ``21:00-08:00``.

    Raises:
        InvalidInputError: that is not how they are written.
    """
    since, _, until = (part.strip() for part in written.partition("-"))
    try:
        read_minutes(since)
        read_minutes(until)
    except ValueError:
        wrong = f"must be written as 21:00-08:00, or {NONE}, not “{written}”"
        raise InvalidInputError.of(option, wrong) from None
    return since, until
