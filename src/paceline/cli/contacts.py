"""Contacts from the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from paceline.api.erasures import ErasedPerson, PersonalData
from paceline.api.import_history import Import, ImportUndone
from paceline.api.imports import ImportPreview, ImportResult
from paceline.cli.failures import ExitCode
from paceline.cli.output import say, say_facts, say_json, say_stream, say_table
from paceline.cli.session import AsJson, Session, TenantName, group, operator, session
from paceline.domain.errors import InvalidInputError
from paceline.domain.phone import PhoneError, parse
from paceline.engine import exporting
from paceline.engine.erased_numbers import ErasedNumbers
from paceline.engine.erasing import erase
from paceline.engine.exporting import Format, rejected
from paceline.engine.import_preview import preview_contacts
from paceline.engine.imports import Reading, import_contacts
from paceline.engine.undoing import undo_import
from paceline.storage import import_history, person

contact = group(
    """
    Import, export and erase contacts.

    Example:
    paceline contact import people.xlsx --country GR --map Town=city
    paceline contact export >people.csv
    """
)
_CHUNK = 1 << 16
_NAMED = 20
_SHOWN = 100
ImportId = Annotated[int, typer.Argument(metavar="ID", help="The import's id.")]
WhosePhone = Annotated[str, typer.Argument(metavar="PHONE", help="The person's number.")]


@contact.command("import")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A CSV, TSV, XLSX or ODS file whose first row names the columns."
        ),
    ],
    list_id: Annotated[
        int | None, typer.Option("--list", help="The id of a list to put them on.")
    ] = None,
    country: Annotated[
        str | None, typer.Option(help="The country of numbers without a country code, such as GR.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="HEADER=FIELD",
            help="What a column means, such as Town=city; nothing after the = leaves it out.",
        ),
    ] = None,
    sheet: Annotated[
        str | None, typer.Option(help="Of a workbook: which sheet. Without it, the first.")
    ] = None,
    tenant_name: TenantName = None,
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="Import nothing if a row is bad.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be imported, and write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import contacts from a file; bad rows are named, the rest is imported.

    Columns: phone (needed), first_name, last_name; any other becomes an
    attribute and can be used in a text. Exit status 6 when rows were bad.
    """
    with session() as here:
        reading = Reading(
            country or here.settings.default_country, _mapping(columns), sheet, file.name
        )
        document = _imported(
            here, file, reading, list_id, tenant_name, strict=strict, dry_run=dry_run
        )
    if as_json:
        say_json(document)
    else:
        _say_import(document)
    if document["invalid"]:
        raise typer.Exit(ExitCode.PARTIAL)


@contact.command("imports")
def list_imports(tenant_name: TenantName = None, *, as_json: AsJson = False) -> None:
    """List the last hundred imports, the newest first."""
    with session() as here:
        rows = here.database.read_now(
            import_history.page, here.tenant(tenant_name).id, limit=_SHOWN
        )
    documents = [Import.of(row).model_dump(mode="json") for row in rows]
    if as_json:
        say_json(documents)
    elif documents:
        say_table(list(documents[0]), [list(each.values()) for each in documents])


@contact.command("rejected")
def show_rejected(import_id: ImportId, tenant_name: TenantName = None) -> None:
    """Write the rows that an import did not take to stdout, as CSV, with the reason."""
    with session() as here:
        tenant_id = here.tenant(tenant_name).id
        made = here.database.read_now(import_history.get, tenant_id, import_id)
        asyncio.run(say_stream(rejected(here.database, made)))


@contact.command("undo")
def undo(import_id: ImportId, tenant_name: TenantName = None, *, as_json: AsJson = False) -> None:
    """Undo an import of the last 30 days. What has changed or was used since is left alone."""
    with session() as here:
        tenant_id = here.tenant(tenant_name).id
        undone = asyncio.run(undo_import(here.database, tenant_id, import_id, actor=operator()))
    document = ImportUndone.of(undone).model_dump(mode="json")
    if as_json:
        say_json(document)
    else:
        why = document.pop("why")
        say_facts({**document, **{f"  {reason}": count for reason, count in why.items()}})


