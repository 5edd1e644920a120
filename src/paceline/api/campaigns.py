"""Campaigns: made, started, paused, watched."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from paceline.api.context import Context, Ctx, ReadCaller, Repeat, SendCaller
from paceline.api.messages import Decided, Message, Verdict
from paceline.api.pages import Cursor, Limit, Page, id_of, page_of
from paceline.api.values import (
    GivenFilter,
    Id,
    Moment,
    PathId,
    Permits,
    Request,
    Short,
    Text,
    Time,
    TimeOfDay,
    WindowMs,
)
from paceline.domain.campaign import CampaignStatus
from paceline.domain.errors import NotFoundError
from paceline.domain.message import MessageStatus, Reason
from paceline.domain.time_of_day import write_minutes
from paceline.engine.audiences import MAX_EXCLUDED
from paceline.engine.drafts import NewCampaign as Description
from paceline.engine.orders import Enqueued as EnqueuedCampaign
from paceline.engine.orders import Shown
from paceline.engine.schedule import local
from paceline.engine.waiting import Cause
from paceline.engine.watched import Seen
from paceline.storage import audience, campaigns, messages
from paceline.storage.database import DatabaseUnreachableError

router = APIRouter(prefix="/campaigns")

_KEEP_ALIVE_S = 15.0


class SendWindow(Request):
    """Times of the tenant's day; past midnight if ``until`` comes first."""

    model_config = ConfigDict(extra="forbid", serialize_by_alias=True)

    since: TimeOfDay = Field(alias="from")
    until: TimeOfDay

    @classmethod
    def of(cls, row: Any) -> Self | None:
        if row.window_from is None or row.window_until is None:
            return None
        since, until = map(write_minutes, (row.window_from, row.window_until))
        return cls.model_validate({"from": since, "until": until})


class NewCampaign(Request):
    """``scheduled_at``: ISO 8601 with an offset, or without one and with a ``timezone``. A time
    that a change of the clocks leaps over is as long after it; of one that comes twice the first
    counts.

    The audience: the contacts of the list, or all; of these, whom the segment or the filter means;
    without those who have a message of a campaign in ``exclude_campaign_ids``, and without the
    suppressed. A segment is read when the campaign starts.
    """

    name: Text
    text: Text
    list_id: Id | None = None
    segment_id: Id | None = None
    filter: GivenFilter | None = None
    exclude_campaign_ids: list[Id] = Field(default=[], max_length=MAX_EXCLUDED, examples=[[]])
    sender: Short | None = None
    traffic_account_id: Id | None = None
    scheduled_at: Time | None = None
    timezone: Short | None = None
    start_by: Time | None = None
    send_window: SendWindow | None = None
    rate_max: Permits | None = None
    rate_window_ms: WindowMs | None = None

    def described(self) -> Description:
        return Description(**self.model_dump(by_alias=True))


class Schedule(Request):
    """``start_by``: it starts by then or fails. ``unchanged_since``: as in ``Start``."""

    scheduled_at: Time
    timezone: Short | None = None
    start_by: Time | None = None
    unchanged_since: Time | None = None


class Start(Request):
    """``start_by``: the order is not meant any more after this moment. ``unchanged_since``: nor for
    a campaign that was changed after this one, which is the ``updated_at`` of what you looked at.
    """

    start_by: Time | None = None
    unchanged_since: Time | None = None


class CampaignChanges(Request):
    """What is left out stays; a null takes it away. It counts from the next call on."""

    start_by: Time | None = None
    send_window: SendWindow | None = None
    rate_max: Permits | None = None
    rate_window_ms: WindowMs | None = None


class WaitingFor(BaseModel):
    """Why a campaign is not sending this very moment; ``until`` null: a person has to act."""

    cause: Cause
    until: Moment | None
    detail: str


