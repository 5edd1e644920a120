"""Imports: a file of contacts, staged in chunks and merged at once, or not at all."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import phonenumbers
from sqlalchemy import Connection

from paceline.domain.contact import TOO_MANY
from paceline.domain.errors import InvalidInputError, Problem
from paceline.engine.contact_rows import ContactFile, ContactRow, read_contacts
from paceline.engine.erased_numbers import WHY, ErasedNumbers
from paceline.storage import audit_log, erased, idempotency, import_history, imports, lists
from paceline.storage.database import Database, DatabaseUnreachableError
from paceline.storage.first_rows import FirstRows
from paceline.storage.idempotency import Once
from paceline.storage.import_history import Reject
from paceline.storage.imports import Kept

MAX_PROBLEMS = 1_000
"""Problems that are named; all are counted."""
_CHUNK_TEXT = 4_000_000
"""Characters of cells after which a chunk is full. Rows may be long as well as many."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is read.

    ``default_country``: of numbers without a country code (ISO 3166). ``mapping``: header → field,
    None leaves the column out. ``sheet``: of a workbook; None: the first. ``name``: the file's.
    """

    default_country: str | None = None
    mapping: Mapping[str, str | None] | None = None
    sheet: str | None = None
    name: str = ""

    def open(self, chunks: Iterable[bytes]) -> ContactFile:
        """Read the header.

        Raises:
            InvalidInputError: the file cannot be used, or ``default_country`` is none.
        """
        country = self.default_country
        if country is not None and country not in phonenumbers.SUPPORTED_REGIONS:
            raise InvalidInputError.of("default_country", "must be a country code such as GR or GB")
        return read_contacts(chunks, country, mapping=self.mapping, sheet=self.sheet)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. ``errors`` names bad rows and duplicates, up to ``MAX_PROBLEMS``;
    ``id`` is the import's, by which it can be undone.
    """

    imported: int = 0
    updated: int = 0
    duplicates: int = 0
    invalid: int = 0
    errors: tuple[Problem, ...] = ()
    id: int = 0


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
    reading: Reading | None = None,
    list_id: int | None = None,
    strict: bool = False,
    once: Once | None = None,
    erased_numbers: ErasedNumbers | None = None,
    actor: str = audit_log.SYSTEM,
) -> Imported:
    """Import a file: CSV, TSV, XLSX or ODS.

    Reading and checking happen in a thread, up to 5,000 rows at a time, and no more are in memory.
    Of a number that the file has twice the first row counts.

    Args:
        database: where to.
        tenant_id: whose contacts they become.
        chunks: the file's bytes, cut anywhere; read in a thread, so it may read a file.
        default_country: of numbers without a country code, if ``reading`` is not given.
        reading: how it is read.
        list_id: put all of them on this list.
        strict: any bad row or duplicate, and nothing is imported.
        once: the idempotency key of the request.
        erased_numbers: knows whom not to import again.
        actor: who imports.

    Raises:
        NotFoundError: this tenant has no such list.
        InvalidInputError: the file cannot be used.
        BadRowsError: ``strict``, and not all rows are good.
    """
    if list_id is not None:
        await database.read(lists.get, tenant_id, list_id)
    reading = reading or Reading(default_country)
    file = await asyncio.to_thread(reading.open, chunks)
    sieve = Sieve()
    import_id = secrets.token_hex(16)
    work = _Import(tenant_id, import_id, list_id, strict, sieve, erased_numbers)
    try:
        await database.write(work.begin, file, reading.name, actor)
        good = sieve.chunks(file.rows)
        while (chunk := await asyncio.to_thread(next, good, None)) is not None:
            await database.write(work.stage, chunk)
        if strict:
            sieve.refuse_faults()
        return await database.write(idempotency.run, tenant_id, once, work.merge)
    except BaseException:
        # A merge forgets its rows itself; after a crash `imports.forget_stale` does.
        with suppress(DatabaseUnreachableError):
            await asyncio.shield(database.write(imports.discard, import_id))
        raise


@dataclass(slots=True)
class Sifted:
    """Some rows of a file: those that are good so far, and the faults of the others."""

    good: list[ContactRow] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    repeated: list[ContactRow] = field(default_factory=list)

    def phones(self) -> list[str]:
        """Of everybody in it."""
        return [row.contact.phone for row in (*self.good, *self.repeated) if row.contact]


