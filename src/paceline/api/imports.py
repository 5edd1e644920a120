"""Import of contacts: the body is the file, plain or as a form's upload."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, BinaryIO, Literal, NamedTuple, Self, cast

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.datastructures import UploadFile

from paceline.api.context import (
    Ctx,
    IdempotencyKey,
    ManageCaller,
    Repeatable,
    first_of_its_key,
)
from paceline.api.values import QueryId
from paceline.domain.errors import InvalidInputError, Problem
from paceline.engine.import_preview import Preview, preview_contacts
from paceline.engine.imports import Imported, Reading, import_contacts

MAX_FILE = 256 * 1024 * 1024
_IN_MEMORY = 1024 * 1024
_READ = 64 * 1024
_FILE = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "phone,first_name\n+447911123456,Ana\n",
            },
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": _FILE,
            "application/vnd.oasis.opendocument.spreadsheet": _FILE,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "mapping": {"type": "string", "example": '{"Town":"city"}'},
                    },
                }
            },
        },
    }
}

router = APIRouter()


class RowFault(BaseModel):
    """What is wrong with one row; ``column`` null: with the row as a whole. The header is row 1."""

    row: int | None
    column: str | None
    reason: str


def _faults(problems: Sequence[Problem]) -> list[RowFault]:
    return [
        RowFault(row=each.row, column=each.where or None, reason=each.reason) for each in problems
    ]


class ImportResult(BaseModel):
    """``errors`` names bad rows and duplicates, the first thousand of them. ``import_id``: by which
    it can be looked at and undone.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "imported": 2,
                "updated": 1,
                "duplicates": 0,
                "invalid": 1,
                "errors": [{"row": 3, "column": "phone", "reason": "too short"}],
                "import_id": 7,
            }
        }
    )

    imported: int
    updated: int
    duplicates: int
    invalid: int
    errors: list[RowFault]
    import_id: int

    @classmethod
    def of(cls, imported: Imported) -> Self:
        return cls(
            imported=imported.imported,
            updated=imported.updated,
            duplicates=imported.duplicates,
            invalid=imported.invalid,
            errors=_faults(imported.errors),
            import_id=imported.id,
        )


class ColumnRead(BaseModel):
    """A column of the file and the field it fills; ``field`` null: it is left out."""

    header: str
    field: str | None


class ContactPreview(BaseModel):
    """A contact as it would be; ``new``: it is not there yet."""

    row: int
    new: bool
    phone: str
    first_name: str | None
    last_name: str | None
    attributes: dict[str, str]


class ImportPreview(BaseModel):
    """What an import would do. Nothing was written. The first ten contacts and problems."""

    dry_run: Literal[True] = True
    imported: int
    updated: int
    duplicates: int
    invalid: int
    columns: list[ColumnRead]
    contacts: list[ContactPreview]
    errors: list[RowFault]

    @classmethod
    def of(cls, preview: Preview) -> Self:
        return cls(
            imported=preview.imported,
            updated=preview.updated,
            duplicates=preview.duplicates,
            invalid=preview.invalid,
            columns=[ColumnRead(header=c.header, field=c.field) for c in preview.columns],
            contacts=[
                ContactPreview.model_validate(each, from_attributes=True)
                for each in preview.contacts
            ],
            errors=_faults(preview.errors),
        )


class Upload(NamedTuple):
    """A file that has come whole, and what a form said beside it."""

    file: BinaryIO
    name: str
    mapping: str | None


@router.post(
    "/contacts/import",
    openapi_extra=_BODY,
    summary="Import contacts from a file",
    response_model=ImportResult | ImportPreview,
)
async def import_file(
    request: Request,
    caller: ManageCaller,
    context: Ctx,
    list_id: QueryId = None,
    strict: Annotated[bool, Query(description="All rows or none.")] = False,
    default_country: Annotated[str | None, Query(min_length=2, max_length=2)] = None,
    mapping: Annotated[
        str | None,
        Query(
            max_length=20_000,
            description="A JSON object, header to field; null leaves the column out.",
            examples=['{"Mobile":"phone","Town":"city","Notes":null}'],
        ),
    ] = None,
    sheet: Annotated[
        str | None,
        Query(max_length=200, description="Of a workbook: which sheet. Without it, the first."),
    ] = None,
    dry_run: Annotated[
        bool, Query(description="Say what the import would do, and write nothing.")
    ] = False,
    key: IdempotencyKey = None,
) -> ImportResult | ImportPreview:
    """CSV, TSV, XLSX or ODS, told apart by what is in the file: the body as it is, or the upload of
    a form.
    """
    country = default_country.upper() if default_country else context.settings.default_country
    async with _received(request) as upload:
        reading = Reading(country, read_mapping(mapping or upload.mapping), sheet, upload.name)
        if dry_run:
            preview = await preview_contacts(
                context.database,
                caller.tenant_id,
                _chunks(upload.file),
                reading,
                list_id=list_id,
                erased_numbers=context.erased_numbers,
            )
            return ImportPreview.of(preview)
        repeat = Repeatable(None, "")
        if key is not None:
            digest = await asyncio.to_thread(_digest, upload)
            repeat = await first_of_its_key(request, context, caller, key, digest)
        result = await import_contacts(
            context.database,
            caller.tenant_id,
            _chunks(upload.file),
            reading=reading,
            list_id=list_id,
            strict=strict,
            once=repeat.once(200, ImportResult.of),
            erased_numbers=context.erased_numbers,
            actor=caller.actor,
        )
    return ImportResult.of(result)


def read_mapping(written: str | None) -> dict[str, str | None] | None:
    """A mapping as a query or a form has it.

    Raises:
        InvalidInputError: it is no JSON object of texts.
    """
    if written is None:
        return None
    try:
        return msgspec.json.decode(written, type=dict[str, str | None])
    except msgspec.DecodeError:
        raise InvalidInputError.of(
            "mapping", 'must be a JSON object such as {"Mobile": "phone", "Notes": null}'
        ) from None


@asynccontextmanager
async def _received(request: Request) -> AsyncIterator[Upload]:
    """The whole file, on disk when it is large: a slow upload must not hold staged rows."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=1, max_fields=10) as form:
            uploads = [each for each in form.values() if isinstance(each, UploadFile)]
            if not uploads:
                raise InvalidInputError.of("file", "the form has no file")
            mapping = form.get("mapping")
            yield Upload(
                uploads[0].file,
                "".join(filter(str.isprintable, uploads[0].filename or "")),
                mapping if isinstance(mapping, str) else None,
            )
        return
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spool:
        async for chunk in request.stream():
            await asyncio.to_thread(spool.write, chunk)
        spool.seek(0)
        yield Upload(cast("BinaryIO", spool), "", None)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    return iter(partial(file.read, _READ), b"")


def _digest(upload: Upload) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(upload.file):
        digest.update(chunk)
    if upload.mapping is not None:
        digest.update(b"\0" + upload.mapping.encode(errors="replace"))
    upload.file.seek(0)
    return digest.hexdigest()
