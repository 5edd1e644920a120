"""``GET /metrics``: what this process did and where the installation stands, for Prometheus.

What comes from the database is the same in every process (take the ``max`` of it); what a process
counted is its own (take the ``sum``). No label tells of a tenant, a campaign or a recipient, so the
page needs no key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping

from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paceline import __version__
from paceline.api.edge import GUARDED
from paceline.engine.measures import REGISTRY
from paceline.storage import measures
from paceline.storage.database import Database, DatabaseUnreachableError
from paceline.storage.limits import Pacing
from paceline.storage.measures import Measures

KEPT_S = 1.0
"""However many scrape, the database is asked once in this time."""
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

HTTP_REQUESTS = Counter(
    "paceline_http_requests",
    "Answered HTTP requests; the route is its template, or none.",
    ["method", "route", "status"],
    registry=REGISTRY,
)


class Metrics:
    """The page, and the last measures of the database."""

    def __init__(self, database: Database, pacing: Pacing) -> None:
        self.database = database
        self.pacing = pacing
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._measures: Measures | None = None

    def route(self) -> Route:
        return Route("/metrics", self.page, include_in_schema=False)

    async def page(self, _request: Request) -> Response:
        """Answers without the database's part when the database does not."""
        await self._refresh()
        shown = CollectorRegistry()
        shown.register(_Installation(self._measures))
        body = generate_latest(REGISTRY) + generate_latest(shown)
        return Response(body, media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def _refresh(self) -> None:
        async with self._asking:
            if time.monotonic() - self._asked_at < KEPT_S:
                return
            try:
                self._measures = await self.database.read(measures.measure, self.pacing)
            except DatabaseUnreachableError:
                self._measures = None
            self._asked_at = time.monotonic()


class Counted:
    """Counts answers by method, route and status; stands before everything that can answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Only now is it known which route took the request. Both labels are of a fixed
                # set, whatever somebody sends.
                method = scope["method"] if scope["method"] in _METHODS else "other"
                HTTP_REQUESTS.labels(method, _template(scope), message["status"]).inc()
            await send(message)

        await self.app(scope, receive, counted)


def _template(scope: Scope) -> str:
    """The path of the route that took the request, as it was declared; ``none`` without one."""
    route = scope.get("route")
    if route is None:  # those of Starlette do not leave themselves in the scope
        endpoint = scope.get("endpoint")
        routes = scope["app"].routes if endpoint is not None else ()
        route = next((each for each in routes if getattr(each, "endpoint", None) == endpoint), None)
    path = str(getattr(route, "path", "none"))
    # A route of an included router does not know the prefix that it was included under.
    lacks_prefix = isinstance(route, APIRoute) and scope["path"].startswith(f"{GUARDED}/")
    return GUARDED + path.removeprefix(GUARDED) if lacks_prefix else path


class _Installation(Collector):
    """The database's part of the page; ``measures`` None: it cannot be reached."""

    def __init__(self, measured: Measures | None) -> None:
        self.measured = measured

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield _labelled(
            "paceline_build_info", "The version that runs; always 1.", "version", {__version__: 1}
        )
        yield GaugeMetricFamily(
            "paceline_database_up",
            "1 while the database answers; without it the other gauges are left out.",
            self.measured is not None,
        )
        if self.measured is not None:
            yield from _gauges(self.measured)


def _gauges(measured: Measures) -> Iterator[GaugeMetricFamily]:
    yield _labelled(
        "paceline_batches", "Batches that are not finished.", "status", measured.batches
    )
    yield _labelled("paceline_campaigns", "Campaigns.", "status", measured.campaigns)
    yield GaugeMetricFamily(
        "paceline_oldest_queued_seconds",
        "For how long the batch that waits longest could have gone.",
        measured.oldest_queued_ms / 1000,
    )
    yield GaugeMetricFamily(
        "paceline_messages_unconfirmed",
        "Messages that may have been accepted and nothing has proven it.",
        measured.unconfirmed,
    )
    yield GaugeMetricFamily(
        "paceline_receipts_waiting", "Receipts in the inbox.", measured.receipts
    )
    yield GaugeMetricFamily(
        "paceline_tenant_limit_used_ratio",
        "The fullest window among tenants that have batches queued, 0 to 1.",
        measured.tenant_used,
    )
    accounts = {str(each.id): each for each in measured.accounts}
    yield _labelled(
        "paceline_account_limit_used_ratio",
        "The share of a traffic account's window that is taken, 0 to 1.",
        "account_id",
        {key: each.used for key, each in accounts.items()},
    )
    yield _labelled(
        "paceline_account_held",
        "1 while the account waits to be released by an operator.",
        "account_id",
        {key: each.held for key, each in accounts.items()},
    )
    yield _labelled(
        "paceline_account_closed",
        "1 while the account is closed by a 429 or by its breaker, or probed.",
        "account_id",
        {key: each.closed for key, each in accounts.items()},
    )


def _labelled(
    name: str, purpose: str, label: str, values: Mapping[str, float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, purpose, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
