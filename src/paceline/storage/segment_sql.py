"""Filters as conditions on contacts: nothing of a filter is evaluated here or becomes SQL text,
every value is a bound parameter, and every subquery names the tenant it is for.

Both databases give the same people. What they would do in ways of their own is spelled out: what is
NULL makes a condition false, numbers and days are taken from a text only if it has their exact
shape, and days are compared by code points.
"""

from __future__ import annotations

import operator as compare
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Function,
    Integer,
    Select,
    and_,
    case,
    cast,
    collate,
    false,
    func,
    literal,
    not_,
    or_,
    select,
)

from paceline.domain.hours import DAY_MS
from paceline.domain.message import Delivery
from paceline.domain.segment import (
    DATES,
    DAYS,
    NUMBER_LENGTH,
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
)
from paceline.storage.database import is_postgres
from paceline.storage.schema import contacts, list_members, lists, messages

_EPOCH = date(1970, 1, 1).toordinal()
_COMPARE: dict[Operator, Callable[[Any, Any], ColumnElement[Any]]] = {
    Operator.ABOVE: compare.gt,
    Operator.AT_LEAST: compare.ge,
    Operator.BELOW: compare.lt,
    Operator.AT_MOST: compare.le,
    Operator.BEFORE: compare.lt,
    Operator.SINCE: compare.ge,
    Operator.MORE_THAN_DAYS_AGO: compare.lt,
    Operator.IN_LAST_DAYS: compare.ge,
}
_PLAIN_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"


def condition_of(
    connection: Connection, tenant_id: int, wanted: Filter, at: int
) -> ColumnElement[bool]:
    """The condition that a row of ``contacts`` is one of those a filter means.

    Args:
        connection: of the database that will be asked.
        tenant_id: whose lists and messages count.
        wanted: the filter.
        at: the moment that days are counted back from, in milliseconds since 1970.
    """
    return _Translation(tenant_id, at, postgres=is_postgres(connection)).of(wanted)


