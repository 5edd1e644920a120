"""Drafts, replaced while nothing of them has been sent."""

from __future__ import annotations

from fastapi import APIRouter

from paceline.api.campaigns import Campaign, NewCampaign
from paceline.api.context import Ctx, SendCaller
from paceline.api.values import PathId
from paceline.engine.composing import replace

router = APIRouter(prefix="/campaigns")


@router.put("/{campaign_id}")
async def replace_draft(
    campaign_id: PathId, body: NewCampaign, caller: SendCaller, context: Ctx
) -> Campaign:
    """Replace a draft by what would make a new campaign: what is left out is as in one that is made
    without it. With a `scheduled_at` it is scheduled.

    What is no draft any more is 409: take it off the schedule first, or make a new one; its hours
    and its speed can be changed while it is sent (PATCH). One that was made by a resend keeps its
    audience.
    """
    return Campaign.of(
        await replace(context.orders, caller.tenant_id, campaign_id, body.described())
    )
