"""Contacts as a file, as they are read."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from paceline.api.context import Ctx, ReadCaller
from paceline.api.values import QueryId
from paceline.engine import exporting
from paceline.engine.exporting import Format

router = APIRouter(tags=["people"])
MEDIA = {Format.CSV: "text/csv; charset=utf-8", Format.JSONL: "application/jsonl"}
"""What a file of an export says it is."""
_FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/csv": {"example": "phone,first_name,last_name,city\n+447911123456,Ana,,Leeds\n"},
            "application/jsonl": {
                "example": '{"phone":"+447911123456","first_name":"Ana","last_name":null,'
                '"attributes":{"city":"Leeds"}}\n'
            },
        }
    }
}


@router.get(
    "/contacts/export",
    summary="Export contacts",
    response_class=StreamingResponse,
    responses=_FILES,
)
async def export_contacts(
    caller: ReadCaller,
    context: Ctx,
    kind: Annotated[Format, Query(alias="format")] = Format.CSV,
    list_id: QueryId = None,
) -> StreamingResponse:
    """All contacts, or those of a list, by id. In CSV, a cell that a spreadsheet would take for a
    formula has an apostrophe before it, which an import takes away again; numbers have none.
    """
    prepared = await context.database.read(
        exporting.prepare, caller.tenant_id, kind=kind, list_id=list_id
    )
    return StreamingResponse(
        prepared(context.database).text(),
        media_type=MEDIA[kind],
        headers={"Content-Disposition": f'attachment; filename="contacts.{kind}"'},
    )
