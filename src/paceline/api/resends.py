"""Sending a campaign again to those whom it failed to reach."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from paceline.api.campaigns import Campaign
from paceline.api.context import Ctx, Repeat, SendCaller
from paceline.api.values import Id, PathId, Request, Short, Text
from paceline.domain.message import Reason
from paceline.engine.resending import Resend, resend

router = APIRouter(prefix="/campaigns")


class NewResend(Request):
    """No ``reasons``: attempts_exhausted, undelivered, expired, rejected, rate_limit_exceeded and
    internal_error. What else is left out is as in the campaign that is sent again.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reasons": ["undelivered", "expired"]}]}
    )

    reasons: Annotated[list[Reason] | None, Field(max_length=20)] = None
    name: Text | None = None
    text: Text | None = None
    sender: Short | None = None
    traffic_account_id: Id | None = None


@router.post("/{campaign_id}/resend", status_code=201)
async def resend_failed(
    campaign_id: PathId, body: NewResend, caller: SendCaller, context: Ctx, repeat: Repeat
) -> Campaign:
    """Make a draft for those whom a completed or cancelled campaign failed to reach.

    Its audience is found when it starts: whose message in this campaign is failed then, for one of
    the reasons. Whom this campaign, or another that was made from it, has reached meanwhile is left
    out, and so is who has opted out.
    """
    shown = await resend(
        context.orders,
        caller.tenant_id,
        campaign_id,
        Resend(**body.model_dump()),
        once=repeat.once(201, Campaign.of),
    )
    return Campaign.of(shown)
