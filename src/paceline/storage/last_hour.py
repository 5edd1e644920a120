"""The last hour of a tenant, minute by minute: what was handed over, and what waited."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import BindParameter, Connection, bindparam, case, func, literal_column, or_, select

from paceline.domain.campaign import CampaignStatus
from paceline.domain.message import Reason
from paceline.domain.outcome import OutcomeKind
from paceline.storage import watching
from paceline.storage.among import among
from paceline.storage.database import AnyRow, now
from paceline.storage.schema import attempts, campaigns, messages, traffic_accounts

MINUTE_MS = 60_000
_MINUTES = 60
_CANCELLED_SHOWN = 50
"""The newest cancelled ones on each account, among which those of the hour are looked for."""


@dataclass(frozen=True, slots=True)
class LastHour:
    """An entry for each minute, the newest of which is under way."""

    since: int
    messages: list[int]
    """That providers answered for, whatever they said of each."""
    calls: list[int]
    queued: list[int]
    """Messages of campaigns that waited at the end of the minute; see ``of``."""

    @property
    def times(self) -> list[int]:
        return [self.since + MINUTE_MS * number for number in range(len(self.calls))]


def of(connection: Connection, tenant_id: int) -> LastHour:
    """A tenant's last hour, read by way of the time at which attempts began.

    Nobody has written down what was queued a minute ago. It is worked out backwards, campaign by
    campaign, from what is queued now: what providers have answered for since then was queued
    before, and so was what failed by a cancellation; before its start there was nothing. What a
    launch has not written yet counts as queued, so a campaign begins with its whole audience.
    So the last value is exact, and an earlier one is too low by what has left the queue in other
    ways since then: opted out, held back by a frequency cap, settled by a receipt or a decision. It
    may be too high, though never above the audience, by what was answered for and is tried again.
    """
    at = now(connection)
    first = at // MINUTE_MS - _MINUTES + 1
    since = first * MINUTE_MS
    span = range(first, first + _MINUTES)
    calls: dict[int, int] = defaultdict(int)
    answered: dict[int, int] = defaultdict(int)
    of_campaign: dict[int, dict[int, int]] = defaultdict(dict)
    for row in connection.execute(_ANSWERED, {"tenant": tenant_id, "since": since}):
        calls[row.minute] += row.calls
        answered[row.minute] += row.messages
        if row.campaign_id is not None:
            of_campaign[row.campaign_id][row.minute] = row.messages
    queued: dict[int, int] = defaultdict(int)
    for campaign in _campaigns(connection, tenant_id, set(of_campaign), since):
        left = dict(of_campaign[campaign.id])
        if campaign.status == CampaignStatus.CANCELLED and campaign.completed_at >= since:
            given_up = connection.execute(_GIVEN_UP, {"campaign": campaign.id}).scalar_one()
            minute = campaign.completed_at // MINUTE_MS
            left[minute] = left.get(minute, 0) + given_up
        for minute, waiting in _backwards(campaign, left, span).items():
            queued[minute] += waiting
    return LastHour(
        since,
        [answered[each] for each in span],
        [calls[each] for each in span],
        [queued[each] for each in span],
    )


def _backwards(campaign: AnyRow, left: Mapping[int, int], span: range) -> dict[int, int]:
    """What a campaign had queued at the end of each minute, from what has left its queue in it."""
    whole = max(campaign.audience, campaign.total)
    waiting = whole - campaign.processed if campaign.launching else campaign.queued
    found = {}
    for minute in reversed(span):
        if campaign.started_at is None or campaign.started_at >= (minute + 1) * MINUTE_MS:
            break
        found[minute] = waiting
        waiting = min(waiting + left.get(minute, 0), whole)
    return found


def _campaigns(connection: Connection, tenant_id: int, tried: set[int], since: int) -> list[AnyRow]:
    """Those that had calls, those that may have something queued, those cancelled lately."""
    under_way = watching.under_way(
        connection, tenant_id, CampaignStatus.SENDING, CampaignStatus.PAUSED
    )
    wanted = tried | set(under_way)
    for account_id in connection.execute(_ACCOUNTS, {"tenant": tenant_id}).scalars().all():
        which = {"tenant": tenant_id, "account": account_id, "since": since}
        wanted |= {
            row.id for row in connection.execute(_CANCELLED, which) if row.completed_at >= since
        }
    which = {"tenant": tenant_id, "ids": sorted(wanted)}
    return list(connection.execute(_CAMPAIGNS, which)) if wanted else []


_TENANT: BindParameter[int] = bindparam("tenant")
_MINUTE = attempts.c.started_at // literal_column(str(MINUTE_MS))
_ANSWERED = (
    select(
        _MINUTE.label("minute"),
        attempts.c.campaign_id,
        func.count().label("calls"),
        func.coalesce(
            func.sum(case((attempts.c.outcome == OutcomeKind.ANSWERED, attempts.c.size))), 0
        ).label("messages"),
    )
    .where(
        attempts.c.tenant_id == _TENANT,
        attempts.c.started_at >= bindparam("since"),
        or_(attempts.c.outcome.is_(None), attempts.c.outcome != OutcomeKind.VOID),
    )
    .group_by(_MINUTE, attempts.c.campaign_id)
)
_ACCOUNTS = select(traffic_accounts.c.id).where(
    or_(traffic_accounts.c.tenant_id.is_(None), traffic_accounts.c.tenant_id == _TENANT)
)
_CANCELLED = (
    select(campaigns.c.id, campaigns.c.completed_at)
    .where(
        campaigns.c.account_id == bindparam("account"),
        campaigns.c.tenant_id == _TENANT,
        campaigns.c.status == CampaignStatus.CANCELLED,
    )
    .order_by(campaigns.c.id.desc())
    .limit(_CANCELLED_SHOWN)
)
_CAMPAIGNS = select(
    campaigns.c.id,
    campaigns.c.status,
    campaigns.c.started_at,
    campaigns.c.completed_at,
    campaigns.c.audience,
    campaigns.c.launching,
    campaigns.c.total,
    campaigns.c.queued,
    campaigns.c.processed,
).where(campaigns.c.tenant_id == _TENANT, among(campaigns.c.id, "ids"))
_GIVEN_UP = select(func.count()).where(
    messages.c.campaign_id == bindparam("campaign"), messages.c.reason == Reason.CANCELLED
)
