"""The queue: what waits, what is under way, who works, and what goes wrong."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response
from starlette.routing import BaseRoute

from paceline.domain.role import Role
from paceline.storage import measures, watching
from paceline.storage.database import now
from paceline.web.site import Site
from paceline.web.visits import Visit

_WORKED_WITHIN_MS = 15 * 60_000


def routes(site: Site) -> list[BaseRoute]:
    pages = _Queue(site)
    return [site.route("/queue", pages.page), site.route("/queue/now", pages.now)]


class _Queue:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def page(self, visit: Visit) -> Response:
        return visit.page("queue.html", **await self._read(visit))

    async def now(self, visit: Visit) -> Response:
        """The part that changes."""
        return visit.page("queue_now.html", **await self._read(visit))

    async def _read(self, visit: Visit) -> dict[str, Any]:
        """The queue is the installation's; errors are the tenant's, an administrator sees all."""
        database, pacing = visit.database, visit.orders.rules.pacing
        whose = None if visit.may(Role.ADMIN) else visit.who.tenant_id

        def workers(connection: Connection) -> tuple[list[Any], int]:
            at_work = watching.workers(connection, within_ms=_WORKED_WITHIN_MS)
            return at_work, now(connection)

        measured, (at_work, at), errors = await asyncio.gather(
            database.read(measures.measure, pacing),
            database.read(workers),
            database.read(watching.batch_errors, whose),
        )
        return {"measured": measured, "workers": at_work, "at": at, "errors": errors}
