"""Addresses where there is nothing."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from paceline.web.site import Site


def routes(site: Site) -> list[BaseRoute]:
    """Comes after all others."""
    return [_Nowhere("/{path:path}", _Pages(site).nowhere, include_in_schema=False)]


class _Pages:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def nowhere(self, request: Request) -> Response:
        """Says that there is no such page."""
        visitor = await self._site.visit(request) or self._site.visitor(request)
        return visitor.page("nowhere.html", 404)


class _Nowhere(Route):
    """Where a browser gets when there is nothing; programs are answered by the API."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Only pages that a browser goes to, and that are not the API's."""
        looks = scope["type"] == "http" and scope["method"] in {"GET", "HEAD"}
        if not looks or scope["path"].startswith("/api"):
            return Match.NONE, {}
        if "text/html" not in Headers(scope=scope).get("accept", ""):
            return Match.NONE, {}
        return super().matches(scope)
