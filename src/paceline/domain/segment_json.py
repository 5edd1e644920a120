"""A filter as JSON, the form for programs.

``{"all": [{"attribute": "city", "is": "Athens"}, {"not": {"list": 3}}]}``: an object is ``all`` or
``any`` of several, ``not`` one, on a ``list``, or a condition: what it is about (``attribute`` or
``field``) and one operator with its value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

from paceline.domain.errors import InvalidInputError, Problem
from paceline.domain.segment import (
    ATTRIBUTE_NAME,
    DATES,
    DAYS,
    DECIMALS,
    LARGEST_ID,
    MAX_CONDITIONS,
    MAX_DAYS,
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_NUMBER,
    MAX_VALUES,
    NUMERIC,
    AllOf,
    AnyOf,
    Attribute,
    Condition,
    Field,
    Filter,
    Not,
    OnList,
    Operator,
    Scalar,
    Subject,
    Value,
    leaves,
    operators_of,
)

UNUSABLE = "The filter cannot be used."

_NODES = ("all", "any", "not", "list")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_PHONE = re.compile(r"\+[0-9]{1,15}", re.ASCII)
T = TypeVar("T")
_EXAMPLE = '{"attribute": "city", "is": "Athens"}'


def read(document: Any) -> Filter:
    """The filter that a JSON document describes.

    Raises:
        InvalidInputError: with every fault, each at its place: ``all[1].is``, or nothing for the
            document itself.
    """
    wanted = _node(document, "", MAX_DEPTH)
    if (found := len(leaves(wanted))) > MAX_CONDITIONS:
        raise _wrong("", f"has {found} conditions; at most {MAX_CONDITIONS} are allowed")
    return wanted


def write(wanted: Filter) -> dict[str, Any]:
    """The document that ``read`` makes this filter of."""
    match wanted:
        case AllOf(parts):
            return {"all": [write(part) for part in parts]}
        case AnyOf(parts):
            return {"any": [write(part) for part in parts]}
        case Not(part):
            return {"not": write(part)}
        case OnList(list_id):
            return {"list": list_id}
        case Condition(subject, operator, value):
            return {**_subject_written(subject), str(operator): _value_written(value)}


def _subject_written(subject: Subject) -> dict[str, str]:
    if isinstance(subject, Attribute):
        return {"attribute": subject.name}
    return {"field": str(subject)}


def _value_written(value: Value) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def _node(document: Any, place: str, depth: int) -> Filter:
    if not isinstance(document, Mapping) or not document:
        raise _wrong(place, f"must be an object such as {_EXAMPLE}")
    kind = next((name for name in _NODES if name in document), None)
    if kind is None:
        return _condition(document, place)
    if more := [name for name in document if name != kind]:
        raise _wrong(place, f"has {kind} beside {_listed(more)}: put both into an all, or an any")
    given, inside = document[kind], _within(place, kind)
    if kind == "list":
        return OnList(_id(given, inside))
    if depth == 0:
        raise _wrong(place, f"is nested more than {MAX_DEPTH} deep")
    if kind == "not":
        return Not(_node(given, inside, depth - 1))
    if not isinstance(given, list) or not 0 < len(given) <= MAX_CONDITIONS:
        raise _wrong(inside, f"must be a list of 1 to {MAX_CONDITIONS} objects as {_EXAMPLE}")
    parts = _each(lambda part, where: _node(part, where, depth - 1), given, inside)
    if len(parts) == 1:
        return parts[0]
    return AllOf(parts) if kind == "all" else AnyOf(parts)


def _condition(document: Mapping[str, Any], place: str) -> Filter:
    subject = _subject(document, place)
    names = [name for name in document if name not in {"attribute", "field"}]
    possible = operators_of(subject)
    choice = _listed(sorted(possible))
    if len(names) != 1:
        have = f"has {_listed(names)}" if names else "asks nothing"
        raise _wrong(place, f"{have}: it needs one operator, of {choice}")
    inside = _within(place, names[0])
    if names[0] not in possible:
        raise _wrong(inside, f"is no operator here; there are {choice}")
    operator = Operator(names[0])
    return Condition(subject, operator, _value(subject, operator, document[names[0]], inside))


def _subject(document: Mapping[str, Any], place: str) -> Subject:
    given = [name for name in ("attribute", "field") if name in document]
    if len(given) != 1:
        raise _wrong(place, f"must name one attribute or one field, as {_EXAMPLE}")
    name, inside = document[given[0]], _within(place, given[0])
    if not isinstance(name, str):
        raise _wrong(inside, "must be a name")
    if given == ["field"]:
        if name not in list(Field):
            raise _wrong(inside, f"must be one of {_listed(list(Field))}")
        return Field(name)
    if name in list(Field):
        raise _wrong(inside, f'{name} is no attribute: write "field": "{name}"')
    if not ATTRIBUTE_NAME.fullmatch(name):
        raise _wrong(inside, "must be an attribute's name: small letters, digits and _")
    return Attribute(name)


def _value(subject: Subject, operator: Operator, given: Any, place: str) -> Value:
    if (read_value := _OF_ITS_KIND.get(operator)) is not None:
        return read_value(given, place)
    if operator is Operator.IS:
        return _scalar(subject, given, place)
    if operator is Operator.ONE_OF:
        return _scalars(subject, given, place)
    return _text(subject, given, place)


def _scalar(subject: Subject, given: Any, place: str) -> Scalar:
    if isinstance(subject, Attribute) and _is_number(given):
        return _number(given, place)
    return _text(subject, given, place)


def _scalars(subject: Subject, given: Any, place: str) -> tuple[Scalar, ...]:
    if not isinstance(given, list) or not 0 < len(given) <= MAX_VALUES:
        raise _wrong(place, f"must be a list of 1 to {MAX_VALUES} values")
    if len({_is_number(each) for each in given}) > 1:
        raise _wrong(place, "must be all text or all numbers")
    return _each(lambda each, where: _scalar(subject, each, where), given, place)


def _text(subject: Subject, given: Any, place: str) -> str:
    if not isinstance(given, str):
        kinds = "text or a number" if isinstance(subject, Attribute) else "text"
        raise _wrong(place, f"must be {kinds}")
    if not given:
        raise _wrong(place, 'is empty; for people without it write "missing": true')
    if len(given) > MAX_LENGTH:
        raise _wrong(place, f"is longer than {MAX_LENGTH} characters")
    if _CONTROL.search(given):
        raise _wrong(place, "contains a control character or half of a surrogate pair")
    if subject is Field.PHONE and not _PHONE.fullmatch(given):
        raise _wrong(place, "must be a number or its beginning, such as +30")
    return given


def _number(given: Any, place: str) -> int | float:
    if not _is_number(given):
        raise _wrong(place, "must be a number")
    if not abs(given) < MAX_NUMBER:  # and not if it is no number at all (NaN)
        raise _wrong(place, f"must be between -{MAX_NUMBER} and {MAX_NUMBER}")
    if given == int(given):
        return int(given)
    if -int(Decimal(repr(given)).as_tuple().exponent) > DECIMALS:
        raise _wrong(place, f"must have at most {DECIMALS} decimals")
    return float(given)


def _date(given: Any, place: str) -> date:
    try:
        if isinstance(given, str) and _DATE.fullmatch(given):
            return date.fromisoformat(given)
    except ValueError:
        pass
    raise _wrong(place, "must be a day such as 2026-12-31")


def _days(given: Any, place: str) -> int:
    if not _is_whole(given) or not 1 <= given <= MAX_DAYS:
        raise _wrong(place, f"must be a whole number of days, 1 to {MAX_DAYS}")
    return int(given)


def _id(given: Any, place: str) -> int:
    if not _is_whole(given) or not 1 <= given <= LARGEST_ID:
        raise _wrong(place, "must be an id")
    return int(given)


def _yes_or_no(given: Any, place: str) -> bool:
    if not isinstance(given, bool):
        raise _wrong(place, "must be true or false")
    return given


def _yes(given: Any, place: str) -> bool:
    if given is not True:
        raise _wrong(place, "must be true; who has it are those with a not around it")
    return True


_OF_ITS_KIND: dict[Operator, Callable[[Any, str], Value]] = {
    **dict.fromkeys(NUMERIC, _number),
    **dict.fromkeys(DATES, _date),
    **dict.fromkeys(DAYS, _days),
    Operator.CAMPAIGN: _id,
    Operator.DELIVERED: _yes_or_no,
    Operator.MISSING: _yes,
}


def _each(read_one: Callable[[Any, str], T], given: list[Any], place: str) -> tuple[T, ...]:
    """Read each of a list's items; of several that are at fault, every fault is told."""
    good: list[T] = []
    problems: list[Problem] = []
    for position, item in enumerate(given):
        try:
            good.append(read_one(item, f"{place}[{position}]"))
        except InvalidInputError as error:
            problems += error.problems
    if problems:
        raise InvalidInputError(UNUSABLE, tuple(problems))
    return tuple(good)


def _wrong(place: str, reason: str) -> InvalidInputError:
    return InvalidInputError(UNUSABLE, (Problem(place, reason),))


def _within(place: str, name: Any) -> str:
    return _listed([f"{place}.{name}" if place else name])


def _is_whole(given: Any) -> bool:
    return isinstance(given, int) and not isinstance(given, bool)


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


def _listed(names: Sequence[Any]) -> str:
    # A name out of a document may be half of a surrogate pair, which is no UTF-8.
    return ", ".join(str(name) for name in names).encode(errors="replace").decode()