@dataclass(frozen=True, slots=True)
class _Translation:
    """Into the words of one database, for one tenant, at one moment."""

    tenant_id: int
    at: int
    postgres: bool

    def of(self, wanted: Filter) -> ColumnElement[bool]:
        match wanted:
            case AllOf(parts):
                return and_(*map(self.of, parts))
            case AnyOf(parts):
                return or_(*map(self.of, parts))
            case Not(part):
                return not_(self.of(part))
            case OnList(list_id):
                return self._on_list(list_id)
            case Condition():
                return _certain(self._holds(wanted))

    def _holds(self, asked: Condition) -> ColumnElement[Any]:
        if asked.subject is Field.LAST_MESSAGE:
            return self._of_last_message(asked)
        if asked.subject is Field.CREATED_AT:
            return self._of_moment(contacts.c.created_at, asked)
        text = _text_of(asked.subject)
        if asked.operator is Operator.MISSING:
            return func.coalesce(text, "") == literal("")
        if asked.operator in DATES | DAYS:
            return self._of_day(self._as_day(text), asked)
        if asked.operator in NUMERIC:
            return _COMPARE[asked.operator](self._as_number(text), literal(asked.value, Double))
        return self._of_text(text, asked)

    def _of_text(self, text: ColumnElement[Any], asked: Condition) -> ColumnElement[Any]:
        value: Any = asked.value
        if asked.operator is Operator.CONTAINS:
            name = "strpos" if self.postgres else "instr"
            return Function(name, text, value, type_=Integer) > 0
        if asked.operator is Operator.STARTS_WITH:
            return literal(value) == func.substr(text, 1, len(value))
        values = value if isinstance(value, tuple) else (value,)
        if isinstance(values[0], str):
            return text.in_(values)
        return self._as_number(text).in_([literal(each, Double) for each in values])

    def _of_day(self, day: ColumnElement[Any], asked: Condition) -> ColumnElement[Any]:
        value: Any = asked.value
        today = datetime.fromtimestamp(self.at / 1000, UTC).date()
        limit = today - timedelta(days=value) if asked.operator in DAYS else value
        holds = _COMPARE[asked.operator](day, limit.isoformat())
        if asked.operator is Operator.IN_LAST_DAYS:  # an attribute's day can be one to come
            return and_(holds, day <= today.isoformat())
        return holds

    def _of_moment(self, moment: ColumnElement[Any], asked: Condition) -> ColumnElement[Any]:
        value: Any = asked.value
        if asked.operator in DAYS:
            limit = self.at - value * DAY_MS
        else:
            limit = (value.toordinal() - _EPOCH) * DAY_MS
        return _COMPARE[asked.operator](moment, limit)

    def _of_last_message(self, asked: Condition) -> ColumnElement[Any]:
        match asked.operator:
            case Operator.MISSING:
                return self._last(messages.c.id).is_(None)
            case Operator.CAMPAIGN:
                return self._last(messages.c.campaign_id) == asked.value
            case Operator.DELIVERED:
                delivery, delivered = self._last(messages.c.delivery), str(Delivery.DELIVERED)
                return delivery == delivered if asked.value else delivery != delivered
            case _:
                return self._of_moment(self._last(messages.c.sent_at), asked)

    def _last(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """A column of the message that was sent last to the contact, by any campaign."""
        return (
            select(column)
            .where(
                messages.c.contact_id == contacts.c.id,
                messages.c.tenant_id == self.tenant_id,
                messages.c.sent_at.is_not(None),
            )
            .order_by(messages.c.sent_at.desc(), messages.c.id.desc())
            .limit(1)
            .correlate(contacts)
            .scalar_subquery()
        )

    def _on_list(self, list_id: int) -> ColumnElement[bool]:
        ours = select(lists.c.id).where(lists.c.id == list_id, lists.c.tenant_id == self.tenant_id)
        return _exists(
            select(list_members.c.contact_id).where(
                list_members.c.list_id == ours.scalar_subquery(),
                list_members.c.contact_id == contacts.c.id,
            )
        )

    def _as_number(self, text: ColumnElement[Any]) -> ColumnElement[Any]:
        """The number that a text is: digits, perhaps with a minus and a point; or else NULL."""
        shape: ColumnElement[bool]
        if self.postgres:
            shape = text.bool_op("~")("^-?[0-9]+([.][0-9]+)?$")
        else:
            shape = and_(
                text.bool_op("NOT GLOB")("*[^0-9.-]*"),
                text.bool_op("NOT GLOB")("?*-*"),
                text.bool_op("NOT GLOB")("*.*.*"),
                or_(text.bool_op("GLOB")("[0-9]*"), text.bool_op("GLOB")("-[0-9]*")),
                text.bool_op("GLOB")("*[0-9]"),
            )
        return case((and_(shape, func.length(text) <= NUMBER_LENGTH), cast(text, Double)))

    def _as_day(self, text: ColumnElement[Any]) -> ColumnElement[Any]:
        """The day that a text is or begins with, as 2026-12-31, perhaps with a time behind it; or
        else NULL.
        """
        shape: ColumnElement[bool]
        if self.postgres:
            shape = text.bool_op("~")("^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?$")
            return case((shape, collate(func.substr(text, 1, 10), "C")))
        shape = or_(text.bool_op("GLOB")(_PLAIN_DAY), text.bool_op("GLOB")(f"{_PLAIN_DAY}[T ]*"))
        return case((shape, func.substr(text, 1, 10)))


def _text_of(subject: Field | Attribute) -> ColumnElement[Any]:
    if isinstance(subject, Attribute):
        named: ColumnElement[Any] = contacts.c.attributes[subject.name].as_string()
        return named
    return contacts.c[str(subject)]


def _certain(holds: ColumnElement[Any]) -> ColumnElement[bool]:
    """True or false, where the database would say that it does not know."""
    return func.coalesce(holds, false())


def _exists(query: Select[Any]) -> ColumnElement[bool]:
    return query.correlate(contacts).exists()
