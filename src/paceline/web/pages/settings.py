"""Settings: what holds and where it comes from, who may do what, webhooks, and who changed what."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response
from starlette.routing import BaseRoute

from paceline.domain.errors import InvalidInputError
from paceline.domain.role import Role
from paceline.engine import staff
from paceline.engine.endpoints import Endpoints
from paceline.settings import describe
from paceline.storage import audit_log, users, webhook_deliveries, webhook_endpoints
from paceline.web.pages import fields
from paceline.web.site import Site
from paceline.web.visits import Visit

_AUDITED = 50


def routes(site: Site) -> list[BaseRoute]:
    pages = _Settings(site)
    manager = Role.MANAGER
    return [
        site.route("/settings", pages.page),
        site.route("/settings/users", pages.add_user, least=manager, method="POST"),
        site.route("/settings/users/{id:int}", pages.change_user, least=manager, method="POST"),
        site.route("/settings/webhooks/{id:int}", pages.webhook, least=manager),
        site.route(
            "/settings/webhooks/{id:int}/replay", pages.replay, least=manager, method="POST"
        ),
    ]


class _Settings:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def page(self, visit: Visit) -> Response:
        """All of it; of the audit log what is before an entry, if one is named."""
        before = fields.whole(visit.request.query_params.get("before"))
        managing, everything = visit.may(Role.MANAGER), visit.may(Role.ADMIN)

        def read(connection: Connection) -> dict[str, Any]:
            if not managing:
                return {"users": [], "endpoints": [], "audit": []}
            tenant_id = visit.who.tenant_id
            return {
                "users": users.of_tenant(connection, tenant_id),
                "endpoints": webhook_endpoints.all_of(connection, tenant_id),
                "audit": audit_log.page(connection, tenant_id, before=before, limit=_AUDITED + 1),
            }

        found = await visit.database.read(read)
        if visit.is_partial:
            return visit.page("settings_audit.html", **_first(found["audit"]))
        return visit.page(
            "settings.html",
            users=found["users"],
            endpoints=found["endpoints"],
            configuration=describe(self._site.settings) if everything else [],
            **_first(found["audit"]),
        )

    async def add_user(self, visit: Visit) -> Response:
        form = await visit.form()
        await staff.add(
            visit.database,
            visit.who,
            login=form.get("login", ""),
            password=form.get("password", ""),
            role=_role(form.get("role", "")),
        )
        return visit.to("/settings#users")

    async def change_user(self, visit: Visit) -> Response:
        form = await visit.form()
        await staff.change(
            visit.database,
            visit.who,
            visit.request.path_params["id"],
            role=_role(form["role"]) if "role" in form else None,
            password=form.get("password") or None,
            disabled={"disable": True, "enable": False}.get(form.get("action", "")),
        )
        return visit.to("/settings#users")

    async def webhook(self, visit: Visit) -> Response:
        """One endpoint and its deliveries."""
        which = visit.which

        def read(connection: Connection) -> tuple[Any, list[Any]]:
            endpoint = webhook_endpoints.get(connection, *which)
            return endpoint, webhook_deliveries.page(connection, *which)

        endpoint, deliveries = await visit.database.read(read)
        return visit.page("webhook.html", endpoint=endpoint, deliveries=deliveries)

    async def replay(self, visit: Visit) -> Response:
        form = await visit.form()
        endpoint_id, wanted = visit.request.path_params["id"], fields.whole(form.get("delivery"))
        if wanted is None:
            raise InvalidInputError.of("delivery", "must be the id of a delivery")
        endpoints = Endpoints(visit.database, visit.who.tenant_id, visit.who.actor)
        await endpoints.replay_one(endpoint_id, wanted)
        visit.orders.wake()
        return visit.to(f"/settings/webhooks/{endpoint_id}")


def _first(rows: list[Any]) -> dict[str, Any]:
    shown = rows[:_AUDITED]
    return {"audit": shown, "more": shown[-1].id if len(rows) > _AUDITED else None}


def _role(written: str) -> Role:
    if written not in set(Role):
        raise InvalidInputError.of("role", f"must be one of {', '.join(Role)}")
    return Role(written)
