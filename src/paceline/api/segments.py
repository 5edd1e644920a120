"""Audience segments: filters over contacts, and whom they mean."""

from __future__ import annotations

from typing import Any, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field

from paceline.api.context import Ctx, ManageCaller, ReadCaller, Repeat
from paceline.api.pages import Cursor, Limit, Page, id_of, page_of
from paceline.api.people import Contact
from paceline.api.values import GivenFilter, Moment, PathId, Request, Short
from paceline.domain import segment_json, segment_text
from paceline.engine.audiences import read_filter
from paceline.storage import audience, idempotency, segments

router = APIRouter(prefix="/segments")


class NewSegment(Request):
    name: Short = Field(min_length=1, examples=["Athens, not written to this month"])
    filter: GivenFilter


class SegmentChanges(Request):
    """What is left out stays. Campaigns that have started keep what they started with."""

    name: Short = Field(default="", min_length=1)
    filter: GivenFilter = None


class SegmentFilter(Request):
    filter: GivenFilter


class Segment(BaseModel):
    """``filter`` and ``text`` say the same, to programs and to people."""

    id: int
    name: str
    filter: dict[str, Any]
    text: str
    created_at: Moment
    updated_at: Moment

    @classmethod
    def of(cls, row: Any) -> Self:
        text = segment_text.write(segment_json.read(row.filter))
        return cls.model_validate({**row._mapping, "text": text})  # noqa: SLF001 - SQLAlchemy's public name


class SegmentPreview(BaseModel):
    """Whom a filter means at this moment. ``count`` is without the suppressed; the examples are the
    oldest contacts of these.
    """

    count: int
    suppressed: int
    examples: list[Contact]
    filter: dict[str, Any]
    text: str

    @classmethod
    def of(cls, document: dict[str, Any], seen: audience.Preview) -> Self:
        return cls(
            count=seen.count,
            suppressed=seen.suppressed,
            examples=[Contact.of(row) for row in seen.examples],
            filter=document,
            text=segment_text.write(segment_json.read(document)),
        )


@router.post("", status_code=201)
async def create_segment(
    body: NewSegment, caller: ManageCaller, context: Ctx, repeat: Repeat
) -> Segment:
    row = await context.database.write(
        idempotency.run,
        caller.tenant_id,
        repeat.once(201, Segment.of),
        segments.create,
        caller.tenant_id,
        name=body.name,
        wanted=read_filter(body.filter),
    )
    return Segment.of(row)


@router.get("")
async def list_segments(
    caller: ReadCaller, context: Ctx, limit: Limit = 100, cursor: Cursor = None
) -> Page[Segment]:
    rows = await context.database.read(
        segments.page, caller.tenant_id, after=id_of(cursor) or 0, limit=limit + 1
    )
    return page_of(rows, limit, Segment.of, lambda row: row.id)


@router.post("/preview")
async def preview_filter(body: SegmentFilter, caller: ReadCaller, context: Ctx) -> SegmentPreview:
    """Count the contacts whom a filter means, and show ten; nothing is kept."""
    wanted = read_filter(body.filter)
    await context.database.read(segments.refuse_unknown, caller.tenant_id, wanted)
    seen = await context.database.read(audience.preview, caller.tenant_id, wanted)
    return SegmentPreview.of(segment_json.write(wanted), seen)


@router.get("/{segment_id}")
async def get_segment(segment_id: PathId, caller: ReadCaller, context: Ctx) -> Segment:
    return Segment.of(await context.database.read(segments.get, caller.tenant_id, segment_id))


@router.get("/{segment_id}/preview")
async def preview_segment(segment_id: PathId, caller: ReadCaller, context: Ctx) -> SegmentPreview:
    """Count the contacts whom it means at this moment, and show ten."""
    row = await context.database.read(segments.get, caller.tenant_id, segment_id)
    wanted = segment_json.read(row.filter)
    seen = await context.database.read(audience.preview, caller.tenant_id, wanted)
    return SegmentPreview.of(row.filter, seen)


@router.patch("/{segment_id}")
async def change_segment(
    segment_id: PathId, body: SegmentChanges, caller: ManageCaller, context: Ctx
) -> Segment:
    row = await context.database.write(
        segments.change,
        caller.tenant_id,
        segment_id,
        name=body.name or None,
        wanted=read_filter(body.filter) if "filter" in body.model_fields_set else None,
    )
    return Segment.of(row)


@router.delete("/{segment_id}", status_code=204)
async def delete_segment(segment_id: PathId, caller: ManageCaller, context: Ctx) -> None:
    """Refused while it is the audience of a campaign that has not started."""
    await context.database.write(segments.remove, caller.tenant_id, segment_id)
