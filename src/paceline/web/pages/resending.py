"""A new campaign for those whom one failed to reach, and what can be made of a campaign at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from paceline.domain import again
from paceline.domain.errors import ConflictError, InvalidInputError, PacelineError, WrongStateError
from paceline.domain.message import Reason
from paceline.domain.role import Role
from paceline.engine.resending import Resend, resend
from paceline.storage import campaigns, reports
from paceline.web.site import Site, status_of
from paceline.web.visits import Visit

_REASON = "reason:"
"""Before a reason, in the name of a field."""


def routes(site: Site) -> list[BaseRoute]:
    pages = _Resending()
    sender = Role.SENDER
    return [
        site.route("/campaigns/{id:int}/next", pages.next_steps),
        site.route("/campaigns/{id:int}/resend", pages.choose, least=sender),
        site.route("/campaigns/{id:int}/resend", pages.make, least=sender, method="POST"),
    ]


@dataclass(frozen=True, slots=True)
class Failed:
    """Messages that failed for one reason."""

    reason: Reason
    count: int
    chosen: bool


class _Resending:
    async def next_steps(self, visit: Visit) -> Response:
        """What can be made of it, as it stands now."""
        which = visit.which
        campaign = await visit.database.read(campaigns.get, *which)
        return visit.page("campaign_next.html", campaign=campaign)

    async def choose(self, visit: Visit) -> Response:
        usual = {f"{_REASON}{each}": "on" for each in again.USUALLY}
        return await self._page(visit, usual)

    async def make(self, visit: Visit) -> Response:
        """Make the draft, and go to where it is edited."""
        form = await visit.form()
        reasons = [each for each in again.ALLOWED if f"{_REASON}{each}" in form]
        which = visit.which
        try:
            made = await resend(visit.orders, *which, Resend(reasons=reasons))
        except (InvalidInputError, ConflictError) as error:
            return await self._page(visit, form, error)
        return visit.to(f"/campaigns/{made.campaign.id}/edit")

    async def _page(
        self, visit: Visit, given: Mapping[str, Any], error: PacelineError | None = None
    ) -> Response:
        which = visit.which
        campaign = await visit.database.read(campaigns.get, *which)
        counted = await visit.database.read(reports.reasons, *which)
        failed = [
            Failed(each, counted[each], f"{_REASON}{each}" in given)
            for each in again.ALLOWED
            if counted.get(each)
        ]
        if error is None and campaign.status not in again.FROM:
            raise WrongStateError("resend", campaign.status, again.FROM)
        status = status_of(error)
        values = {"campaign": campaign, "failed": failed, "error": error}
        return visit.page("campaign_resend.html", status, **values)
