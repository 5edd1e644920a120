"""A filter as people read and write it: ``city is "Athens" and not in list 3``.

``and`` binds closer than ``or``, ``not`` closer than both, and parentheses closest. A text stands
in double quotes, with the escapes of JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any, Final, cast

from lark import Lark, Token, UnexpectedInput, UnexpectedToken, v_args
from lark.tree import Meta
from lark.visitors import Transformer_NonRecursive

from paceline.domain import segment_json
from paceline.domain.errors import InvalidInputError, Problem
from paceline.domain.segment import (
    AllOf,
    AnyOf,
    Attribute,
    Condition,
    Field,
    Filter,
    Not,
    OnList,
    Operator,
    Value,
)

MAX_TEXT: Final = 10_000
"""Characters of a whole filter."""

GRAMMAR: Final = r"""
    ?start: either
    ?either: both | both ("or" both)+ -> some
    ?both: one | one ("and" one)+ -> every
    ?one: "not" one -> negated
        | "(" either ")"
        | "in" "list" ID -> on_list
        | subject "is" STRING -> is_text
        | subject "is" NUMBER -> is_number
        | subject "is" "one" "of" "(" STRING ("," STRING)* ")" -> one_of_texts
        | subject "is" "one" "of" "(" NUMBER ("," NUMBER)* ")" -> one_of_numbers
        | subject "is" "missing" -> missing
        | subject "contains" STRING -> contains
        | subject "starts" "with" STRING -> starts_with
        | subject "above" NUMBER -> above
        | subject "at" "least" NUMBER -> at_least
        | subject "below" NUMBER -> below
        | subject "at" "most" NUMBER -> at_most
        | subject "before" DATE -> before
        | subject "since" DATE -> since
        | subject "more" "than" ID DAYS "ago" -> more_than_days_ago
        | subject "in" "the" "last" ID DAYS -> in_last_days
        | subject "from" "campaign" ID -> campaign
        | subject "delivered" -> delivered
        | subject "not" "delivered" -> not_delivered
    subject: NAME | "attribute" NAME -> attribute | "last" "message" -> last_message
    NAME: /[A-Za-z_][A-Za-z0-9_]*/
    STRING: /"(?:\\.|[^"\\])*"/s
    NUMBER: /-?[0-9]{1,15}(?:\.[0-9]{1,15})?/
    DATE: /[0-9]{4}-[0-9]{2}-[0-9]{2}/
    DAYS: /days?/
    ID: /[0-9]{1,19}/
    %ignore /\s+/
