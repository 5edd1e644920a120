"""The application: routes, what stands before them, and what they work with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.telemetry import TelemetryConfig

from paceline import __version__
from paceline.api import (
    audit,
    campaigns,
    docs,
    drafts,
    endpoints,
    erasures,
    exports,
    health,
    import_history,
    imports,
    keys,
    messages,
    operations,
    people,
    previews,
    prices,
    problems,
    reports,
    resends,
    segments,
    tenants,
    unsubscribe,
)
from paceline.api.context import SCHEME, Context, documented_key
from paceline.api.edge import GUARDED, Authentication, BodyLimit, Edge
from paceline.api.inbound_limit import InboundLimit, limit_of
from paceline.api.metrics import Counted, Metrics
from paceline.api.webhooks import Webhooks
from paceline.domain.scope import Scope
from paceline.engine.adapters import Adapters
from paceline.engine.erased_numbers import ErasedNumbers
from paceline.engine.interpreter import keep_the_event_loop_quick
from paceline.engine.orders import Orders
from paceline.engine.rendering import opt_out_tokens
from paceline.engine.rules import Rules
from paceline.engine.watched import watched
from paceline.settings import Settings
from paceline.storage.database import Database
from paceline.storage.sealing import sealer_of

_LARGER = {
    f"{GUARDED}/contacts/import": imports.MAX_FILE,
    f"{GUARDED}/prices": prices.MAX_FILE,
}
"""Path → the largest body it takes, where that is more than for others."""
_NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""We count and log for ourselves, and looking for somebody else who would costs every request."""


class _Described(FastAPI):
    """With problem documents in its description."""

    _described: dict[str, Any] | None = None

    def openapi(self) -> dict[str, Any]:
        described = super().openapi()
        if described is self._described:
            return described
        self._described = described
        described["components"]["schemas"] |= problems.SCHEMAS
        for methods in described["paths"].values():
            for operation in methods.values():
                _name_scopes(operation)
        return described


def _name_scopes(operation: dict[str, Any]) -> None:
    """Say in words which scope an operation needs, and in its description that one is enough."""
    scopes = {scope for each in operation.get("security", ()) for scope in each[SCHEME]}
    if not scopes:
        return
    any_of = [scope for scope in Scope if scope in scopes]
    operation["security"] = [{SCHEME: [scope]} for scope in any_of]
    needs = f"Needs the scope {' or '.join(f'`{scope}`' for scope in any_of)}."
    said = operation.get("description", "")
    operation["description"] = f"{said}\n\n{needs}" if said else needs


def create_app(
    database: Database,
    settings: Settings,
    *,
    wake: Callable[[], None],
    worker_state: Callable[[], str | None] | None = None,
) -> FastAPI:
    """Make the API. Serve it with ``log_config=None, access_log=False``: it logs for itself.

    Args:
        database: with the newest schema, or ``/readyz`` says no. The caller closes it.
        settings: of this process.
        wake: called when there is something to do for a worker.
        worker_state: says what is wrong with the worker of this process, None while it is well.

    Raises:
        SecretError: there is no secret to open credentials with.
    """
    context = _context(database, settings, wake, worker_state)
    adapters = Adapters(settings.provider_timeout_ms, settings.public_url, sealer=context.sealer)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        keep_the_event_loop_quick()
        yield
        await adapters.aclose()

    app = _Described(
        title="Paceline",
        version=__version__,
        description="Bulk SMS campaigns, paced to your limits, never sent twice.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry=_NO_TELEMETRY,
    )
    app.include_router(_api())
    app.router.routes += docs.routes()
    app.router.routes += unsubscribe.routes(database, opt_out_tokens(context.sealer))
    app.state.larger = dict(_LARGER)
    app.add_middleware(BodyLimit, larger=app.state.larger)
    app.add_middleware(InboundLimit, limit=limit_of(settings))
    app.add_middleware(Authentication, database=database)
    app.add_middleware(Webhooks, database=database, adapters=adapters, settings=settings, wake=wake)
    return _observable(app, context)


def create_worker_app(
    database: Database, settings: Settings, worker_state: Callable[[], str | None]
) -> FastAPI:
    """Make what a worker alone answers: how it is and what it did. Arguments as ``create_app``."""
    app = FastAPI(
        title="Paceline worker", version=__version__, openapi_url=None, telemetry=_NO_TELEMETRY
    )
    return _observable(app, _context(database, settings, lambda: None, worker_state))


def _context(
    database: Database,
    settings: Settings,
    wake: Callable[[], None],
    worker_state: Callable[[], str | None] | None,
) -> Context:
    def changed() -> None:
        campaigns_watched.forget()
        wake()

    orders = Orders(database, settings, wake=changed)
    campaigns_watched = watched(orders)
    sealer = sealer_of(settings)
    erased = ErasedNumbers(lambda: sealer)
    return Context(
        database, database, settings, sealer, orders, campaigns_watched, erased, worker_state
    )


def _observable(app: FastAPI, context: Context) -> FastAPI:
    """Add what every process answers to whoever watches it, and what counts and logs requests."""
    app.state.context = context
    app.include_router(health.router, responses=problems.DESCRIBED)
    pacing = Rules.of(context.settings).pacing
    app.router.routes.append(Metrics(context.database, pacing).route())
    problems.install(app)
    app.add_middleware(Edge)
    app.add_middleware(Counted)  # the last one added stands first
    return app


def _api() -> APIRouter:
    api = APIRouter(
        prefix=GUARDED, dependencies=[Depends(documented_key)], responses=problems.DESCRIBED
    )
    for each in _ROUTES:
        api.include_router(each.router, tags=[each.__name__.rpartition(".")[2]])
    return api


_ROUTES = (
    campaigns,
    drafts,
    previews,
    resends,
    reports,
    prices,
    imports,
    import_history,
    exports,
    erasures,
    people,
    segments,
    messages,
    operations,
    endpoints,
    keys,
    tenants,
    audit,
)
