"""Exports: contacts, and the rows that an import refused, as they are read, page by page."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Connection

from paceline.domain.errors import InvalidInputError
from paceline.engine.sheets.writing import csv_text
from paceline.storage import contacts, import_history, lists
from paceline.storage.database import AnyRow, Database

_PAGE = 2_000
_FIELDS = ("phone", "first_name", "last_name")
MOST_COLUMNS = 1_000
"""Attributes that a CSV can have."""


class Format(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class Contacts:
    """An export that may begin: whose contacts, and the columns of a CSV."""

    database: Database
    tenant_id: int
    list_id: int | None
    attributes: Sequence[str] | None
    """None: as JSON lines."""

    async def text(self) -> AsyncIterator[str]:
        """The file, in pieces. What changes meanwhile is in it or not; nobody is in it twice."""
        if self.attributes is not None:
            yield csv_text([[*_FIELDS, *self.attributes]])
        after = 0
        while page := await self.database.read(self._page, after):
            after, written = page
            yield written

    def _page(self, connection: Connection, after: int) -> tuple[int, str] | None:
        """Where the next page begins, and this one; None: there is none. Written in the database's
        thread, so that the event loop is free for others.
        """
        rows = contacts.page(
            connection, self.tenant_id, after=after, limit=_PAGE, list_id=self.list_id
        )
        return (rows[-1].id, self._written(rows)) if rows else None

    def _written(self, rows: Sequence[AnyRow]) -> str:
        if self.attributes is None:
            lines = (msgspec.json.encode(_document(row)).decode() + "\n" for row in rows)
            return "".join(lines)
        return csv_text(_cells(row, self.attributes) for row in rows)


def prepare(
    connection: Connection, tenant_id: int, *, kind: Format, list_id: int | None
) -> Callable[[Database], Contacts]:
    """Look whether there can be an export, before its first byte.

    Raises:
        NotFoundError: this tenant has no such list.
        InvalidInputError: there are more attributes than a CSV can have columns.
    """
    if list_id is not None:
        lists.get(connection, tenant_id, list_id)
    names = None
    if kind is Format.CSV:
        names = contacts.all_attribute_names(connection, tenant_id)
        if len(names) > MOST_COLUMNS:
            raise InvalidInputError.of(
                "format", f"the contacts have {len(names)} different attributes: use jsonl"
            )
    return lambda database: Contacts(database, tenant_id, list_id, names)


async def rejected(database: Database, made: AnyRow) -> AsyncIterator[str]:
    """The rows that an import did not take, as CSV: row, column and reason, then the row as it was.
    A row with several faults is there once.
    """
    header = msgspec.json.decode(made.header or "[]")
    yield csv_text([["row", "column", "reason", *header]])
    held: list[AnyRow] = []
    after = (0, -1)
    while page := await database.read(import_history.rejects, made.id, after=after, limit=_PAGE):
        after = (page[-1].row, page[-1].position)
        rows = [list(same) for _, same in itertools.groupby([*held, *page], lambda each: each.row)]
        held = rows.pop()  # its next fault may be on the next page
        yield await asyncio.to_thread(csv_text, map(_reject, rows))
    if held:
        yield csv_text([_reject(held)])


def _reject(faults: Sequence[AnyRow]) -> list[str]:
    cells = msgspec.json.decode(faults[0].cells or "[]")
    columns = "; ".join(each.column for each in faults if each.column)
    return [str(faults[0].row), columns, "; ".join(each.reason for each in faults), *cells]


def _document(row: AnyRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in (*_FIELDS, "attributes")}


def _cells(row: AnyRow, attributes: Sequence[str]) -> list[str]:
    own = [getattr(row, name) or "" for name in _FIELDS]
    return [*own, *(row.attributes.get(name, "") for name in attributes)]
