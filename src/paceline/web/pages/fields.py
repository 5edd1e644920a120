"""What people write into fields, and queries carry, as the engine takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from paceline.domain import phone
from paceline.domain.errors import InvalidInputError
from paceline.domain.segment import LARGEST_ID
from paceline.engine.drafts import MAX_NAME
from paceline.settings import Settings
from paceline.storage.doubt import Decision

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def whole(written: str | None) -> int | None:
    """An id; what is none is not asked for."""
    if not written or not written.isascii() or not written.isdecimal():
        return None
    number = int(written[:20])
    return number if number <= LARGEST_ID else None


def name(form: Mapping[str, str], field: str = "name", *, most: int = MAX_NAME) -> str:
    """A name on one line.

    Raises:
        InvalidInputError: it is empty, too long, or cannot be printed.
    """
    written = form.get(field, "").strip()
    if not 0 < len(written) <= most:
        raise InvalidInputError.of(field, f"must have 1 to {most} characters")
    if _CONTROL.search(written):
        raise InvalidInputError.of(field, "contains a control character")
    return written


def decision(form: Mapping[str, str]) -> Decision:
    """What is decided about what is unconfirmed.

    Raises:
        InvalidInputError: nothing is.
    """
    wanted = form.get("action", "")
    if wanted not in set(Decision):
        raise InvalidInputError.of("action", f"must be one of {', '.join(Decision)}")
    return Decision(wanted)


def printable(written: str) -> str:
    """One line, without what no database keeps."""
    return "".join(filter(str.isprintable, written)).strip()


def number(form: Mapping[str, str], settings: Settings, field: str = "number") -> str:
    """A number in E.164.

    Raises:
        InvalidInputError: it cannot be read.
    """
    try:
        return phone.parse(form.get(field, "").strip(), settings.default_country)
    except phone.PhoneError as error:
        raise InvalidInputError.of(field, error.reason) from None
