"""Filters of every shape, and the people they mean by a reading of our own, for tests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from paceline.domain.segment import (
    DATES,
    DAYS,
    MAX_DEPTH,
    NUMERIC,
    OF_FIELDS,
    AllOf,
    AnyOf,
    Attribute,
    Condition,
    Field,
    Filter,
    Not,
    OnList,
    Operator,
)

DAY_MS = 86_400_000
TEXTS = [
    "Athens",
    "athens",
    "ATHENS",
    "Ath",
    "Αθήνα",
    "αθήνα",
    "é",
    "e\u0301",
    "%",
    "_",
    "a'b",
    "😀",
]
NUMBERS_AS_TEXT = ["5", "5.0", "05", "-5", "+5", "5.", ".5", "5e3", "1,5", "--5", "5-", "1.2.3"]
MORE_TEXT = [
    "",
    " ",
    " 5",
    "5 ",
    "\u0665",
    "999999999999999",
    "9999999999999999",
    "0",
    "-0",
    "x\ny",
]
DAYS_AS_TEXT = [
    "2026-01-31",
    "2026-02-31",
    "2026-01-31T10:00",
    "2026-01-31x",
    "2026-1-31",
    "1970-01-01",
]
VALUES = [*TEXTS, *NUMBERS_AS_TEXT, *MORE_TEXT, *DAYS_AS_TEXT]
NAMES = ["city", "age", "joined", "not", "list"]


@dataclass(frozen=True)
class Person:
    """A contact as the oracle sees one."""

    id: int
    phone: str
    first_name: str | None
    last_name: str | None
    created_at: int
    attributes: Mapping[str, str]
    lists: frozenset[int] = frozenset()
    sent: tuple[tuple[int, int, int, str], ...] = field(default=())
    """(sent at, message id, campaign id, delivery) of what was sent."""


# --- the oracle


def means(wanted: Filter, person: Person, at: int) -> Any:  # noqa: PLR0911 - one for each kind
    """Whether a filter means a person."""
    match wanted:
        case AllOf(parts):
            return all(means(part, person, at) for part in parts)
        case AnyOf(parts):
            return any(means(part, person, at) for part in parts)
        case Not(part):
            return not means(part, person, at)
        case OnList(list_id):
            return list_id in person.lists
        case Condition(Attribute(name), operator, value):
            return of_text(person.attributes.get(name), operator, value, at)
        case Condition(Field.CREATED_AT, operator, value):
            return of_moment(person.created_at, operator, value, at)
        case Condition(Field.LAST_MESSAGE, operator, value):
            return of_last(person, operator, value, at)
        case Condition(subject, operator, value):
            return of_text(getattr(person, str(subject)), operator, value, at)


def of_last(person: Person, operator: Operator, value: Any, at: int) -> Any:
    last = max(person.sent, default=None)
    if operator is Operator.MISSING or last is None:
        return operator is Operator.MISSING and last is None
    sent_at, _, campaign, delivery = last
    if operator is Operator.CAMPAIGN:
        return campaign == value
    if operator is Operator.DELIVERED:
        return (delivery == "delivered") is value
    return of_moment(sent_at, operator, value, at)


def of_moment(moment: int, operator: Operator, value: Any, at: int) -> Any:
    day = datetime.fromtimestamp(moment / 1000, UTC).date()
    if operator is Operator.BEFORE:
        return day < value
    if operator is Operator.SINCE:
        return day >= value
    ago = at - moment
    return (
        ago > value * DAY_MS if operator is Operator.MORE_THAN_DAYS_AGO else ago <= value * DAY_MS
    )


def of_text(  # noqa: PLR0911 - one for each kind
    text: str | None, operator: Operator, value: Any, at: int
) -> Any:
    if operator is Operator.MISSING:
        return not text
    if text is None:
        return False
    if operator in NUMERIC:
        number = number_in(text)
        return number is not None and COMPARED[operator](number, value)
    if operator in DATES | DAYS:
        return of_day(text, operator, value, at)
    if operator is Operator.CONTAINS:
        return value in text
    if operator is Operator.STARTS_WITH:
        return text.startswith(value)
    values = value if isinstance(value, tuple) else (value,)
    if isinstance(values[0], str):
        return text in values
    return number_in(text) in values


COMPARED = {
    Operator.ABOVE: float.__gt__,
    Operator.AT_LEAST: float.__ge__,
    Operator.BELOW: float.__lt__,
    Operator.AT_MOST: float.__le__,
}


def number_in(text: str) -> float | None:
    shaped = re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text)
    return float(text) if shaped and len(text) <= 15 else None


def of_day(text: str, operator: Operator, value: Any, at: int) -> Any:
    shaped = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2})([T ].*)?", text, re.DOTALL)
    if not shaped:
        return False
    today = datetime.fromtimestamp(at / 1000, UTC).date()
    if operator is Operator.BEFORE:
        return shaped[1] < value.isoformat()
    if operator is Operator.SINCE:
        return shaped[1] >= value.isoformat()
    limit = (today - timedelta(days=value)).isoformat()
    if operator is Operator.MORE_THAN_DAYS_AGO:
        return shaped[1] < limit
    return limit <= shaped[1] <= today.isoformat()


# --- what is drawn


def texts(some: Iterable[str] = VALUES) -> st.SearchStrategy[str]:
    any_text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=4)
    return st.one_of(st.sampled_from([each for each in some if each]), any_text)


numbers = st.one_of(
    st.sampled_from([5, -5, 0, 0.5, 1.5, 999_999_999_999]),
    st.integers(-999, 999),
    st.integers(-9_999_999, 9_999_999)
    .map(lambda n: n / 1000)
    .map(lambda n: int(n) if n == int(n) else n),
)
days = st.one_of(st.sampled_from([1, 30, 36_500]), st.integers(1, 36_500))
dates = st.one_of(
    st.sampled_from([date(2026, 1, 31), date(2026, 2, 1), date(1970, 1, 1), date(1970, 1, 2)]),
    st.dates(date(1, 1, 1), date(9999, 12, 31)),
)
ids = st.integers(1, 4)
phones = st.sampled_from(["+30", "+306900000000", "+3069", "+44", "+306900000001"])


def conditions(subject: Field | Attribute) -> st.SearchStrategy[Condition]:
    is_attribute = isinstance(subject, Attribute)
    text = phones if subject is Field.PHONE else texts()
    scalars = st.one_of(text, numbers) if is_attribute else text
    several: list[st.SearchStrategy[Any]] = [st.lists(text, min_size=1, max_size=3)]
    several += [st.lists(numbers, min_size=1, max_size=3)] if is_attribute else []
    values: dict[Operator, st.SearchStrategy[Any]] = {
        Operator.IS: scalars,
        Operator.ONE_OF: st.one_of(*several).map(tuple),
        Operator.CONTAINS: text,
        Operator.STARTS_WITH: text,
        **dict.fromkeys(NUMERIC, numbers),
        **dict.fromkeys(DATES, dates),
        **dict.fromkeys(DAYS, days),
        Operator.MISSING: st.just(True),
        Operator.CAMPAIGN: ids,
        Operator.DELIVERED: st.booleans(),
    }
    possible = OF_FIELDS.get(subject) if isinstance(subject, Field) else None
    asked = sorted(possible or values.keys() - {Operator.CAMPAIGN, Operator.DELIVERED})
    return st.sampled_from(asked).flatmap(
        lambda operator: values[operator].map(lambda value: Condition(subject, operator, value))
    )


subjects = st.one_of(st.sampled_from(list(Field)), st.sampled_from(NAMES).map(Attribute))


def filters() -> st.SearchStrategy[Filter]:
    leaves = st.one_of(subjects.flatmap(conditions), ids.map(OnList))
    return st.recursive(leaves, _put_together, max_leaves=6).filter(
        lambda wanted: _depth(wanted) <= MAX_DEPTH
    )


def _depth(wanted: Filter) -> int:
    match wanted:
        case Not(part):
            return 1 + _depth(part)
        case AllOf(parts) | AnyOf(parts):
            return 1 + max(map(_depth, parts))
        case _:
            return 0


def _put_together(parts: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return st.one_of(parts.map(Not), several.map(AllOf), several.map(AnyOf))
