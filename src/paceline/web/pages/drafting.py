"""A new campaign: to whom, what, when; then a look at all of it before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response
from starlette.routing import BaseRoute

from paceline.domain.campaign import CampaignStatus
from paceline.domain.errors import InvalidInputError, PacelineError
from paceline.domain.role import Role
from paceline.engine.drafts import NewCampaign
from paceline.engine.previewing import estimate
from paceline.engine.sampling import count_audience, sample
from paceline.engine.trying import send_test
from paceline.storage import accounts, campaigns, contacts, lists, segments
from paceline.web.site import Site
from paceline.web.visits import Visit

_CHOICES = 200
_WAITS = (CampaignStatus.DRAFT, CampaignStatus.SCHEDULED)


def routes(site: Site) -> list[BaseRoute]:
    pages = _Drafting(site)
    sender = Role.SENDER
    return [
        site.route("/campaigns/new", pages.form, least=sender),
        site.route("/campaigns/new", pages.create, least=sender, method="POST"),
        site.route("/campaigns/new/audience", pages.audience, least=sender, method="POST"),
        site.route("/campaigns/new/text", pages.text, least=sender, method="POST"),
        site.route("/campaigns/{id:int}/review", pages.review),
        site.route("/campaigns/{id:int}/test", pages.test, least=sender, method="POST"),
        site.route("/campaigns/{id:int}/schedule", pages.schedule, least=sender, method="POST"),
    ]


class _Drafting:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def form(self, visit: Visit) -> Response:
        return await self._form(visit, {})

    async def _form(
        self, visit: Visit, given: Mapping[str, str], error: PacelineError | None = None
    ) -> Response:
        tenant_id = visit.who.tenant_id

        def read(connection: Connection) -> dict[str, Any]:
            return {
                "lists": lists.page(connection, tenant_id, limit=_CHOICES),
                "segments": segments.page(connection, tenant_id, limit=_CHOICES),
                "accounts": accounts.all_of(connection, tenant_id),
                "attributes": sorted(contacts.attribute_names(connection, tenant_id)),
            }

        choices = await visit.database.read(read)
        status = 200 if error is None else 422
        return visit.page("campaign_new.html", status, given=given, error=error, **choices)

    async def create(self, visit: Visit) -> Response:
        """Make a draft, which is looked at before it is sent."""
        form = await visit.form()
        try:
            shown = await visit.orders.create_campaign(visit.who.tenant_id, _described(form))
        except InvalidInputError as error:
            return await self._form(visit, form, error)
        return visit.to(f"/campaigns/{shown.campaign.id}")

    async def audience(self, visit: Visit) -> Response:
        """How many people it would go to."""
        form = await visit.form()
        counted = await count_audience(
            visit.database,
            visit.who.tenant_id,
            list_id=_id(form.get("list", "")),
            segment_id=_id(form.get("segment", "")),
        )
        return visit.page("campaign_audience.html", counted=counted)

    async def text(self, visit: Visit) -> Response:
        """How it reads to somebody, and in how many parts."""
        form = await visit.form()
        if not form.get("text", "").strip():
            return visit.page("campaign_text.html", sample=None)
        found = await sample(
            visit.database,
            visit.who.tenant_id,
            form["text"],
            self._site.settings,
            list_id=_id(form.get("list", "")),
            segment_id=_id(form.get("segment", "")),
        )
        return visit.page("campaign_text.html", sample=found)

    async def review(self, visit: Visit) -> Response:
        """People, parts, cost and time of a draft or scheduled campaign."""
        which = visit.who.tenant_id, visit.request.path_params["id"]
        campaign = await visit.database.read(campaigns.get, *which)
        found = None
        if campaign.status in _WAITS:
            found = await estimate(visit.database, visit.orders.rules, *which)
        return visit.page("campaign_review.html", campaign=campaign, estimate=found)

    async def test(self, visit: Visit) -> Response:
        """Send it to a number of one's own."""
        form = await visit.form()
        message = await send_test(
            visit.orders,
            visit.who.tenant_id,
            visit.request.path_params["id"],
            to=form.get("to", ""),
            actor=visit.who.actor,
        )
        return visit.to(f"/messages/{message.id}")

    async def schedule(self, visit: Visit) -> Response:
        form = await visit.form()
        campaign_id = visit.request.path_params["id"]
        await visit.orders.schedule(
            visit.who.tenant_id, campaign_id, form.get("at", ""), visit.who.timezone
        )
        return visit.to(f"/campaigns/{campaign_id}")


def _described(form: Mapping[str, str]) -> NewCampaign:
    """What a form describes; empty fields are left to their defaults."""
    since, until = form.get("from", ""), form.get("until", "")
    return NewCampaign(
        name=form.get("name", ""),
        text=form.get("text", "").replace("\r\n", "\n"),
        list_id=_id(form.get("list", "")),
        segment_id=_id(form.get("segment", "")),
        sender=form.get("sender", "").strip() or None,
        traffic_account_id=_id(form.get("account", "")),
        send_window={"from": since, "until": until} if since or until else None,
    )


def _id(written: str) -> int | None:
    return int(written) if written.isascii() and written.isdecimal() else None
