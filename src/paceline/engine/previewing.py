"""Before sending: the exact texts, what they cost, and how long it will take; how long yet, then.

The audience is counted page by page, each on a snapshot of its own and in the database's threads:
others have their turns between, and a large one holds nothing for long.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection

from paceline.domain import eta, opt_out_link
from paceline.domain.campaign import CampaignStatus
from paceline.domain.errors import ConflictError
from paceline.domain.eta import Eta, Used
from paceline.domain.limits import Limit, Window
from paceline.domain.reach import Reach, Recipient
from paceline.domain.template import Template, compile_text, written_out
from paceline.engine.drafts import TOKEN, text_for
from paceline.engine.rendering import values_of
from paceline.engine.rules import Rules
from paceline.settings import Settings
from paceline.storage import campaigns, launches, lists, prices, queues, suppressions
from paceline.storage.database import AnyRow, Database
from paceline.storage.limits import limit_of, speed_of
from paceline.storage.queues import AccountQueue, LaneQueue
from paceline.storage.schema import campaigns as campaigns_table

_PAGE = 5_000
_ASSUMED_CALL_MS = 300
"""Of a call, on an account that has made none lately."""
_PLAYED_WHILE_SENT = 500
"""Calls that an estimate plays which is made again every few seconds, beside those who send."""
_BEFORE_START = (CampaignStatus.DRAFT, CampaignStatus.SCHEDULED)


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be sent if the campaign started now."""

    text: str
    """With its tags."""
    recipient: Recipient | None
    """The one asked for, or the first; None: the audience is empty."""
    suppressed: bool
    """That one has opted out, and would be left out."""
    reach: Reach
    took_ms: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a campaign would cost and how long it would take if it started now."""

    reach: Reach
    eta: Eta | None
    """None: there is nobody to send to, or nothing can be sent for now."""
    at: int
    """The moment that the estimate counts from."""
    held_why: str | None
    """Why nothing can be sent for now."""
    took_ms: int


async def preview(
    database: Database, tenant_id: int, campaign_id: int, contact_id: int | None = None
) -> Preview:
    """Preview a campaign, as if it started now.

    Args:
        database: where it is.
        tenant_id: whose it is.
        campaign_id: in any state.
        contact_id: whose text to show; None: the first recipient's.

    Raises:
        NotFoundError: this tenant has no such campaign or contact.
    """
    campaign = await database.read(campaigns.get, tenant_id, campaign_id)
    return await _preview(database, campaign, contact_id)


async def preview_text(
    database: Database,
    tenant_id: int,
    text: str,
    settings: Settings,
    *,
    list_id: int | None = None,
    contact_id: int | None = None,
) -> Preview:
    """Preview a text before there is a campaign; arguments as ``preview``, and a list's id.

    Raises:
        NotFoundError: this tenant has no such list or contact.
        InvalidInputError: with every fault of the text.
    """
    frozen = await database.read(
        text_for,
        tenant_id,
        text,
        max_parts=settings.max_parts,
        public_url=settings.public_url,
    )
    if list_id is not None:
        await database.read(lists.get, tenant_id, list_id)
    nothing = dict.fromkeys(campaigns_table.columns.keys())
    given = {"tenant_id": tenant_id, "text": frozen, "list_id": list_id}
    return await _preview(database, SimpleNamespace(**nothing | given), contact_id)


async def estimate(
    database: Database,
    rules: Rules,
    tenant_id: int,
    campaign_id: int,
    *,
    whole: Database,
) -> Estimate:
    """What a draft or scheduled campaign would cost and how long it would take, starting now.

    Args:
        database: where it is.
        rules: of the installation.
        tenant_id: whose it is.
        campaign_id: a draft or scheduled.
        whole: the same, not confined to the tenant: the queues of others on its account count.
            Of them no more than a duration is told.

    Raises:
        NotFoundError: this tenant has no such campaign.
        ConflictError: it has been started; its report says what it costs.
    """
    began = time.perf_counter()
    campaign = await database.read(campaigns.get, tenant_id, campaign_id)
    if campaign.status not in _BEFORE_START:
        raise ConflictError(
            f"A campaign is estimated before it starts; this one is {campaign.status}. "
            "Its report has its figures."
        )
    reach = await _reach(database, campaign, text_with_empty_token(campaign.text))
    queue = await whole.read(queues.of_account, campaign.account_id, tenant_id)
    held = queue.account.held_why if queue.account.held_at is not None else None
    calls = _calls(queue, rules, reach.recipients)
    found = None if held or not calls else _eta(queue, rules, campaign, calls)
    return Estimate(reach, found, queue.at, held, _ms_since(began))


def remaining(
    connection: Connection, rules: Rules, tenant_id: int, campaign_id: int
) -> tuple[Eta, int] | None:
    """How long a campaign that is being sent will take yet, and the moment that this counts from.
    None: it is not being sent, nothing of it is left to be handed out, or its account is held.

    Args:
        connection: of a read that sees the queues of all tenants on its account.
        rules: of the installation.
        tenant_id: whose it is.
        campaign_id: which one.

    Raises:
        NotFoundError: this tenant has no such campaign.
    """
    campaign = campaigns.get(connection, tenant_id, campaign_id)
    if campaign.status != CampaignStatus.SENDING:
        return None
    queue = queues.of_account(connection, campaign.account_id, tenant_id, campaign_id)
    calls = queue.own.batches + _calls(queue, rules, queue.own.unwritten)
    if queue.account.held_at is not None or not calls:
        return None
    return _eta(queue, rules, campaign, calls, played=_PLAYED_WHILE_SENT), queue.at


async def _preview(database: Database, campaign: Any, contact_id: int | None) -> Preview:
    began = time.perf_counter()
    template = text_with_empty_token(campaign.text)
    chosen, suppressed = None, False
    if contact_id is not None:
        chosen, suppressed = await database.read(_one, campaign, template, contact_id)
    reach = await _reach(database, campaign, template)
    return Preview(campaign.text, chosen or reach.first, suppressed, reach, _ms_since(began))


def text_with_empty_token(text: str) -> Template:
    """A campaign's text, with zeros for the token of an opt-out link: before there is a message
    there is none, and what leads nowhere must not look as if it did.
    """
    return compile_text(written_out(text, TOKEN, "0" * opt_out_link.LENGTH))


def _one(
    connection: Connection, campaign: Any, template: Template, contact_id: int
) -> tuple[Recipient, bool]:
    """One contact's exact text, and whether they have opted out."""
    row = launches.person(connection, campaign, contact_id)
    values = values_of(row.merge_values)
    suppressed = suppressions.exists(connection, campaign.tenant_id, row.phone)
    return Recipient(row.id, row.phone, template.render(values)), suppressed


