"""The queue: what waits, what is under way, who works, what goes wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.responses import Response
from starlette.routing import BaseRoute

from paceline.domain.role import Role
from paceline.engine.attendance import is_left_lying
from paceline.engine.readings import Readings
from paceline.engine.rules import Rules
from paceline.storage import at_work, checkup, watching
from paceline.storage.at_work import Place, Queue
from paceline.storage.database import AnyRow
from paceline.web.site import Site
from paceline.web.visits import Visit

_WORKED_WITHIN_MS = 5 * 60_000
_LOOK_EVERY_S = 1.5
_MANY_RECEIPTS = 10_000


def routes(site: Site) -> list[BaseRoute]:
    pages = _Queue(site)
    return [site.route("/queue", pages.page), site.route("/queue/now", pages.now)]


@dataclass(frozen=True, slots=True)
class AtWork:
    """The queue at one moment, for all who look at it."""

    queue: Queue
    workers: Sequence[AnyRow]
    errors: Sequence[AnyRow]
    left_lying: bool
    """Work is due and no worker takes it up, whosever it is."""
    unsettled: Sequence[AnyRow]
    """The tenant's campaigns with messages in doubt."""
    singles: int
    """Of its messages without a campaign, those in doubt."""
    others_in_doubt: bool
    """Other tenants have some, too."""
    accounts: Sequence[AnyRow]
    """Those that send nothing at the moment."""

    @property
    def many_receipts(self) -> bool:
        return (self.queue.receipts or 0) > _MANY_RECEIPTS

    @property
    def calm(self) -> bool:
        """Nobody has to do anything."""
        queue = self.queue
        found = (self.left_lying, queue.unconfirmed, queue.leases_run_out, self.many_receipts)
        return not any(found) and not self.accounts and not queue.places[Place.RETRYING].batches


class _Queue:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._readings: Readings[tuple[int, bool], AtWork] = Readings(
            self._look, good_for_s=_LOOK_EVERY_S
        )

    async def page(self, visit: Visit) -> Response:
        return await self._page(visit, "queue.html")

    async def now(self, visit: Visit) -> Response:
        """The part that changes."""
        return await self._page(visit, "queue_now.html")

    async def _page(self, visit: Visit, template: str) -> Response:
        """An administrator sees everybody's, others what is their tenant's."""
        everybodys = visit.may(Role.ADMIN)
        found = await self._readings.of((visit.who.tenant_id, everybodys), to=visit.secret)
        state = self._site.worker_state
        return visit.page(
            template,
            found=found,
            everybodys=everybodys,
            has_worker=state is not None,
            worker_trouble=None if state is None else state(),
        )

    async def _look(self, who: tuple[int, bool]) -> AtWork:
        return await self._site.database.read(_look, self._site.orders.rules, *who)


def _look(connection: Connection, rules: Rules, tenant_id: int, everybodys: bool) -> AtWork:
    whose = None if everybodys else tenant_id
    queue = at_work.queue(connection, whose)
    return AtWork(
        queue,
        at_work.workers(connection, whose, within_ms=_WORKED_WITHIN_MS),
        at_work.errors(connection, whose),
        is_left_lying(checkup.work(connection), rules.pacing),
        watching.unsettled(connection, tenant_id),
        watching.unsettled_singles(connection, tenant_id),
        queue.unconfirmed > at_work.in_doubt(connection, tenant_id),
        watching.accounts_in_trouble(connection, whose),
    )
