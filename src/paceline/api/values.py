"""Kinds of values that requests and answers are made of."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import Path
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from paceline.clock import iso
from paceline.domain.contact import MAX_VALUE, OWN_FIELDS
from paceline.domain.hours import DAY_MS
from paceline.domain.segment_text import MAX_TEXT
from paceline.domain.time_of_day import PATTERN, read_minutes, write_minutes
from paceline.engine.pace import MOST_PERMITS

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_ID = re.compile(r"[0-9]+", re.ASCII)
_LARGEST_ID = 2**63 - 1


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("contains a control character")
    if _SURROGATE.search(text):
        raise ValueError("contains half of a surrogate pair")
    return text


def _digits(written: object) -> object:
    """As ids are shown; `int` would take “1_0” and “+1” as well, and answer for another one."""
    if isinstance(written, str) and not _ID.fullmatch(written):
        raise ValueError("an id is a whole number, in digits")
    return written


def _attribute_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("an attribute's name is small letters, digits and _")
    if name in OWN_FIELDS:
        raise ValueError(f"{name} is a field of its own, not an attribute")
    return name


def _time_of_day(written: str) -> str:
    read_minutes(written)
    return written


_TIME_OF_DAY = WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["21:00"]})
Moment = Annotated[
    int,
    PlainSerializer(iso, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""Milliseconds since 1970 inside, ISO 8601 in UTC outside."""

Text = Annotated[str, AfterValidator(_printable)]
Short = Annotated[str, Field(max_length=200), AfterValidator(_printable)]
Phone = Annotated[Text, Field(examples=["+447911123456"])]
Time = Annotated[Short, Field(examples=["2099-12-01T09:00:00Z"])]
Value = Annotated[str, Field(max_length=MAX_VALUE), AfterValidator(_printable)]
GivenFilter = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [{"type": "object"}, {"type": "string", "maxLength": MAX_TEXT}],
            "description": "Whom it means: an object, or a text that says the same "
            '(`city is "Athens" and not in list 3`).',
            "examples": [{"all": [{"attribute": "city", "is": "Athens"}, {"not": {"list": 3}}]}],
        }
    ),
]
"""What ``engine.audiences.read_filter`` reads, and says what is wrong with."""
TimeOfDay = Annotated[str, AfterValidator(_time_of_day), _TIME_OF_DAY]
Minutes = Annotated[int, PlainSerializer(write_minutes, return_type=str), _TIME_OF_DAY]
"""Minutes of a day inside, HH:MM outside."""
Permits = Annotated[int, Field(strict=True, ge=1, le=MOST_PERMITS, examples=[10])]
WindowMs = Annotated[int, Field(strict=True, ge=1, le=DAY_MS, examples=[1_000])]
AttributeName = Annotated[str, AfterValidator(_attribute_name)]
Id = Annotated[int, Field(strict=True, ge=1, le=_LARGEST_ID)]
PathId = Annotated[int, Path(ge=1, le=_LARGEST_ID), BeforeValidator(_digits)]
QueryId = Annotated[int | None, Field(ge=1, le=_LARGEST_ID), BeforeValidator(_digits)]


class Request(BaseModel):
    """A body: a field that is not known is a slip and is said to be one."""

    model_config = ConfigDict(extra="forbid")
