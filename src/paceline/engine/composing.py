"""Campaigns that somebody is still composing: a draft is replaced as often as they like."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from paceline.domain.campaign import CampaignStatus
from paceline.domain.errors import InvalidInputError, NotADraftError, Problem
from paceline.engine.drafts import NewCampaign, campaign_values
from paceline.engine.orders import Orders, Shown
from paceline.storage import campaigns, standings
from paceline.storage.database import AnyRow
from paceline.storage.idempotency import AnsweredBefore, Once

_MADE = 201
_DIGEST = hashlib.sha256(b"compose").hexdigest()
"""Whatever is composed under a key is one campaign."""


async def replace(orders: Orders, tenant_id: int, campaign_id: int, new: NewCampaign) -> Shown:
    """Make a draft another one, as if it had been made so; one that sends another campaign again
    still does. With a ``scheduled_at`` it is scheduled.

    Raises:
        NotFoundError: this tenant has no such campaign.
        NotADraftError: it is no draft any more.
        InvalidInputError: with every fault of the description; nothing is changed.
        SimulatorOnlyError: these are a test's orders, and the campaign is none.
    """
    values = await orders.database.read(_checked, orders, tenant_id, campaign_id, new)

    def write(connection: Connection) -> Shown:
        campaigns.lock(connection, tenant_id, campaign_id)
        orders.may_touch(connection, tenant_id, campaign_id)
        campaigns.replace(connection, tenant_id, campaign_id, **values, actor=orders.actor)
        return orders.shown(standings.of(connection, tenant_id, campaign_id))

    shown = await orders.database.write(write)
    orders.wake()
    return shown


async def compose(
    orders: Orders,
    tenant_id: int,
    new: NewCampaign,
    *,
    campaign_id: int | None = None,
    key: str | None = None,
) -> Shown:
    """Keep what somebody composes, to be looked at before it is sent: a draft. Its time is checked
    and not kept: they schedule it when they have looked.

    Args:
        orders: what checks and wakes.
        tenant_id: whose it is.
        new: the whole of it.
        campaign_id: the draft that becomes this; None: a new one.
        key: of what is composed, if it has no id yet. Under one key there is one draft, for a day.

    Raises:
        InvalidInputError: with every fault; nothing is changed.
        NotFoundError: this tenant has no such campaign.
        NotADraftError: it is no draft any more.
    """
    await check(orders, tenant_id, new, campaign_id=campaign_id)
    later = dataclasses.replace(
        new, scheduled_at=None, timezone=None if new.start_by is None else new.timezone
    )
    if campaign_id is None:
        try:
            return await orders.create_campaign(tenant_id, later, once=_once(key))
        except AnsweredBefore as before:
            campaign_id = int(before.body)
    return await replace(orders, tenant_id, campaign_id, later)


async def check(
    orders: Orders, tenant_id: int, new: NewCampaign, *, campaign_id: int | None = None
) -> None:
    """Say what is wrong with what somebody composes; raises as ``compose``."""
    await orders.database.read(_checked, orders, tenant_id, campaign_id, new)


def _checked(
    connection: Connection,
    orders: Orders,
    tenant_id: int,
    campaign_id: int | None,
    new: NewCampaign,
) -> dict[str, Any]:
    problems: list[Problem] = []
    if campaign_id is not None:
        orders.may_touch(connection, tenant_id, campaign_id)
        draft = campaigns.get(connection, tenant_id, campaign_id)
        if draft.status != CampaignStatus.DRAFT:
            raise NotADraftError(draft.status)
        problems += _audience_problems(draft, new)
    try:
        values = campaign_values(
            connection,
            tenant_id,
            new,
            max_parts=orders.settings.max_parts,
            public_url=orders.settings.public_url,
            test=orders.test,
        )
    except InvalidInputError as error:
        raise InvalidInputError(error.message, (*error.problems, *problems)) from None
    if problems:
        raise InvalidInputError("The campaign cannot be made.", tuple(problems))
    return values


def _audience_problems(draft: AnyRow, new: NewCampaign) -> Iterator[Problem]:
    """What is sent again has its audience from the campaign that it sends again."""
    if draft.parent_id is None:
        return
    for name in ("list_id", "segment_id", "filter", "exclude_campaign_ids"):
        if getattr(new, name):
            yield Problem(
                name,
                f"has no effect: this goes to those whom campaign {draft.parent_id} failed to "
                "reach. Leave it out, or make a new campaign",
            )


def _once(key: str | None) -> Once | None:
    """No key that comes with a request of the API has a space in it."""
    if key is None:
        return None
    return Once(f"compose {key}", _DIGEST, _MADE, lambda shown: str(shown.campaign.id))