@contact.command("export")
def export(
    tenant_name: TenantName = None,
    list_id: Annotated[
        int | None, typer.Option("--list", help="Only contacts on the list with this id.")
    ] = None,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON object a line instead of CSV.")
    ] = False,
) -> None:
    """Write all contacts to stdout, as CSV or as JSON lines."""
    kind = Format.JSONL if as_json else Format.CSV
    with session() as here:
        tenant_id = here.tenant(tenant_name).id
        prepared = here.database.read_now(exporting.prepare, tenant_id, kind=kind, list_id=list_id)
        asyncio.run(say_stream(prepared(here.database).text()))


@contact.command("person")
def show_person(phone: WhosePhone, tenant_name: TenantName = None) -> None:
    """Write everything that is kept about a person to stdout, as JSON."""
    with session() as here:
        tenant_id, number = here.tenant(tenant_name).id, _number(here, phone)
        kept = here.database.read_now(person.of, tenant_id, number)
        say_json(PersonalData.of(number, kept, here.unlocked()).model_dump(mode="json"))


@contact.command("erase")
def erase_person(
    phone: WhosePhone, tenant_name: TenantName = None, *, as_json: AsJson = False
) -> None:
    """Erase a person: contact, texts, number and replies. They stay suppressed.

    Exit status 5 while a message to them may be on its way.
    """
    with session() as here:
        tenant_id, number = here.tenant(tenant_name).id, _number(here, phone)
        numbers = ErasedNumbers(here.unlocked)
        erased = asyncio.run(erase(here.database, tenant_id, number, numbers, actor=operator()))
    document = ErasedPerson.of(erased).model_dump(mode="json")
    say_json(document) if as_json else say_facts(document)


def _imported(
    here: Session,
    file: Path,
    reading: Reading,
    list_id: int | None,
    tenant_name: str | None,
    *,
    strict: bool,
    dry_run: bool,
) -> dict[str, Any]:
    tenant_id = here.tenant(tenant_name).id
    numbers = ErasedNumbers.of(here.settings)
    try:
        with file.open("rb") as opened:
            chunks = iter(lambda: opened.read(_CHUNK), b"")
            if dry_run:
                preview = asyncio.run(
                    preview_contacts(
                        here.database,
                        tenant_id,
                        chunks,
                        reading,
                        list_id=list_id,
                        erased_numbers=numbers,
                    )
                )
                return ImportPreview.of(preview).model_dump(mode="json")
            imported = asyncio.run(
                import_contacts(
                    here.database,
                    tenant_id,
                    chunks,
                    reading=reading,
                    list_id=list_id,
                    strict=strict,
                    erased_numbers=numbers,
                    actor=operator(),
                )
            )
            return ImportResult.of(imported).model_dump(mode="json")
    except OSError as error:
        raise InvalidInputError.of(str(file), error.strerror or "cannot be read") from error


def _say_import(document: dict[str, Any]) -> None:
    counts = ("imported", "updated", "duplicates", "invalid")
    say_facts({name: document[name] for name in counts})
    for column in document.get("columns", ()):
        say(f"  column “{column['header']}” is {column['field'] or 'left out'}")
    for each in document.get("contacts", ()):
        said = {**each, **each["attributes"]}
        values = (said[name] for name in said if name not in {"row", "new", "attributes"})
        new = "new" if each["new"] else "changed"
        say(f"  row {each['row']} ({new}): {', '.join(value for value in values if value)}")
    errors = document["errors"]
    for fault in errors[:_NAMED]:
        where = f", {fault['column']}" if fault["column"] else ""
        typer.echo(f"  row {fault['row']}{where}: {fault['reason']}", err=True)
    if len(errors) > _NAMED:
        typer.echo(f"  … and {len(errors) - _NAMED} more; --json names them", err=True)


def _mapping(columns: list[str] | None) -> dict[str, str | None] | None:
    if not columns:
        return None
    for each in columns:
        if "=" not in each:
            raise InvalidInputError.of("--map", f"“{each}” must be HEADER=FIELD")
    pairs = (each.rpartition("=") for each in columns)
    return {header: field.strip() or None for header, _, field in pairs}


def _number(here: Session, written: str) -> str:
    try:
        return parse(written, here.settings.default_country)
    except PhoneError as error:
        raise InvalidInputError.of("PHONE", error.reason) from None


COMMANDS = {"contact": contact}
