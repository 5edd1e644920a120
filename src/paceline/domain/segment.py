"""Audience segments: a filter over contacts, as a tree that nothing evaluates but the database.

Each condition is true or false of a person, never unknown: of who has no city, ``city is "Athens"``
is false, so ``not city is "Athens"`` is true. A text is compared as it is, capitals and all. A text
that does not read as a number or a date is, to a condition on numbers or dates, missing.

``segment_json`` has its form for programs, ``segment_text`` the one for people; the two say the
same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TypeAlias

MAX_DEPTH = 8
"""Of all, any and not inside each other."""
MAX_CONDITIONS = 50
MAX_VALUES = 100
"""Of a ``one_of``."""
MAX_LENGTH = 1_000
"""Characters of a value, as of an attribute's."""
MAX_DAYS = 36_500
MAX_NUMBER = 10**12
DECIMALS = 6
LARGEST_ID = 2**63 - 1

ATTRIBUTE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
NUMBER_LENGTH = 15
"""Characters of a text that can read as a number: so many digits no database rounds."""


class Field(StrEnum):
    """What every contact has, beside its attributes."""

    FIRST_NAME = "first_name"
    LAST_NAME = "last_name"
    PHONE = "phone"
    CREATED_AT = "created_at"
    LAST_MESSAGE = "last_message"
    """The one that was sent last to the person, by any campaign. A message without a campaign is
    not one of these."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One that the tenant has named."""

    name: str


class Operator(StrEnum):
    """What is asked of a value."""

    IS = "is"
    ONE_OF = "one_of"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ABOVE = "above"
    AT_LEAST = "at_least"
    BELOW = "below"
    AT_MOST = "at_most"
    BEFORE = "before"
    """A day, which begins at midnight UTC."""
    SINCE = "since"
    """That day or later."""
    MORE_THAN_DAYS_AGO = "more_than_days_ago"
    IN_LAST_DAYS = "in_last_days"
    MISSING = "missing"
    """There is no value, or an empty one."""
    CAMPAIGN = "campaign"
    """The last message is of that campaign."""
    DELIVERED = "delivered"
    """Whether a receipt says that the last message has arrived."""


_TEXT = frozenset({Operator.IS, Operator.ONE_OF, Operator.CONTAINS, Operator.STARTS_WITH})
NUMERIC = frozenset({Operator.ABOVE, Operator.AT_LEAST, Operator.BELOW, Operator.AT_MOST})
DATES = frozenset({Operator.BEFORE, Operator.SINCE})
DAYS = frozenset({Operator.MORE_THAN_DAYS_AGO, Operator.IN_LAST_DAYS})
OF_ATTRIBUTES = _TEXT | NUMERIC | DATES | DAYS | {Operator.MISSING}
OF_FIELDS: dict[Field, frozenset[Operator]] = {
    Field.FIRST_NAME: _TEXT | {Operator.MISSING},
    Field.LAST_NAME: _TEXT | {Operator.MISSING},
    Field.PHONE: frozenset({Operator.IS, Operator.ONE_OF, Operator.STARTS_WITH}),
    Field.CREATED_AT: DATES | DAYS,
    Field.LAST_MESSAGE: DATES | DAYS | {Operator.CAMPAIGN, Operator.DELIVERED, Operator.MISSING},
}
"""What can be asked of what."""

Subject: TypeAlias = Field | Attribute
Scalar: TypeAlias = str | int | float
Value: TypeAlias = Scalar | bool | date | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """Something asked about one person. The type of ``value`` goes with the operator: a text or a
    number (``is``), several of one kind (``one_of``), a number, a date, days, an id, yes or no.
    """

    subject: Subject
    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class OnList:
    """The person is on that list."""

    list_id: int


@dataclass(frozen=True, slots=True)
class Not:
    part: Filter


@dataclass(frozen=True, slots=True)
class AllOf:
    """At least two parts."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least two parts."""

    parts: tuple[Filter, ...]


Filter: TypeAlias = Condition | OnList | Not | AllOf | AnyOf


def operators_of(subject: Subject) -> frozenset[Operator]:
    """What can be asked of it."""
    return OF_ATTRIBUTES if isinstance(subject, Attribute) else OF_FIELDS[subject]


def lists_in(wanted: Filter) -> frozenset[int]:
    """The lists that a filter names."""
    return frozenset(part.list_id for part in leaves(wanted) if isinstance(part, OnList))


def campaigns_in(wanted: Filter) -> frozenset[int]:
    """The campaigns that a filter names."""
    return frozenset(
        int(part.value)  # type: ignore[arg-type] # an id, with this operator
        for part in leaves(wanted)
        if isinstance(part, Condition) and part.operator is Operator.CAMPAIGN
    )


def leaves(wanted: Filter) -> list[Condition | OnList]:
    """What all, any and not put together."""
    match wanted:
        case Not(part):
            return leaves(part)
        case AllOf(parts) | AnyOf(parts):
            return [leaf for part in parts for leaf in leaves(part)]
        case leaf:
            return [leaf]
