"""Imports: a file of contacts, staged in chunks and merged at once, or not at all."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import phonenumbers
from sqlalchemy import Connection

from paceline.domain.errors import InvalidInputError, Problem
from paceline.engine.csv_contacts import read_contacts
from paceline.storage import idempotency, imports, lists
from paceline.storage.database import Database, DatabaseUnreachableError
from paceline.storage.first_rows import FirstRows
from paceline.storage.idempotency import Once
from paceline.storage.imports import StagedContact

MAX_PROBLEMS = 1_000
"""Problems that are named; all are counted."""
_CHUNK_TEXT = 4_000_000
"""Characters of attributes after which a chunk is full. Rows may be long as well as many."""

_Row: TypeAlias = StagedContact | list[Problem]
"""What the file has in a row, or what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. ``errors`` names bad rows and duplicates, up to ``MAX_PROBLEMS``."""

    imported: int = 0
    updated: int = 0
    duplicates: int = 0
    invalid: int = 0
    errors: tuple[Problem, ...] = ()


class BadRowsError(InvalidInputError):
    """A strict import has bad rows, so nothing was imported."""

    code = "bad_rows"

    def __init__(self, result: Imported) -> None:
        super().__init__(
            f"Nothing was imported: {result.invalid} rows are invalid and "
            f"{result.duplicates} repeat a number.",
            result.errors,
        )


async def import_contacts(
    database: Database,
    tenant_id: int,
    chunks: Iterable[bytes],
    *,
    default_country: str | None = None,
    list_id: int | None = None,
    strict: bool = False,
    once: Once | None = None,
) -> Imported:
    """Import a CSV file.

    Reading and checking happen in a thread, up to 5,000 rows at a time, and no more are in memory.
    Of a number that the file has twice the first row counts.

    Args:
        database: where to.
        tenant_id: whose contacts they become.
        chunks: the file's bytes, cut anywhere; read in a thread, so it may read a file.
        default_country: of numbers without a country code (ISO 3166).
        list_id: put all of them on this list.
        strict: any bad row or duplicate, and nothing is imported.
        once: the idempotency key of the request.

    Raises:
        NotFoundError: this tenant has no such list.
        InvalidInputError: the file cannot be used, or ``default_country`` is none.
        BadRowsError: ``strict``, and not all rows are good.
    """
    _check_country(default_country)
    if list_id is not None:
        await database.read(lists.get, tenant_id, list_id)
    import_id = secrets.token_hex(16)
    sieve = _Sieve()
    good = sieve.chunks(read_contacts(chunks, default_country))

    def merge(connection: Connection) -> Imported:
        merged = imports.merge(
            connection, tenant_id, import_id, expected=sieve.passed, list_id=list_id
        )
        return replace(sieve.result(), imported=merged.imported, updated=merged.updated)

    try:
        while chunk := await asyncio.to_thread(next, good, None):
            await database.write(imports.stage, tenant_id, import_id, chunk)
        if strict:
            sieve.refuse_faults()
        return await database.write(idempotency.run, tenant_id, once, merge)
    except BaseException:
        # A merge forgets its rows itself; after a crash `imports.forget_stale` does.
        with suppress(DatabaseUnreachableError):
            await asyncio.shield(database.write(imports.discard, import_id))
        raise


@dataclass(slots=True)
class _Sieve:
    """Lets good rows pass, each number once, and counts the others."""

    passed: int = 0
    duplicates: int = 0
    invalid: int = 0
    errors: list[Problem] = field(default_factory=list)

    def chunks(self, rows: Iterable[_Row]) -> Iterator[list[StagedContact]]:
        """The good rows, as many at a time as one transaction stages."""
        with FirstRows() as first_rows:
            for chunk in _chunks(rows):
                if good := self._good(chunk, first_rows):
                    yield good

    def _good(self, rows: Sequence[_Row], first_rows: FirstRows) -> list[StagedContact]:
        numbers = [(int(each.phone), each.row) for each in rows if not isinstance(each, list)]
        repeated = first_rows.add(numbers)
        good = []
        for row in rows:
            if isinstance(row, list):
                self.invalid += 1
                self._report(row)
            elif first := repeated.get(row.row):
                self.duplicates += 1
                reason = f"has the same number as row {first}, which counts"
                self._report([Problem("phone", reason, row.row)])
            else:
                good.append(row)
        self.passed += len(good)
        return good

    def result(self) -> Imported:
        return Imported(duplicates=self.duplicates, invalid=self.invalid, errors=tuple(self.errors))

    def refuse_faults(self) -> None:
        if self.errors:
            raise BadRowsError(self.result())

    def _report(self, problems: list[Problem]) -> None:
        self.errors += problems[: MAX_PROBLEMS - len(self.errors)]


def _chunks(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    chunk: list[_Row] = []
    text = 0
    for row in rows:
        chunk.append(row)
        if not isinstance(row, list):
            text += sum(map(len, row.attributes.values()))
        if len(chunk) == imports.CHUNK or text >= _CHUNK_TEXT:
            yield chunk
            chunk, text = [], 0
    if chunk:
        yield chunk


def _check_country(country: str | None) -> None:
    if country is not None and country not in phonenumbers.SUPPORTED_REGIONS:
        raise InvalidInputError.of("default_country", "must be a country code such as GR or GB")
