"""Contacts from the command line."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from paceline.api.imports import ImportResult
from paceline.cli.failures import ExitCode
from paceline.cli.output import say_facts, say_json
from paceline.cli.session import AsJson, Session, TenantName, group, session, values
from paceline.domain.errors import InvalidInputError
from paceline.engine.imports import Imported, import_contacts
from paceline.storage import contacts

contact = group(
    """
    Import and export contacts.

    Example:
    paceline contact import people.csv --country GR
    paceline contact export >people.csv
    """
)
_CHUNK = 1 << 16
_PAGE = 1000
_NAMED = 20
_FIELDS = ("phone", "first_name", "last_name")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@contact.command("import")
def import_file(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A CSV file whose first line names the columns.")
    ],
    list_id: Annotated[
        int | None, typer.Option("--list", help="The id of a list to put them on.")
    ] = None,
    country: Annotated[
        str | None, typer.Option(help="The country of numbers without a country code, such as GR.")
    ] = None,
    tenant_name: TenantName = None,
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="Import nothing if a row is bad.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import contacts from a CSV file; bad rows are named, the rest is imported.

    Columns: phone (needed), first_name, last_name; any other becomes an
    attribute and can be used in a text. Exit status 6 when rows were bad.
    """
    with session() as here:
        imported = _imported(here, file, list_id, country, tenant_name, strict=strict)
    document = ImportResult.of(imported).model_dump(mode="json")
    if as_json:
        say_json(document)
    else:
        errors = document.pop("errors")
        say_facts({name: value for name, value in document.items() if value is not None})
        for fault in errors[:_NAMED]:
            typer.echo(f"  row {fault['row']}, {fault['column']}: {fault['reason']}", err=True)
        if len(errors) > _NAMED:
            typer.echo(f"  … and {len(errors) - _NAMED} more; --json names them", err=True)
    if imported.invalid:
        raise typer.Exit(ExitCode.PARTIAL)


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
    with session() as here:
        tenant = here.tenant(tenant_name)
        rows = _all_contacts(here, tenant.id, list_id)
        if as_json:
            for row in rows:
                sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
            return
        names = here.database.read_now(contacts.attribute_names, tenant.id)
        columns = [*_FIELDS, *sorted(names)]
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            flat = {**row["attributes"], **row}
            writer.writerow([_plain(name, flat.get(name)) for name in columns])


def _imported(
    here: Session,
    file: Path,
    list_id: int | None,
    country: str | None,
    tenant_name: str | None,
    *,
    strict: bool,
) -> Imported:
    tenant = here.tenant(tenant_name)
    try:
        with file.open("rb") as opened:
            return asyncio.run(
                import_contacts(
                    here.database,
                    tenant.id,
                    iter(lambda: opened.read(_CHUNK), b""),
                    default_country=country or here.settings.default_country,
                    list_id=list_id,
                    strict=strict,
                )
            )
    except OSError as error:
        raise InvalidInputError.of(str(file), error.strerror or "cannot be read") from error


def _all_contacts(here: Session, tenant_id: int, list_id: int | None) -> Iterator[dict[str, Any]]:
    after = 0
    while page := here.database.read_now(
        contacts.page, tenant_id, after=after, limit=_PAGE, list_id=list_id
    ):
        for row in page:
            yield {name: values(row)[name] for name in (*_FIELDS, "attributes")}
        after = page[-1].id


def _plain(name: str, value: str | None) -> str:
    """A cell that a spreadsheet will not take for a formula; numbers keep their plus."""
    text = value or ""
    return f"'{text}" if name != "phone" and text.startswith(_FORMULA) else text


COMMANDS = {"contact": contact}