async def _reach(database: Database, campaign: Any, template: Template) -> Reach:
    reach = Reach(template, await database.read(prices.table, campaign.tenant_id))
    after, more = 0, True
    while more:
        after, more = await database.read(_count_page, campaign, reach, after)
    return reach


def _count_page(
    connection: Connection, campaign: Any, reach: Reach, after: int
) -> tuple[int, bool]:
    rows, last, more = launches.people(connection, campaign, after=after, limit=_PAGE)
    for row in rows:
        values = values_of(row.merge_values)
        reach.add(row.contact_id, row.phone, values)
    return last, more


def _calls(queue: AccountQueue, rules: Rules, recipients: int) -> int:
    """How many calls a launch makes for so many recipients on this account."""
    size = rules.batch_size_on(queue.account)
    return eta.calls_for(recipients, size, rules.launch_chunk or launches.CHUNK)


def _eta(
    queue: AccountQueue, rules: Rules, campaign: AnyRow, calls: int, played: int = eta.MOST_PLAYED
) -> Eta:
    """How long so many calls take on this account."""
    account = eta.Account(
        window=_used(queue.account, limit_of(queue.account, rules.pacing.account), queue.at),
        turn=queue.account.turn,
        at_once=rules.concurrency,
        call_ms=round(_ASSUMED_CALL_MS if queue.call_ms is None else queue.call_ms),
        closed_ms=max(0, (queue.account.closed_until or 0) - queue.at),
    )
    size = rules.batch_size_on(queue.account)
    lanes = [_lane(each, rules, size, queue.at) for each in queue.lanes]
    own = speed_of(campaign, rules.pacing)
    return eta.estimate(account, lanes, campaign.tenant_id, calls, own, played)


def _lane(lane: LaneQueue, rules: Rules, size: int, at: int) -> eta.Queue:
    chunk = rules.launch_chunk or launches.CHUNK
    unwritten = [eta.calls_for(recipients, size, chunk) for recipients in lane.unwritten]
    return eta.Queue(
        lane.row.tenant_id,
        lane.row.pass_,
        _used(lane.row, limit_of(lane.row, rules.pacing.tenant), at),
        (*lane.batches, *unwritten),
    )


def _used(row: Any, limit: Limit, at: int) -> Used:
    grants = Window.decode(row.grants).grants
    return Used(limit, tuple(at - time for time, permits in grants for _ in range(permits)))


def _ms_since(began: float) -> int:
    return round((time.perf_counter() - began) * 1000)
