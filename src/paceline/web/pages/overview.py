"""The first page: what is sending, how fast, and what needs somebody."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.responses import Response
from starlette.routing import BaseRoute

from paceline.domain.campaign import CampaignStatus
from paceline.domain.eta import Eta
from paceline.engine import previewing
from paceline.engine.readings import Readings
from paceline.engine.rules import Rules
from paceline.engine.waiting import Cause
from paceline.engine.watched import Seen
from paceline.storage import last_hour, standings, tenants, watching
from paceline.storage.database import AnyRow, now
from paceline.storage.last_hour import LastHour
from paceline.storage.standings import Standing
from paceline.web.pages.lanes import Lane
from paceline.web.pages.live import Live
from paceline.web.site import Site
from paceline.web.visits import Visit

_SHOWN = 10
_LOOK_EVERY_S = 2.0
_HOUR_EVERY_S = 20.0
"""An hour at a hundred calls a second is some 360,000 attempts to go through."""
_LONG_MS = 10_000
"""A campaign that waits for a limit for longer is worth a word beside the others."""
_LIMITS = (Cause.TENANT_LIMIT, Cause.ACCOUNT_LIMIT, Cause.CAMPAIGN_LIMIT)
_HOURS = (Cause.DAILY_CAP, Cause.QUIET_HOURS, Cause.SEND_WINDOW)


def routes(site: Site) -> list[BaseRoute]:
    pages = _Overview(site)
    return [
        site.route("/", pages.page),
        site.route("/overview/now", pages.now),
        site.route("/overview/hour", pages.hour),
    ]


@dataclass(frozen=True, slots=True)
class Troubles:
    """What needs somebody, or at least a look."""

    accounts: Sequence[AnyRow]
    """Held, or closed for a while."""
    unsettled: Sequence[AnyRow]
    singles: int
    """Unconfirmed messages without a campaign."""
    failing: Sequence[AnyRow]


@dataclass(frozen=True, slots=True)
class Now:
    """A tenant at one moment, for all who look at its overview."""

    at: int
    tenant: Lane
    sending: Sequence[Live]
    more: int
    """Campaigns that are sending beside those."""
    etas: Mapping[int, tuple[Eta, int]]
    """Campaign's id → how long it takes yet, and when it will be over."""
    scheduled: Sequence[AnyRow]
    troubles: Troubles

    @property
    def accounts(self) -> dict[str, Lane]:
        """The limits of the traffic accounts that something is sent on, by their names."""
        return {each.account_name: each.account for each in self.sending}

    @property
    def waiting(self) -> list[Live]:
        """Campaigns that a limit or the time of the day holds up for a while."""
        return [each for each in self.sending if self._is_held_up(each)]

    def _is_held_up(self, live: Live) -> bool:
        waiting = live.shown.waiting_for
        if waiting is None or waiting.until is None:
            return False
        long = waiting.until - live.at >= _LONG_MS
        return waiting.cause in _HOURS or (waiting.cause in _LIMITS and long)

    @property
    def all_is_well(self) -> bool:
        troubles = self.troubles
        found = (troubles.accounts, troubles.unsettled, troubles.failing, self.waiting)
        return not any(found) and not troubles.singles


class _Overview:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._nows: Readings[int, Now] = Readings(self._look, good_for_s=_LOOK_EVERY_S)
        self._hours: Readings[int, LastHour] = Readings(self._look_back, good_for_s=_HOUR_EVERY_S)

    async def page(self, visit: Visit) -> Response:
        now, hour = await asyncio.gather(self._now(visit), self._hours.latest(visit.who.tenant_id))
        return visit.page("overview.html", now=now, hour=hour)

    async def now(self, visit: Visit) -> Response:
        """The part that changes."""
        return visit.page("overview_now.html", now=await self._now(visit))

    async def _now(self, visit: Visit) -> Now | None:
        """Of a crowd, some get one that is a little old; whoever comes back gets a new one."""
        return await self._nows.of(visit.who.tenant_id, to=visit.secret)

    async def hour(self, visit: Visit) -> Response:
        """The charts."""
        hour = await self._hours.latest(visit.who.tenant_id)
        return visit.page("overview_hour.html", hour=hour)

    async def _look_back(self, tenant_id: int) -> LastHour:
        return await self._site.database.of_tenant(tenant_id).read(last_hour.of, tenant_id)

    async def _look(self, tenant_id: int) -> Now:
        whole, orders = self._site.database, self._site.orders
        at, tenant, sending, more, scheduled, troubles = await whole.of_tenant(tenant_id).read(
            _state, tenant_id
        )
        # Others have their turns between, so this has to see what they have queued.
        etas = await whole.read(_etas, orders.rules, sending)
        pacing = orders.rules.pacing
        lives = [Live.of(Seen(each, orders.shown(each)), pacing) for each in sending]
        lane = Lane.of(tenant, pacing.tenant, at)
        return Now(at, lane, lives, more, etas, scheduled, troubles)


def _state(
    connection: Connection, tenant_id: int
) -> tuple[int, AnyRow, list[Standing], int, Sequence[AnyRow], Troubles]:
    ids = watching.under_way(connection, tenant_id, CampaignStatus.SENDING)
    return (
        now(connection),
        tenants.get(connection, tenant_id),
        standings.those(connection, tenant_id, ids[:_SHOWN]),
        len(ids[_SHOWN:]),
        watching.scheduled(connection, tenant_id, limit=_SHOWN),
        Troubles(
            watching.accounts_in_trouble(connection, tenant_id),
            watching.unsettled(connection, tenant_id),
            watching.unsettled_singles(connection, tenant_id),
            watching.failing(connection, tenant_id),
        ),
    )


def _etas(
    connection: Connection, rules: Rules, sending: Sequence[Standing]
) -> dict[int, tuple[Eta, int]]:
    found = {}
    for each in sending:
        campaign = each.campaign
        left = previewing.remaining(connection, rules, campaign.tenant_id, campaign.id)
        if left is not None:
            eta, at = left
            found[campaign.id] = (eta, at + eta.ms)
    return found
