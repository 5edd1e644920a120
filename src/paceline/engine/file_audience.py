"""A file as an audience: imported onto a list of its own."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath

from paceline.domain.errors import ConflictError, InvalidInputError, PacelineError
from paceline.engine.drafts import MAX_NAME
from paceline.engine.erased_numbers import ErasedNumbers
from paceline.engine.imports import Imported, Reading, import_contacts
from paceline.engine.new_lists import gone_if_it_stays_empty
from paceline.storage import lists
from paceline.storage.database import AnyRow, Database

LIST_NAME = "list_name"
"""The field with the name of the list."""
_FROM_FILE = 190
"""Characters of a file's name that become a list's; a number may follow."""
_NAMES = 1_000


@dataclass(frozen=True, slots=True)
class FileAudience:
    """The list that was made, and what became of the rows of the file."""

    list_id: int
    list_name: str
    imported: Imported


async def import_as_list(
    database: Database,
    tenant_id: int,
    chunks: Iterable[bytes],
    reading: Reading,
    *,
    list_name: str,
    erased_numbers: ErasedNumbers,
    actor: str,
) -> FileAudience:
    """Import a file onto a new list; of one that cannot be used nothing is left.

    Args:
        database: where to.
        tenant_id: whose contacts they become.
        chunks: the file's bytes.
        reading: how it is read, and its name.
        list_name: of the list; empty: after the file, with a number behind it if that is taken.
        erased_numbers: knows whom not to import again.
        actor: who imports.

    Raises:
        InvalidInputError: the file cannot be used, or there is a list of this name.
    """
    made = await _new_list(database, tenant_id, list_name.strip(), reading.name)
    async with gone_if_it_stays_empty(database, tenant_id, made.id):
        imported = await import_contacts(
            database,
            tenant_id,
            chunks,
            reading=reading,
            list_id=made.id,
            erased_numbers=erased_numbers,
            actor=actor,
        )
    return FileAudience(made.id, made.name, imported)


async def _new_list(database: Database, tenant_id: int, wanted: str, file: str) -> AnyRow:
    if len(wanted) > MAX_NAME:
        raise InvalidInputError.of(LIST_NAME, f"is longer than {MAX_NAME} characters")
    if wanted:
        try:
            return await database.write(lists.create, tenant_id, name=wanted)
        except ConflictError as error:
            raise InvalidInputError.of(LIST_NAME, _clause(error)) from None
    stem = PurePath(file).stem[:_FROM_FILE].strip() or "contacts"
    for number in range(1, _NAMES):
        name = stem if number == 1 else f"{stem} {number}"
        with suppress(ConflictError):
            return await database.write(lists.create, tenant_id, name=name)
    raise InvalidInputError.of(LIST_NAME, "is needed: too many lists are named after this file")


def _clause(error: PacelineError) -> str:
    """The error's sentence as the clause behind a field's name, with what to do."""
    text = str(error).rstrip(".")
    return f"{text[0].lower()}{text[1:]}: give another one, or choose that list"
