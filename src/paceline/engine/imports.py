"""Imports: a file of contacts, staged in chunks and merged at once, or not at all."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

import phonenumbers
from sqlalchemy import Connection

from paceline.domain.errors import InvalidInputError, Problem
from paceline.engine.csv_contacts import read_contacts
from paceline.storage import idempotency, imports, lists
from paceline.storage.database import Database, DatabaseUnreachableError
from paceline.storage.idempotency import Once
from paceline.storage.imports import StagedContact

MAX_PROBLEMS = 1_000
"""Problems that are named; all are counted."""


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

    Reading and checking happen in a thread, 5,000 rows at a time. Of a number that the file has
    twice the first row counts.

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
    rows = sieve.good(read_contacts(chunks, default_country))

    def merge(connection: Connection) -> Imported:
        merged = imports.merge(
            connection, tenant_id, import_id, expected=sieve.passed, list_id=list_id
        )
        return replace(sieve.result(), imported=merged.imported, updated=merged.updated)

    try:
        while chunk := await asyncio.to_thread(_next_chunk, rows):
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
    first_rows: dict[int, int] = field(default_factory=dict)
    """Number (as an integer, half the memory of its text) → the row that had it first."""

    def good(self, rows: Iterable[StagedContact | list[Problem]]) -> Iterator[StagedContact]:
        for row in rows:
            if isinstance(row, list):
                self.invalid += 1
                self._report(row)
            elif first := self.first_rows.get(int(row.phone)):
                self.duplicates += 1
                reason = f"has the same number as row {first}, which counts"
                self._report([Problem("phone", reason, row.row)])
            else:
                self.first_rows[int(row.phone)] = row.row
                self.passed += 1
                yield row

    def result(self) -> Imported:
        return Imported(duplicates=self.duplicates, invalid=self.invalid, errors=tuple(self.errors))

    def refuse_faults(self) -> None:
        if self.errors:
            raise BadRowsError(self.result())

    def _report(self, problems: list[Problem]) -> None:
        self.errors += problems[: MAX_PROBLEMS - len(self.errors)]


def _next_chunk(rows: Iterator[StagedContact]) -> list[StagedContact]:
    return list(itertools.islice(rows, imports.CHUNK))


def _check_country(country: str | None) -> None:
    if country is not None and country not in phonenumbers.SUPPORTED_REGIONS:
        raise InvalidInputError.of("default_country", "must be a country code such as GR or GB")
