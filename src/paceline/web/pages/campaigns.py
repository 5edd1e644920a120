"""Campaigns: the list, and one that can be watched and told what to do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy import Connection
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from paceline.domain.campaign import CampaignStatus
from paceline.domain.errors import (
    ChangedSinceError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
)
from paceline.domain.eta import Eta
from paceline.domain.role import Role
from paceline.engine import previewing
from paceline.engine.drafts import MAX_NAME
from paceline.engine.orders import Orders
from paceline.engine.readings import Readings
from paceline.engine.watched import Seen
from paceline.storage import campaigns, watching
from paceline.storage.database import AnyRow, DatabaseUnreachableError
from paceline.storage.watching import Throughput
from paceline.web.pages import drafting, fields
from paceline.web.pages.live import Live
from paceline.web.pages.speed import Speed
from paceline.web.site import Site, status_of
from paceline.web.visits import Visit

T = TypeVar("T")
_PAGE = 25

_KEEP_ALIVE_S = 15.0
_LASTS_S = 300.0
"""Then a stream ends and the page connects again: who may not see it any more is told so."""
_LOOK_BACK_EVERY_S = 4.5
"""Pages ask every five seconds; a million failures take PostgreSQL a third of one to count."""
_HISTORY_STEPS, _HISTORY_STEP_MS = 60, 5_000
_BATCHES = 8


def routes(site: Site) -> list[BaseRoute]:
    pages = _Campaigns(site)
    orders: Mapping[str, Callable[[Orders, int, int], Awaitable[Any]]] = {
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
        site.route("/campaigns/{id:int}/start", pages.start, least=Role.SENDER, method="POST"),
        site.route("/campaigns/{id:int}/speed", pages.speed, least=Role.SENDER, method="POST"),
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
class Lately:
    """What was handed to the provider in the last minutes, what is under way, what failed."""

    throughput: Throughput
    batches: Sequence[AnyRow]
    failed: int
    reasons: Sequence[AnyRow]
    """Why so many failed; of the same snapshot, so they sum up to it."""
    eta: Eta | None = None
    done_at: int | None = None
    """When the last call will be answered, if nothing comes between; milliseconds since 1970."""

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
        self._latelies: Readings[tuple[int, int], Lately] = Readings(
            self._look_back, good_for_s=_LOOK_BACK_EVERY_S
        )

    async def all_of_them(self, visit: Visit) -> Response:
        query = visit.request.query_params
        chosen = query.get("status", "")
        status = CampaignStatus(chosen) if chosen in set(CampaignStatus) else None
        before = fields.whole(query.get("before"))
        name = fields.printable(query.get("name", ""))[:MAX_NAME]
        found = await visit.orders.campaigns(
            visit.who.tenant_id, before=before, limit=_PAGE + 1, status=status, name=name
        )
        more = found[_PAGE - 1].campaign.id if len(found) > _PAGE else None
        template = "campaigns_part.html" if visit.is_partial else "campaigns.html"
        return visit.page(
            template, campaigns=found[:_PAGE], more=more, status_chosen=chosen, name=name
        )

    async def one(self, visit: Visit) -> Response:
        return await self._one(visit)

    async def _one(self, visit: Visit, speed: Speed | None = None) -> Response:
        live = await self._live(visit)
        lately = _there(await self._latelies.latest(visit.which), visit)
        status = status_of(speed.error) if speed else 200
        speed = speed or Speed.of(live.shown.campaign)
        return visit.page("campaign.html", status, live=live, lately=lately, speed=speed)

    async def lately(self, visit: Visit) -> Response:
        """The last minutes, and the batches that are under way."""
        live = await self._live(visit)
        lately = _there(await self._latelies.latest(visit.which), visit)
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

    async def start(self, visit: Visit) -> Response:
        """Start it, as it was when they looked at it if the form says when that was."""
        looked_at = (await visit.form()).get("looked_at") or None
        order = visit.orders.enqueue(*visit.which, unchanged_since=looked_at)
        try:
            return await self._ordered(visit, order, anew=True)
        except ChangedSinceError:
            return await drafting.look_again(visit)

    async def decide(self, visit: Visit) -> Response:
        decision = fields.decision(await visit.form())
        return await self._ordered(visit, visit.orders.decide(*visit.which, decision))

    async def speed(self, visit: Visit) -> Response:
        """Change how fast it goes and in which hours."""
        speed = Speed.written(await visit.form())
        try:
            shown = await visit.orders.change(*visit.which, speed.given())
        except (ConflictError, InvalidInputError) as error:
            if isinstance(error, ConflictError):  # what was written has become beside the point
                speed = Speed.of((await self._live(visit)).shown.campaign)
            speed = speed.refused(error)
            if not visit.is_partial:
                return await self._one(visit, speed)
            live = await self._live(visit)
            return visit.page("campaign_speed.html", status_of(error), live=live, speed=speed)
        if not visit.is_partial:
            return visit.to(f"/campaigns/{visit.request.path_params['id']}#speed")
        speed = Speed.of(shown.campaign, changed=True)
        return visit.page("campaign_speed.html", live=await self._live(visit), speed=speed)

    def ordering(
        self, order: Callable[[Orders, int, int], Awaitable[Any]]
    ) -> Callable[[Visit], Awaitable[Response]]:
        """The page that gives an order and shows what came of it."""

        async def give(visit: Visit) -> Response:
            await visit.form()
            anew = order is Orders.unschedule
            return await self._ordered(visit, order(visit.orders, *visit.which), anew=anew)

        return give

    async def _ordered(
        self, visit: Visit, order: Awaitable[Any], *, anew: bool = False
    ) -> Response:
        """Carry it out. If that cannot be, whoever watches goes on watching, and is told why.
        ``anew``: when it has been, the page has other parts.
        """
        try:
            await order
        except (ConflictError, InvalidInputError) as error:
            if not visit.is_partial:
                raise
            live = replace(await self._live(visit), error=error)
            return visit.page("campaign_live.html", status_of(error), live=live)
        if visit.is_partial and not anew:
            return await self.live(visit)
        return visit.to(f"/campaigns/{visit.request.path_params['id']}")

    async def _live(self, visit: Visit) -> Live:
        return self._as_shown(_there(await self._site.watched.latest(visit.which), visit))

    def _as_shown(self, seen: Seen) -> Live:
        return Live.of(seen, self._site.orders.rules.pacing)

    async def _look_back(self, whose: tuple[int, int]) -> Lately:
        whole, rules = self._site.database, self._site.orders.rules
        lately, left = await asyncio.gather(
            whole.of_tenant(whose[0]).read(_look_back, *whose),
            whole.read(previewing.remaining, rules, *whose),  # others have their turns between
        )
        if left is None:
            return lately
        eta, at = left
        return replace(lately, eta=eta, done_at=at + eta.ms)

    async def _events(self, visit: Visit) -> AsyncIterator[str]:
        last = ""
        began = spoke = time.monotonic()
        try:
            async for seen in self._site.watched.follow(visit.which):
                html = visit.html("campaign_figures.html", live=self._as_shown(seen))
                if html != last:
                    yield _event("figures", html)
                    last, spoke = html, time.monotonic()
                elif time.monotonic() - spoke >= _KEEP_ALIVE_S:
                    yield ": still here\n\n"
                    spoke = time.monotonic()
                if seen.settled:
                    yield _event("end", "")
                    return
                if time.monotonic() - began >= _LASTS_S:
                    return
        except (DatabaseUnreachableError, NotFoundError):
            return  # the page connects again, and is told then


def _look_back(connection: Connection, tenant_id: int, campaign_id: int) -> Lately:
    campaign = campaigns.get(connection, tenant_id, campaign_id)
    calls = watching.throughput(
        connection,
        tenant_id,
        steps=_HISTORY_STEPS,
        step_ms=_HISTORY_STEP_MS,
        campaign_id=campaign_id,
    )
    return Lately(
        calls,
        watching.batches_of(connection, campaign_id, limit=_BATCHES),
        campaign.failed,
        watching.reasons(connection, campaign_id) if campaign.failed else (),
    )


def _there(reading: T | None, visit: Visit) -> T:
    if reading is None:
        raise NotFoundError("campaign", visit.request.path_params["id"])
    return reading


def _event(name: str, data: str) -> str:
    lines = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    return f"event: {name}\n{lines}\n"