"""
_EXAMPLE: Final = 'city is "Athens" and not in list 3'
_SHOWN: Final = 12
"""Characters of what cannot be understood."""
_RESERVED: Final = frozenset({"attribute", "in", "last", "not", *Field})
"""Names that mean something else at the beginning of a condition."""
_WORDS: Final = {
    "NAME": "an attribute",
    "STRING": "a text in double quotes",
    "NUMBER": "a number",
    "DATE": "a day such as 2026-12-31",
    "DAYS": "days",
    "ID": "a whole number",
    "LPAR": "(",
    "RPAR": ")",
    "COMMA": ",",
    "$END": "the end",
}
_STEP: Final = re.compile(r"([a-z_]+)|\[(\d+)\]")


def parse(text: str) -> Filter:
    """Read a filter.

    Raises:
        InvalidInputError: with every fault, or the first one that keeps it from being understood;
            each says at which character (from 1).
    """
    if len(text) > MAX_TEXT:
        raise _wrong(Problem("", f"is longer than {MAX_TEXT} characters"))
    if not text.strip():
        raise _wrong(Problem("", f"is empty; write for example: {_EXAMPLE}"))
    reader = _ToDocument()
    try:
        document = reader.transform(_parser().parse(text))
    except UnexpectedInput as error:
        raise _wrong(_explained(error, text)) from None
    if reader.problems:
        raise InvalidInputError(segment_json.UNUSABLE, tuple(reader.problems))
    try:
        return segment_json.read(document)
    except InvalidInputError as error:
        problems = [
            _problem(each.reason, reader.start_of(document, each.where)) for each in error.problems
        ]
        raise InvalidInputError(error.message, tuple(problems)) from None


def write(wanted: Filter) -> str:
    """The text that ``parse`` makes this filter of."""
    match wanted:
        case AnyOf(parts):
            return " or ".join(_inside(part, AnyOf) for part in parts)
        case AllOf(parts):
            return " and ".join(_inside(part, AnyOf, AllOf) for part in parts)
        case Not(part):
            return f"not {_inside(part, AnyOf, AllOf)}"
        case OnList(list_id):
            return f"in list {list_id}"
        case Condition(subject, operator, value):
            return f"{_subject(subject)} {_asked(operator, value)}"


def _inside(part: Filter, *needing_parentheses: type) -> str:
    written = write(part)
    return f"({written})" if isinstance(part, needing_parentheses) else written


def _subject(subject: Field | Attribute) -> str:
    if isinstance(subject, Attribute):
        return f"attribute {subject.name}" if subject.name in _RESERVED else subject.name
    return "last message" if subject is Field.LAST_MESSAGE else str(subject)


def _asked(operator: Operator, value: Value) -> str:
    if operator is Operator.DELIVERED:
        return "delivered" if value else "not delivered"
    if operator is Operator.MISSING:
        return "is missing"
    if operator is Operator.ONE_OF and isinstance(value, tuple):
        return f"is one of ({', '.join(map(_value, value))})"
    return _PHRASES[operator].format(_value(value), day="day" if value == 1 else "days")


def _value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, date):
        return value.isoformat()
    return format(Decimal(repr(value)), "f")


_PHRASES: Final = {
    Operator.IS: "is {}",
    Operator.CONTAINS: "contains {}",
    Operator.STARTS_WITH: "starts with {}",
    Operator.ABOVE: "above {}",
    Operator.AT_LEAST: "at least {}",
    Operator.BELOW: "below {}",
    Operator.AT_MOST: "at most {}",
    Operator.BEFORE: "before {}",
    Operator.SINCE: "since {}",
    Operator.MORE_THAN_DAYS_AGO: "more than {} {day} ago",
    Operator.IN_LAST_DAYS: "in the last {} {day}",
    Operator.CAMPAIGN: "from campaign {}",
}


def _asks(operator: Operator, read: Callable[..., Any]) -> Callable[..., Any]:
    """What makes the object of a condition, from its subject and the tokens of its value."""

    def make(self: _ToDocument, meta: Meta, subject: dict[str, Any], *tokens: Token) -> Any:
        return self.noted(meta, {**subject, str(operator): read(self, *tokens)})

    return make


def _string(reader: _ToDocument, token: Token) -> str:
    try:
        return str(json.loads(token, strict=False))
    except ValueError:
        reader.problems.append(
            _problem('has an escape that is none; there are \\" \\\\ \\n \\t', token.start_pos or 0)
        )
        return "?"


def _number(_reader: _ToDocument, token: Token) -> int | float:
    return float(token) if "." in token else int(token)


def _word(_reader: _ToDocument, token: Token) -> str:
    return str(token)


def _several(each: Callable[[_ToDocument, Token], Any]) -> Callable[..., list[Any]]:
    return lambda reader, *tokens: [each(reader, token) for token in tokens]


def _id(_reader: _ToDocument, token: Token, *_days: Token) -> int:
    return int(token)


@v_args(inline=True, meta=True)
class _ToDocument(Transformer_NonRecursive[Token, Any]):
    """Makes the JSON document that a text stands for, and notes where each of its objects began:
    so that both forms are checked in one place.
    """

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[Problem] = []
        self._starts: dict[int, int] = {}
        """By the object's identity; the document keeps them all alive."""

    def noted(self, meta: Meta, made: dict[str, Any]) -> dict[str, Any]:
        self._starts[id(made)] = meta.start_pos
        return made

    def start_of(self, document: Any, place: str) -> int:
        """Where the object at or around a place of the document begins."""
        start = self._starts.get(id(document), 0)
        for name, position in _STEP.findall(place):
            try:
                document = document[int(position)] if position else document[name]
            except (KeyError, IndexError, TypeError):
                break
            start = self._starts.get(id(document), start)
        return start

    def some(self, meta: Meta, *parts: Any) -> Any:
        return self.noted(meta, {"any": list(parts)})

    def every(self, meta: Meta, *parts: Any) -> Any:
        return self.noted(meta, {"all": list(parts)})

    def negated(self, meta: Meta, part: Any) -> Any:
        return self.noted(meta, {"not": part})

    def on_list(self, meta: Meta, token: Token) -> Any:
        return self.noted(meta, {"list": int(token)})

    def subject(self, _meta: Meta, name: Token) -> dict[str, str]:
        return {"field" if name in list(Field) else "attribute": str(name)}

    def attribute(self, _meta: Meta, name: Token) -> dict[str, str]:
        return {"attribute": str(name)}

    def last_message(self, _meta: Meta) -> dict[str, str]:
        return {"field": str(Field.LAST_MESSAGE)}

    is_text = _asks(Operator.IS, _string)
    is_number = _asks(Operator.IS, _number)
    one_of_texts = _asks(Operator.ONE_OF, _several(_string))
    one_of_numbers = _asks(Operator.ONE_OF, _several(_number))
    missing = _asks(Operator.MISSING, lambda _reader: True)
    contains = _asks(Operator.CONTAINS, _string)
    starts_with = _asks(Operator.STARTS_WITH, _string)
    above = _asks(Operator.ABOVE, _number)
    at_least = _asks(Operator.AT_LEAST, _number)
    below = _asks(Operator.BELOW, _number)
    at_most = _asks(Operator.AT_MOST, _number)
    before = _asks(Operator.BEFORE, _word)
    since = _asks(Operator.SINCE, _word)
    more_than_days_ago = _asks(Operator.MORE_THAN_DAYS_AGO, _id)
    in_last_days = _asks(Operator.IN_LAST_DAYS, _id)
    campaign = _asks(Operator.CAMPAIGN, _id)
    delivered = _asks(Operator.DELIVERED, lambda _reader: True)
    not_delivered = _asks(Operator.DELIVERED, lambda _reader: False)


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", propagate_positions=True)


def _explained(error: UnexpectedInput, text: str) -> Problem:
    """What was met where something else was due, and what that is."""
    start = cast("int", error.pos_in_stream)
    due: set[str] = getattr(error, "allowed", None) or getattr(error, "expected", None) or set()
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        start = len(text)
    met = text[start : start + _SHOWN].partition("\n")[0]
    words = sorted(_WORDS.get(name, name.lower()) for name in due - {"$END"})
    found = f"{met!r} cannot stand here" if met.strip() else "something is missing here"
    return _problem(f"{found}; expected {' or '.join(words) or 'the end'}", start)


def _wrong(problem: Problem) -> InvalidInputError:
    return InvalidInputError(segment_json.UNUSABLE, (problem,))


def _problem(reason: str, start: int) -> Problem:
    """A fault at a place of the text, counted from 0 here and from 1 for people."""
    return Problem("", f"at character {start + 1}: {reason}")
