"""What was imported: listed, with the rows that were not taken, and undone."""

from __future__ import annotations

from typing import Any, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from starlette.responses import StreamingResponse

from paceline.api.context import Ctx, ManageCaller, ReadCaller
from paceline.api.pages import Cursor, Limit, Page, id_of, page_of
from paceline.api.values import Moment, PathId
from paceline.engine.exporting import rejected
from paceline.engine.undoing import undo_import
from paceline.storage import import_history
from paceline.storage.undoing import LeftAlone, Undone

router = APIRouter(prefix="/imports", tags=["imports"])
_CSV: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"example": "row,column,reason,phone\n3,phone,too short,12\n"}}}
}


class Import(BaseModel):
    """``name``: the file's, if that was said. ``undone_at``: since when it is undone."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 7,
                "name": "people.xlsx",
                "list_id": None,
                "imported": 2,
                "updated": 1,
                "duplicates": 0,
                "invalid": 1,
                "created_at": "2026-12-01T09:00:00.000Z",
                "undone_at": None,
            }
        }
    )

    id: int
    name: str
    list_id: int | None
    imported: int
    updated: int
    duplicates: int
    invalid: int
    created_at: Moment
    undone_at: Moment | None

    @classmethod
    def of(cls, row: Any) -> Self:
        return cls.model_validate(row, from_attributes=True)


class ImportUndone(BaseModel):
    """``removed``: contacts it had made. ``restored``: those it had changed, which are what they
    were. ``left_alone``: how many stay as they are, and ``why``.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"removed": 2, "restored": 1, "left_alone": 1, "why": {"written_to": 1}}
        }
    )

    removed: int
    restored: int
    left_alone: int
    why: dict[LeftAlone, int]

    @classmethod
    def of(cls, undone: Undone) -> Self:
        return cls(
            removed=undone.removed,
            restored=undone.restored,
            left_alone=undone.left_alone.total(),
            why=dict(undone.left_alone),
        )


@router.get("", summary="List imports")
async def list_imports(
    caller: ReadCaller, context: Ctx, limit: Limit = 100, cursor: Cursor = None
) -> Page[Import]:
    """Newest first."""
    rows = await context.database.read(
        import_history.page, caller.tenant_id, before=id_of(cursor), limit=limit + 1
    )
    return page_of(rows, limit, Import.of, lambda row: row.id)


@router.get("/{import_id}", summary="Show an import")
async def get_import(import_id: PathId, caller: ReadCaller, context: Ctx) -> Import:
    return Import.of(await context.database.read(import_history.get, caller.tenant_id, import_id))


@router.get(
    "/{import_id}/rejected",
    summary="Get the rows that an import did not take",
    response_class=StreamingResponse,
    responses=_CSV,
)
async def get_rejected(import_id: PathId, caller: ReadCaller, context: Ctx) -> StreamingResponse:
    """As CSV: row, column and reason, then the row as it was. Kept for 30 days."""
    made = await context.database.read(import_history.get, caller.tenant_id, import_id)
    return StreamingResponse(
        rejected(context.database, made),
        media_type="text/csv",
        headers={"Content-Disposition": f'attachment; filename="rejected-{made.id}.csv"'},
    )


@router.post("/{import_id}/undo", summary="Undo an import")
async def undo(import_id: PathId, caller: ManageCaller, context: Ctx) -> ImportUndone:
    """Within 30 days. What has changed or was used since is left alone. If it breaks off, ask
    again: it goes on where it was.
    """
    undone = await undo_import(context.database, caller.tenant_id, import_id, actor=caller.actor)
    return ImportUndone.of(undone)