class Campaign(BaseModel):
    """``filter``: its own, or the segment's as the campaign started with it."""

    id: int
    name: str
    text: str
    sender: str
    list_id: int | None
    segment_id: int | None
    filter: dict[str, Any] | None
    exclude_campaign_ids: list[int]
    traffic_account_id: int
    parent_id: int | None
    """Which campaign it sends again, to those whom that failed to reach."""
    parent_reasons: list[Reason] | None
    status: CampaignStatus
    scheduled_at: Moment | None
    timezone: str | None
    scheduled_local: str | None
    """The scheduled moment on the clock of its time zone."""
    start_by: Moment | None
    send_window: SendWindow | None
    rate_max: int | None
    rate_window_ms: int | None
    error: str | None
    """Why it failed."""
    audience: int
    launching: bool
    total: int
    queued: int
    sent: int
    failed: int
    processed: int
    delivered: int
    unconfirmed: int
    waiting_for: WaitingFor | None
    created_at: Moment
    started_at: Moment | None
    completed_at: Moment | None
    updated_at: Moment

    @classmethod
    def of(cls, shown: Shown) -> Self:
        row = shown.campaign._mapping  # noqa: SLF001 - SQLAlchemy's public name
        waiting = shown.waiting_for
        return cls.model_validate(
            {
                **row,
                "traffic_account_id": row["account_id"],
                "exclude_campaign_ids": row["excluded_campaigns"] or [],
                "scheduled_local": local(row["scheduled_at"], row["timezone"]),
                "send_window": SendWindow.of(shown.campaign),
                "waiting_for": waiting
                and {"cause": waiting.cause, "until": waiting.until, "detail": waiting.detail},
            }
        )


class AudienceCount(BaseModel):
    """The three add up to all whom the list and the filter mean."""

    eligible: int
    """Would get a message."""
    excluded: int
    """Have a message of an excluded campaign, and are not suppressed."""
    suppressed: int


class Metrics(BaseModel):
    queued: int
    sent: int
    processed: int
    failed: int
    delivered: int
    unconfirmed: int


class StatusDocument(BaseModel):
    """A campaign and its metrics: one row, read once, so they always agree."""

    campaign: Campaign
    metrics: Metrics

    @classmethod
    def of(cls, shown: Shown) -> Self:
        metrics = Metrics.model_validate(shown.campaign, from_attributes=True)
        return cls(campaign=Campaign.of(shown), metrics=metrics)


class Enqueued(BaseModel):
    """``created`` and ``batches``: written so far; 0 when a paused campaign was resumed."""

    ok: bool
    campaign_id: int
    created: int
    batches: int

    @classmethod
    def of(cls, enqueued: EnqueuedCampaign) -> Self:
        return cls(
            ok=True,
            campaign_id=enqueued.campaign_id,
            created=enqueued.created,
            batches=enqueued.batches,
        )


@router.post("", status_code=201)
async def create_campaign(
    body: NewCampaign, caller: SendCaller, context: Ctx, repeat: Repeat
) -> Campaign:
    shown = await context.orders.create_campaign(
        caller.tenant_id, body.described(), once=repeat.once(201, Campaign.of)
    )
    return Campaign.of(shown)


