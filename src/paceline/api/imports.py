"""Import of contacts: the body is the file, plain or as a form's upload."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any, BinaryIO, Self

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from paceline.api.context import (
    Ctx,
    IdempotencyKey,
    ManageCaller,
    Repeatable,
    first_of_its_key,
)
from paceline.api.values import QueryId
from paceline.domain.errors import InvalidInputError
from paceline.engine.imports import import_contacts

MAX_FILE = 256 * 1024 * 1024
_IN_MEMORY = 1024 * 1024
_READ = 64 * 1024
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "phone,first_name\n+447911123456,Ana\n",
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
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


class ImportResult(BaseModel):
    """``errors`` names bad rows and duplicates, the first thousand of them."""

    imported: int
    updated: int
    duplicates: int
    invalid: int
    errors: list[RowFault]

    @classmethod
    def of(cls, imported: Any) -> Self:
        return cls(
            imported=imported.imported,
            updated=imported.updated,
            duplicates=imported.duplicates,
            invalid=imported.invalid,
            errors=[
                RowFault(row=each.row, column=each.where or None, reason=each.reason)
                for each in imported.errors
            ],
        )


@router.post("/contacts/import", openapi_extra=_BODY)
async def import_file(
    request: Request,
    caller: ManageCaller,
    context: Ctx,
    list_id: QueryId = None,
    strict: Annotated[bool, Query(description="All rows or none.")] = False,
    default_country: Annotated[str | None, Query(min_length=2, max_length=2)] = None,
    key: IdempotencyKey = None,
) -> ImportResult:
    country = default_country.upper() if default_country else context.settings.default_country
    async with _received(request) as file:
        repeat = Repeatable(None, "")
        if key is not None:
            digest = await asyncio.to_thread(_digest, file)
            repeat = await first_of_its_key(request, context, caller, key, digest)
        result = await import_contacts(
            context.database,
            caller.tenant_id,
            _chunks(file),
            default_country=country,
            list_id=list_id,
            strict=strict,
            once=repeat.once(200, ImportResult.of),
        )
    return ImportResult.of(result)


@asynccontextmanager
async def _received(request: Request) -> AsyncIterator[BinaryIO]:
    """The whole file, on disk when it is large: a slow upload must not hold staged rows."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=1, max_fields=10) as form:
            uploads = [each for each in form.values() if isinstance(each, UploadFile)]
            if not uploads:
                raise InvalidInputError.of("file", "the form has no file")
            yield uploads[0].file
        return
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spool:
        async for chunk in request.stream():
            await asyncio.to_thread(spool.write, chunk)
        spool.seek(0)
        yield spool  # type: ignore[misc]  # a binary file in all but its declared base


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    return iter(partial(file.read, _READ), b"")


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(file):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()
