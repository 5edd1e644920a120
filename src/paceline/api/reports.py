"""After sending: what became of a campaign, as figures and as a file."""

from __future__ import annotations

from typing import Annotated, Any, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict
from starlette.responses import StreamingResponse

from paceline.api.context import Ctx, ReadCaller
from paceline.api.exports import MEDIA
from paceline.api.money import Amount, amounts_of
from paceline.api.values import Moment, PathId
from paceline.domain import hourly
from paceline.domain.campaign import CampaignStatus
from paceline.domain.message import MessageStatus, Reason
from paceline.engine import reporting
from paceline.engine.exporting import Format
from paceline.engine.message_exports import export

router = APIRouter(prefix="/campaigns")

_FUNNEL: JsonDict = {
    "audience": 1000,
    "queued": 0,
    "sent": 970,
    "delivered": 941,
    "failed": 30,
    "unconfirmed": 0,
}
_EXAMPLE: JsonDict = {
    "campaign_id": 7,
    "status": "completed",
    "at": "2026-12-01T10:30:00.000Z",
    "funnel": _FUNNEL,
    "reasons": [{"reason": "undelivered", "messages": 30}],
    "timezone": "Europe/Athens",
    "hours": [{"hour": "2026-12-01T11:00:00+02:00", "sent": 970, "delivered": 941, "failed": 30}],
    "taken": 1000,
    "parts": 1040,
    "cost": [{"currency": "EUR", "amount": "44.20"}],
    "without_price": 0,
    "started_at": "2026-12-01T09:00:00.000Z",
    "completed_at": "2026-12-01T09:00:40.000Z",
    "duration_ms": 40000,
    "per_second": 25.0,
}
_FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {
            "text/csv": {"example": "id,to,text,status,…\n1,+306912345678,Hello Ana,sent,…\n"},
            "application/jsonl": {"example": '{"id":1,"to":"+306912345678","status":"sent"}\n'},
        },
    }
}


class Funnel(BaseModel):
    """The campaign's counters: ``queued + sent + failed`` are all messages."""

    audience: int
    queued: int
    sent: int
    delivered: int
    failed: int
    unconfirmed: int


class ReasonCount(BaseModel):
    reason: Reason
    messages: int


class HourCount(BaseModel):
    """``hour``: when it began, on the tenant's clock. What was sent and then not delivered is in
    ``failed`` only.
    """

    hour: str
    sent: int
    delivered: int
    failed: int


class Report(BaseModel):
    """What became of a campaign: all of one moment. ``cost`` is that of ``parts``, the parts of the
    messages that the provider took (``taken``: sent, or sent and not delivered), by the prices as
    they are now.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    campaign_id: int
    status: CampaignStatus
    at: Moment
    funnel: Funnel
    reasons: list[ReasonCount]
    timezone: str
    hours: list[HourCount]
    taken: int
    parts: int
    cost: list[Amount]
    without_price: int
    """Messages to numbers without a price; they are not in ``cost``."""
    started_at: Moment | None
    completed_at: Moment | None
    duration_ms: int | None
    per_second: float | None

    @classmethod
    def of(cls, report: reporting.Report) -> Self:
        row = report.campaign
        counted = sorted(report.reasons.items(), key=lambda each: (-each[1], each[0]))
        return cls(
            campaign_id=row.id,
            status=row.status,
            at=report.at,
            funnel=Funnel.model_validate(row, from_attributes=True),
            reasons=[ReasonCount(reason=Reason(why), messages=n) for why, n in counted],
            timezone=report.zone.key,
            hours=[
                HourCount(
                    hour=hourly.shown(each.at, report.zone),
                    sent=each.sent,
                    delivered=each.delivered,
                    failed=each.failed,
                )
                for each in report.hours
            ],
            taken=report.taken,
            parts=report.parts,
            cost=amounts_of(report.cost),
            without_price=report.cost.unpriced,
            started_at=row.started_at,
            completed_at=row.completed_at,
            duration_ms=report.duration_ms,
            per_second=report.per_second,
        )


@router.get("/{campaign_id}/report")
async def get_report(campaign_id: PathId, caller: ReadCaller, context: Ctx) -> Report:
    """What became of a campaign: funnel, reasons, hours, cost, duration."""
    return Report.of(
        await context.database.read(
            reporting.report, caller.tenant_id, campaign_id, context.parts_known
        )
    )


@router.get("/{campaign_id}/messages/export", response_class=StreamingResponse, responses=_FILES)
async def export_messages(
    campaign_id: PathId,
    caller: ReadCaller,
    context: Ctx,
    kind: Annotated[Format, Query(alias="format", description="What the file is.")] = Format.CSV,
    status: Annotated[MessageStatus | None, Query(description="Only these; else all.")] = None,
) -> StreamingResponse:
    """All messages of a campaign as a file, with their exact texts.

    Cells of a CSV that begin like a formula have an apostrophe before them. Messages that change
    meanwhile are as they were when their line was written.
    """
    begun = await export(
        context.database, context.sealer, caller.tenant_id, campaign_id, kind, status
    )
    name = f"campaign-{campaign_id}.{kind}"
    return StreamingResponse(
        begun.chunks(),
        media_type=MEDIA[kind],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