@router.get("")
async def list_campaigns(
    caller: ReadCaller,
    context: Ctx,
    status: CampaignStatus | None = None,
    name: Annotated[Short | None, Query(description="What the name has in it.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Campaign]:
    """Newest first."""
    rows = await context.orders.campaigns(
        caller.tenant_id, before=id_of(cursor), limit=limit + 1, status=status, name=name
    )
    return page_of(rows, limit, Campaign.of, lambda shown: shown.campaign.id)


@router.get("/{campaign_id}")
async def get_campaign(campaign_id: PathId, caller: ReadCaller, context: Ctx) -> Campaign:
    return Campaign.of(await context.orders.campaign(caller.tenant_id, campaign_id))


@router.get("/{campaign_id}/audience")
async def count_audience(campaign_id: PathId, caller: ReadCaller, context: Ctx) -> AudienceCount:
    """Whom it would go to at this moment; of one that has started, by what it started with."""
    counted = await context.database.read(audience.count, caller.tenant_id, campaign_id)
    return AudienceCount.model_validate(counted, from_attributes=True)


@router.patch("/{campaign_id}")
async def change_campaign(
    campaign_id: PathId, body: CampaignChanges, caller: SendCaller, context: Ctx
) -> Campaign:
    """Change by when it starts, in which hours it is sent and how fast, also while it is sent."""
    given = body.model_dump(exclude_unset=True, by_alias=True)
    return Campaign.of(await context.orders.change(caller.tenant_id, campaign_id, given))


@router.post("/{campaign_id}/enqueue")
async def enqueue(
    campaign_id: PathId,
    caller: SendCaller,
    context: Ctx,
    repeat: Repeat,
    body: Start | None = None,
) -> Enqueued:
    """Start a draft or scheduled campaign; let a paused one go on."""
    enqueued = await context.orders.enqueue(
        caller.tenant_id,
        campaign_id,
        start_by=body.start_by if body else None,
        unchanged_since=body.unchanged_since if body else None,
        once=repeat.once(200, Enqueued.of),
    )
    return Enqueued.of(enqueued)


@router.post("/{campaign_id}/schedule")
async def schedule(
    campaign_id: PathId, body: Schedule, caller: SendCaller, context: Ctx
) -> Campaign:
    shown = await context.orders.schedule(
        caller.tenant_id,
        campaign_id,
        body.scheduled_at,
        body.timezone,
        body.start_by,
        unchanged_since=body.unchanged_since,
    )
    return Campaign.of(shown)


@router.post("/{campaign_id}/unschedule")
async def unschedule(campaign_id: PathId, caller: SendCaller, context: Ctx) -> Campaign:
    return Campaign.of(await context.orders.unschedule(caller.tenant_id, campaign_id))


@router.post("/{campaign_id}/pause")
async def pause(campaign_id: PathId, caller: SendCaller, context: Ctx) -> Campaign:
    return Campaign.of(await context.orders.pause(caller.tenant_id, campaign_id))


@router.post("/{campaign_id}/resume")
async def resume(campaign_id: PathId, caller: SendCaller, context: Ctx) -> Campaign:
    return Campaign.of(await context.orders.resume(caller.tenant_id, campaign_id))


@router.post("/{campaign_id}/cancel")
async def cancel(campaign_id: PathId, caller: SendCaller, context: Ctx) -> Campaign:
    return Campaign.of(await context.orders.cancel(caller.tenant_id, campaign_id))


@router.post("/{campaign_id}/unconfirmed")
async def decide(campaign_id: PathId, body: Verdict, caller: SendCaller, context: Ctx) -> Decided:
    """Settle what may have been sent: send it again, or count it as failed or as sent."""
    concerned = await context.orders.decide(caller.tenant_id, campaign_id, body.action)
    return Decided(ok=True, messages=concerned)


@router.get("/{campaign_id}/status", response_model=StatusDocument)
async def status_of(
    request: HttpRequest, campaign_id: PathId, caller: ReadCaller, context: Ctx
) -> Response:
    """Where it stands. Who polls alone always gets a fresh reading; of a crowd that polls the same
    campaign, some get one that is up to a quarter of a second old.
    """
    seen = await context.watched.of((caller.tenant_id, campaign_id), to=request.client)
    if seen is None:  # pragma: no cover - looking raises NotFoundError
        raise NotFoundError("campaign", campaign_id)
    return Response(seen.once(_document), media_type="application/json")


def _document(seen: Seen) -> str:
    return StatusDocument.of(seen.shown).model_dump_json()


@router.get("/{campaign_id}/messages")
async def list_messages(
    campaign_id: PathId,
    caller: ReadCaller,
    context: Ctx,
    status: MessageStatus | None = None,
    reason: Reason | None = None,
    in_doubt: Annotated[bool | None, Query(description="Only the unconfirmed, or none.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Message]:
    after = id_of(cursor) or 0
    await context.database.read(campaigns.get, caller.tenant_id, campaign_id)
    rows = await context.database.read(
        messages.page,
        caller.tenant_id,
        campaign_id=campaign_id,
        after=after,
        limit=limit + 1,
        status=status,
        reason=reason,
        in_doubt=in_doubt,
    )
    shown = partial(Message.of, sealer=context.sealer)
    return page_of(rows, limit, shown, lambda row: row.id)


@router.get(
    "/{campaign_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def events(campaign_id: PathId, caller: ReadCaller, context: Ctx) -> StreamingResponse:
    """Server-sent events: the status document as ``status`` whenever it has changed, and ``end``
    when nothing will change any more.
    """
    whose = (caller.tenant_id, campaign_id)
    await context.watched.latest(whose)
    return StreamingResponse(_events(context, whose), media_type="text/event-stream")


async def _events(context: Context, whose: tuple[int, int]) -> AsyncIterator[str]:
    last = ""
    spoke = time.monotonic()
    try:
        async for seen in context.watched.follow(whose):
            document = seen.once(_document)
            if document != last:
                yield f"event: status\ndata: {document}\n\n"
                last, spoke = document, time.monotonic()
            elif time.monotonic() - spoke >= _KEEP_ALIVE_S:
                yield ": still here\n\n"
                spoke = time.monotonic()
            if seen.over:
                yield "event: end\ndata: {}\n\n"
                return
    except (DatabaseUnreachableError, NotFoundError):
        return  # the client connects again, and is told then
