"""Lists come in pages: ``?limit&cursor`` → ``{data, next_cursor}``.

A cursor is the key of the last row that was shown, so a page is never skewed by rows that come or
go meanwhile. It is opaque: its spelling may change.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

from paceline.domain.errors import InvalidInputError

MAX_LIMIT = 500
T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many rows a page has at most.")]
Cursor = Annotated[
    str | None, Query(max_length=64, description="Where to go on: next_cursor of the page before.")
]
_ID = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_PREFIX = re.compile(r"[0-9]{1,15}", re.ASCII)
_PHONE = re.compile(r"\+[0-9]{1,15}", re.ASCII)


class Page(BaseModel, Generic[T]):
    """Some rows; ``next_cursor`` is null on the last page."""

    data: list[T]
    next_cursor: str | None


def id_of(cursor: str | None) -> int | None:
    """The id in a cursor; None without one.

    Raises:
        InvalidInputError: the cursor is not one of ours.
    """
    return None if cursor is None else int(_decoded(cursor, _ID))


def phone_of(cursor: str | None) -> str:
    """The number in a cursor; empty without one.

    Raises:
        InvalidInputError: the cursor is not one of ours.
    """
    return "" if cursor is None else _decoded(cursor, _PHONE)


def prefix_of(cursor: str | None) -> str:
    """The prefix in a cursor; empty without one.

    Raises:
        InvalidInputError: the cursor is not one of ours.
    """
    return "" if cursor is None else _decoded(cursor, _PREFIX)


def page_of(
    rows: Sequence[Any], limit: int, show: Callable[[Any], T], key: Callable[[Any], int | str]
) -> Page[T]:
    """A page of ``rows``, of which one more than ``limit`` was asked for."""
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(
        data=[show(row) for row in shown],
        next_cursor=_encoded(key(shown[-1])) if more else None,
    )


def _encoded(key: int | str) -> str:
    return base64.urlsafe_b64encode(str(key).encode()).decode().rstrip("=")


def _decoded(cursor: str, shape: re.Pattern[str]) -> str:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        text = ""
    if not shape.fullmatch(text):
        raise InvalidInputError.of("cursor", "is unknown: use next_cursor as it came")
    return text