@dataclass(slots=True)
class Sieve:
    """Lets good rows pass, each number once, and counts the others."""

    passed: int = 0
    duplicates: int = 0
    invalid: int = 0
    errors: list[Problem] = field(default_factory=list)

    def chunks(self, rows: Iterable[ContactRow]) -> Iterator[Sifted]:
        """The rows, as many at a time as one transaction stages."""
        with FirstRows() as first_rows:
            for chunk in _chunks(rows):
                yield self._sifted(chunk, first_rows)

    def _sifted(self, rows: Sequence[ContactRow], first_rows: FirstRows) -> Sifted:
        numbers = [(int(row.contact.phone), row.number) for row in rows if row.contact]
        repeated = first_rows.add(numbers)
        sifted = Sifted()
        for row in rows:
            if row.contact is None:
                self.invalid += 1
                self.report(sifted, row, row.problems)
            elif first := repeated.get(row.number):
                self.duplicates += 1
                sifted.repeated.append(row)
                reason = f"has the same number as row {first}, which counts"
                self.report(sifted, row, [Problem("phone", reason, row.number)])
            else:
                sifted.good.append(row)
        self.passed += len(sifted.good)
        return sifted

    def take_out(self, sifted: Sifted, phones: frozenset[str]) -> None:
        """Reject good rows after all: their people were erased. Of them no cell is kept."""
        if not phones:
            return
        out = [row for row in sifted.good if row.contact and row.contact.phone in phones]
        sifted.good = [
            row for row in sifted.good if row.contact and row.contact.phone not in phones
        ]
        for row in out:
            self.passed -= 1
            self.invalid += 1
            self.report(sifted, row, [Problem("phone", WHY, row.number)])
        theirs = {
            row.number
            for row in (*out, *sifted.repeated)
            if row.contact and row.contact.phone in phones
        }
        sifted.rejects = [
            each._replace(cells=None) if each.row in theirs else each for each in sifted.rejects
        ]

    def result(self) -> Imported:
        return Imported(duplicates=self.duplicates, invalid=self.invalid, errors=tuple(self.errors))

    def refuse_faults(self) -> None:
        if self.errors:
            raise BadRowsError(self.result())

    def report(self, sifted: Sifted, row: ContactRow, problems: Sequence[Problem]) -> None:
        self.errors += problems[: MAX_PROBLEMS - len(self.errors)]
        sifted.rejects += [
            Reject(row.number, position, each.where, each.reason, None if position else row.cells)
            for position, each in enumerate(problems)
        ]


class _Import:
    """The transactions of one import."""

    def __init__(
        self,
        tenant_id: int,
        import_id: str,
        list_id: int | None,
        strict: bool,
        sieve: Sieve,
        erased_numbers: ErasedNumbers | None,
    ) -> None:
        self._tenant_id = tenant_id
        self._import_id = import_id
        self._list_id = list_id
        self._strict = strict
        self._sieve = sieve
        self._erased_numbers = erased_numbers
        self._kept: Kept | None = None

    def begin(self, connection: Connection, file: ContactFile, name: str, actor: str) -> None:
        which = import_history.begin(
            connection,
            self._tenant_id,
            self._import_id,
            name=name,
            header=[column.header for column in file.columns],
            list_id=self._list_id,
            actor=actor,
        )
        widest = max(len([column for column in file.columns if column.field]) - 1, 0)
        self._kept = Kept(which, erased.count(connection, self._tenant_id), widest)

    def stage(self, connection: Connection, sifted: Sifted) -> None:
        kept = self._begun()
        people = [row.contact for row in sifted.good if row.contact]
        if kept.erased and self._erased_numbers:
            gone = self._erased_numbers.among(connection, self._tenant_id, sifted.phones())
            self._sieve.take_out(sifted, gone)
            people = [each for each in people if each.phone not in gone]
        if people:
            imports.stage(connection, self._tenant_id, self._import_id, people)
        if not self._strict:
            import_history.add_rejects(connection, kept.which, sifted.rejects)

    def merge(self, connection: Connection) -> Imported:
        kept = self._begun()
        merged = imports.merge(
            connection,
            self._tenant_id,
            self._import_id,
            expected=self._sieve.passed,
            list_id=self._list_id,
            kept=kept,
        )
        result = self._with_overfull(connection, merged.overfull)
        import_history.count(
            connection, kept.which, duplicates=result.duplicates, invalid=result.invalid
        )
        return replace(result, imported=merged.imported, updated=merged.updated, id=kept.which)

    def _with_overfull(self, connection: Connection, rows: Sequence[int]) -> Imported:
        """The counts, with the rows that the merge had to leave out."""
        result = self._sieve.result()
        if not rows:
            return result
        rejects = [Reject(row, 0, "", TOO_MANY, []) for row in rows]
        import_history.add_rejects(connection, self._begun().which, rejects)
        more = tuple(Problem("", TOO_MANY, row) for row in rows)
        errors = (result.errors + more)[:MAX_PROBLEMS]
        result = replace(result, invalid=result.invalid + len(rows), errors=errors)
        if self._strict:
            raise BadRowsError(result)
        return result

    def _begun(self) -> Kept:
        assert self._kept is not None  # noqa: S101 - the first transaction has been
        return self._kept


def _chunks(rows: Iterable[ContactRow]) -> Iterator[list[ContactRow]]:
    chunk: list[ContactRow] = []
    text = 0
    for row in rows:
        chunk.append(row)
        text += sum(map(len, row.cells))
        if len(chunk) == imports.CHUNK or text >= _CHUNK_TEXT:
            yield chunk
            chunk, text = [], 0
    if chunk:
        yield chunk
