"""A dry run of an import: the file is read to its end, held against the contacts, and nothing is
written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from paceline.domain.errors import Problem
from paceline.engine.contact_rows import Column, columns_of
from paceline.engine.erased_numbers import ErasedNumbers
from paceline.engine.imports import Reading, Sieve, Sifted
from paceline.engine.sheets import sheets_of
from paceline.storage import contacts, lists
from paceline.storage.database import Database
from paceline.storage.imports import StagedContact

SHOWN = 10
"""Contacts that a preview shows, and problems."""


@dataclass(frozen=True, slots=True)
class Previewed:
    """A contact as it would be after the import; ``new``: it is not there yet."""

    row: int
    new: bool
    phone: str
    first_name: str | None
    last_name: str | None
    attributes: dict[str, str]


@dataclass(slots=True)
class Preview:
    """What an import would do."""

    columns: Sequence[Column] = ()
    imported: int = 0
    updated: int = 0
    duplicates: int = 0
    invalid: int = 0
    errors: tuple[Problem, ...] = ()
    contacts: list[Previewed] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Outline:
    """What can be chosen about a file before it is imported: its sheets, if it is a workbook, and
    the columns of the one that is read.
    """

    sheets: Sequence[str]
    columns: Sequence[Column]


def outline(chunks: Callable[[], Iterable[bytes]], reading: Reading) -> Outline:
    """Look at a file's header, also of one that cannot be imported as it is.

    Args:
        chunks: gives the file's bytes, from the beginning each time.
        reading: how it is read.

    Raises:
        InvalidInputError: it is no file of rows, or has no such sheet.
    """
    columns = columns_of(chunks(), mapping=reading.mapping, sheet=reading.sheet)
    return Outline(sheets_of(chunks()), columns)


async def preview_contacts(
    database: Database,
    tenant_id: int,
    chunks: Iterable[bytes],
    reading: Reading,
    *,
    list_id: int | None = None,
    erased_numbers: ErasedNumbers | None = None,
) -> Preview:
    """Say what importing a file would do; arguments as ``import_contacts``.

    Raises:
        NotFoundError: this tenant has no such list.
        InvalidInputError: the file cannot be used.
    """
    if list_id is not None:
        await database.read(lists.get, tenant_id, list_id)
    file = await asyncio.to_thread(reading.open, chunks)
    preview = Preview(file.columns)
    sieve = Sieve()
    good = sieve.chunks(file.rows)

    def look(connection: Connection, sifted: Sifted) -> None:
        if erased_numbers is not None:
            gone = erased_numbers.among(connection, tenant_id, sifted.phones())
            sieve.take_out(sifted, gone)
        _look(connection, tenant_id, sifted, preview)

    while (chunk := await asyncio.to_thread(next, good, None)) is not None:
        await database.read(look, chunk)
    preview.imported = sieve.passed - preview.updated
    preview.duplicates, preview.invalid = sieve.duplicates, sieve.invalid
    preview.errors = tuple(sieve.errors[:SHOWN])
    return preview


def _look(connection: Connection, tenant_id: int, sifted: Sifted, preview: Preview) -> None:
    people = [row.contact for row in sifted.good if row.contact]
    preview.updated += contacts.how_many_of(connection, tenant_id, [each.phone for each in people])
    for person in people[: SHOWN - len(preview.contacts)]:
        preview.contacts.append(_previewed(connection, tenant_id, person))


def _previewed(connection: Connection, tenant_id: int, person: StagedContact) -> Previewed:
    there = next(iter(contacts.page(connection, tenant_id, phone=person.phone, limit=1)), None)
    if there is None:
        return Previewed(
            person.row,
            True,
            person.phone,
            person.first_name,
            person.last_name,
            person.attributes,
        )
    return Previewed(
        person.row,
        False,
        person.phone,
        person.first_name or there.first_name,
        person.last_name or there.last_name,
        there.attributes | person.attributes,
    )
