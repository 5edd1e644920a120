"""``column IN (a list)`` that PostgreSQL answers by an index, whatever it thinks of the table.

``in_()`` makes a parameter of each value, so that each length is another statement to render and to
plan; for a list of hundreds that costs more than the work itself. As one array (PostgreSQL) or one
JSON text (SQLite) it is one statement for all lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Dialect, Select, Text, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine


def among(column: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    """The condition that ``column``, of numbers or of text, is in the list bound as ``name``."""
    item = Text if isinstance(column.type, Text) else BigInteger
    return _Among(column, bindparam(name, type_=_Listed(item)))


def among_those(column: ColumnElement[Any], those: Select[Any]) -> ColumnElement[Any]:
    """The condition that ``column`` is one of the few values that a query gives. They are found
    first; as an ``IN``, PostgreSQL may read the whole table to hold each row against them.
    """
    return _AmongThose(column, those.scalar_subquery())


class _Listed(TypeDecorator[Sequence[Any]]):
    """A list of values as one parameter."""

    impl = Text
    cache_ok = True

    def __init__(self, item: type[TypeEngine[Any]]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return ARRAY(self.item) if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: Sequence[Any] | None, dialect: Dialect) -> Any:
        return value if dialect.name == "postgresql" else msgspec.json.encode(value).decode()


class _Among(FunctionElement[Any]):
    inherit_cache = True
    # Called a Boolean, SQLite would be asked for "(…) = 1", which no index can answer.
    type = NullType()


class _AmongThose(_Among):
    inherit_cache = True


@compiles(_Among, "postgresql")
def _any_of_array(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} = ANY ({values})"


@compiles(_Among, "sqlite")
def _in_json(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - compiled parts


@compiles(_AmongThose, "postgresql")
def _any_of_query(element: _AmongThose, compiler: SQLCompiler, **options: Any) -> str:
    column, those = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} = ANY (ARRAY{those})"


@compiles(_AmongThose, "sqlite")
def _in_query(element: _AmongThose, compiler: SQLCompiler, **options: Any) -> str:
    column, those = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} IN {those}"
