"""The first page: what is sending, how fast, and what needs somebody."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from paceline.domain.campaign import CampaignStatus
from paceline.storage import watching
from paceline.web.site import Site
from paceline.web.visits import Visit

_MINUTES = 60
_SHOWN = 10


def routes(site: Site) -> list[BaseRoute]:
    return [site.route("/", _Overview(site).page), site.route("/overview/now", _Overview(site).now)]


class _Overview:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def page(self, visit: Visit) -> Response:
        throughput, now = await asyncio.gather(
            visit.database.read(
                watching.throughput, visit.who.tenant_id, steps=_MINUTES, step_ms=60_000
            ),
            self._now(visit),
        )
        return visit.page("overview.html", throughput=throughput, **now)

    async def now(self, visit: Visit) -> Response:
        """The part that changes."""
        return visit.page("overview_now.html", **await self._now(visit))

    async def _now(self, visit: Visit) -> dict[str, Any]:
        tenant_id = visit.who.tenant_id
        orders, database = visit.orders, visit.database
        sending, scheduled, unsettled, failing, accounts = await asyncio.gather(
            orders.campaigns(tenant_id, limit=_SHOWN, status=CampaignStatus.SENDING),
            orders.campaigns(tenant_id, limit=_SHOWN, status=CampaignStatus.SCHEDULED),
            database.read(watching.unsettled, tenant_id),
            database.read(watching.failing, tenant_id),
            database.read(watching.accounts_in_trouble, tenant_id),
        )
        return {
            "sending": sending,
            "scheduled": scheduled,
            "unsettled": unsettled,
            "failing": failing,
            "troubled": accounts,
        }
