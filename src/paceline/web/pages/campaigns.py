"""Campaigns: the list, and one that can be watched and told what to do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from paceline.domain.campaign import FINAL, CampaignStatus
from paceline.domain.errors import NotFoundError
from paceline.domain.role import Role
from paceline.engine.orders import Orders, Shown
from paceline.engine.readings import Readings
from paceline.storage import campaigns, standings, watching
from paceline.storage.database import AnyRow, DatabaseUnreachableError
from paceline.storage.doubt import Decision
from paceline.storage.watching import Throughput
from paceline.web.pages.lanes import Lane
from paceline.web.site import Site
from paceline.web.visits import Visit

T = TypeVar("T")
_PAGE = 25
_LONGEST_NAME = 200
_LOOK_EVERY_S = 0.5
"""However many watch a campaign: they share each look."""
_KEEP_ALIVE_S = 15.0
_LOOK_BACK_EVERY_S = 4.0
_HISTORY_STEPS, _HISTORY_STEP_MS = 60, 5_000
_BATCHES = 20


def routes(site: Site) -> list[BaseRoute]:
    pages = _Campaigns(site)
    orders: Mapping[str, Callable[[Orders, int, int], Awaitable[Any]]] = {
        "start": Orders.enqueue,
        "pause": Orders.pause,
        "resume": Orders.resume,
        "cancel": Orders.cancel,
        "unschedule": Orders.unschedule,
    }
    return [
        site.route("/campaigns", pages.all_of_them),
        site.route("/campaigns/{id:int}", pages.one),
        site.route("/campaigns/{id:int}/live", pages.live),
        site.route("/campaigns/{id:int}/events", pages.events),
        site.route("/campaigns/{id:int}/lately", pages.lately),
        site.route(
            "/campaigns/{id:int}/unconfirmed", pages.decide, least=Role.SENDER, method="POST"
        ),
        *(
            site.route(
                f"/campaigns/{{id:int}}/{verb}",
                pages.ordering(order),
                least=Role.SENDER,
                method="POST",
            )
            for verb, order in orders.items()
        ),
    ]


@dataclass(frozen=True, slots=True)
class Live:
    """A campaign at one moment, with both limits."""

    shown: Shown
    at: int
    tenant: Lane
    account: Lane
    account_name: str


@dataclass(frozen=True, slots=True)
class Lately:
    """What was handed to the provider in the last minutes, and what is under way."""

    throughput: Throughput
    batches: Sequence[AnyRow]

    @property
    def times(self) -> list[int]:
        first, step = self.throughput.since, self.throughput.step_ms
        return [first + step * number for number in range(len(self.throughput.calls))]

    @property
    def calls_a_second(self) -> list[float]:
        return [each * 1000 / self.throughput.step_ms for each in self.throughput.calls]


class _Campaigns:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._readings: Readings[tuple[int, int], Live] = Readings(
            self._look, good_for_s=_LOOK_EVERY_S
        )
        self._latelies: Readings[tuple[int, int], Lately] = Readings(
            self._look_back, good_for_s=_LOOK_BACK_EVERY_S
        )

    async def all_of_them(self, visit: Visit) -> Response:
        query = visit.request.query_params
        chosen = query.get("status", "")
        status = CampaignStatus(chosen) if chosen in set(CampaignStatus) else None
        before = int(query["before"]) if query.get("before", "").isdecimal() else None
        name = query.get("name", "").replace("\0", "").strip()[:_LONGEST_NAME]
        found = await visit.orders.campaigns(
            visit.who.tenant_id, before=before, limit=_PAGE + 1, status=status, name=name
        )
        more = found[_PAGE - 1].campaign.id if len(found) > _PAGE else None
        template = "campaigns_part.html" if visit.is_partial else "campaigns.html"
        return visit.page(
            template, campaigns=found[:_PAGE], more=more, status_chosen=chosen, name=name
        )

    async def one(self, visit: Visit) -> Response:
        live = await self._live(visit)
        lately = await self._of(self._latelies, visit)
        return visit.page("campaign.html", live=live, lately=lately)

    async def lately(self, visit: Visit) -> Response:
        """The last minutes, and the batches that are under way."""
        live = await self._live(visit)
        lately = await self._of(self._latelies, visit)
        return visit.page("campaign_lately.html", live=live, lately=lately)

    async def live(self, visit: Visit) -> Response:
        """The part that changes, once; the page asks for it when it is looked at again."""
        return visit.page("campaign_live.html", live=await self._live(visit))

    async def events(self, visit: Visit) -> Response:
        """The part that changes, whenever it does, as server-sent events."""
        await self._live(visit)
        return StreamingResponse(
            self._events(visit),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def decide(self, visit: Visit) -> Response:
        form = await visit.form()
        decision = Decision(form["action"])
        await visit.orders.decide(
            visit.who.tenant_id,
            visit.request.path_params["id"],
            decision,
        )
        return await self._changed(visit)

    def ordering(
        self, order: Callable[[Orders, int, int], Awaitable[Any]]
    ) -> Callable[[Visit], Awaitable[Response]]:
        """The page that gives an order and shows what came of it."""

        async def give(visit: Visit) -> Response:
            await visit.form()
            await order(visit.orders, visit.who.tenant_id, visit.request.path_params["id"])
            return await self._changed(visit)

        return give

    async def _changed(self, visit: Visit) -> Response:
        self._readings.forget()
        if visit.is_partial:
            return await self.live(visit)
        return visit.to(f"/campaigns/{visit.request.path_params['id']}")

    async def _live(self, visit: Visit) -> Live:
        return await self._of(self._readings, visit)

    async def _of(self, readings: Readings[tuple[int, int], T], visit: Visit) -> T:
        campaign_id = visit.request.path_params["id"]
        reading = await readings.of((visit.who.tenant_id, campaign_id))
        if reading is None:
            raise NotFoundError("campaign", campaign_id)
        return reading

    async def _look_back(self, whose: tuple[int, int]) -> Lately:
        tenant_id, campaign_id = whose

        def read(connection: Connection) -> Lately:
            campaigns.get(connection, tenant_id, campaign_id)
            calls = watching.throughput(
                connection,
                tenant_id,
                steps=_HISTORY_STEPS,
                step_ms=_HISTORY_STEP_MS,
                campaign_id=campaign_id,
            )
            return Lately(calls, watching.batches_of(connection, campaign_id, limit=_BATCHES))

        return await self._site.database.read(read)

    async def _look(self, whose: tuple[int, int]) -> Live:
        standing = await self._site.database.glance(standings.of, *whose)
        pacing = self._site.orders.rules.pacing
        return Live(
            self._site.orders.shown(standing),
            standing.at,
            Lane.of(standing.tenant, pacing.tenant, standing.at),
            Lane.of(standing.account, pacing.account, standing.at),
            standing.account.name,
        )

    async def _events(self, visit: Visit) -> AsyncIterator[str]:
        last = ""
        spoke = time.monotonic()
        while True:
            try:
                live = await self._live(visit)
            except (DatabaseUnreachableError, NotFoundError):
                return  # the page connects again, and is told then
            html = visit.html("campaign_figures.html", live=live)
            if html != last:
                yield _event("figures", html)
                last, spoke = html, time.monotonic()
            elif time.monotonic() - spoke >= _KEEP_ALIVE_S:
                yield ": still here\n\n"
                spoke = time.monotonic()
            campaign = live.shown.campaign
            if campaign.status in FINAL and campaign.queued == 0:
                yield _event("end", "")
                return
            await asyncio.sleep(_LOOK_EVERY_S)


def _event(name: str, data: str) -> str:
    lines = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    return f"event: {name}\n{lines}\n"
