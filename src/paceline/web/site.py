"""The dashboard as a whole: its routes, and what stands before every page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from paceline.domain.errors import ConflictError, InvalidInputError, NotFoundError, PacelineError
from paceline.domain.role import Role
from paceline.domain.segment import LARGEST_ID
from paceline.engine.orders import Orders
from paceline.engine.signing_in import SigningIn
from paceline.engine.watched import Watched
from paceline.settings import Settings
from paceline.storage import users
from paceline.storage.database import Database, DatabaseUnreachableError
from paceline.storage.sealing import Sealer
from paceline.web.rendering import STATIC
from paceline.web.visits import SESSION_COOKIE, ForgedError, Visit, Visitor

Page: TypeAlias = Callable[[Visit], Awaitable[Response]]


@dataclass(frozen=True)
class Site:
    """What pages are made of."""

    database: Database
    settings: Settings
    sealer: Sealer
    orders: Orders
    watched: Watched
    worker_state: Callable[[], str | None] | None
    monotonic: Callable[[], float]
    signing_in: SigningIn = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "signing_in", SigningIn(self.database, self.monotonic))

    def route(
        self, path: str, page: Page, *, least: Role = Role.VIEWER, method: str = "GET"
    ) -> BaseRoute:
        """A page for those who are signed in and have the role.

        Args:
            path: where it is.
            page: makes it.
            least: the role that may see it, or give the order.
            method: GET changes nothing; anything else is an order.
        """

        async def endpoint(request: Request) -> Response:
            try:
                visit = await self.visit(request)
            except DatabaseUnreachableError as error:
                status, kind = _kind_of(error)
                return _problem(self.visitor(request), status, kind, error=error)
            if visit is None:
                return self._sign_in_first(request)
            try:
                return await _answered(visit, page, least)
            finally:
                await request.close()  # and the files that a form has brought

        return Route(path, endpoint, methods=[method], include_in_schema=False)

    async def visit(self, request: Request) -> Visit | None:
        """Who comes with this request; None: nobody who is signed in."""
        secret = request.cookies.get(SESSION_COOKIE)
        if not secret:
            return None
        who = await self.database.glance(users.signed_in, secret)
        if who is None:
            return None
        everything = who.role.may(Role.ADMIN)
        database = self.database if everything else self.database.of_tenant(who.tenant_id)
        orders = self.orders.by(who.actor, database=database)
        return Visit(request, *self._reached(request), who, secret, database, orders)

    def visitor(self, request: Request) -> Visitor:
        return Visitor(request, *self._reached(request))

    def _reached(self, request: Request) -> tuple[bool, str]:
        """Whether by HTTPS, as the settings say or a proxy does, and under which name."""
        public = urlsplit(self.settings.public_url or "")
        return "https" in {public.scheme, request.url.scheme}, public.netloc

    def _sign_in_first(self, request: Request) -> Response:
        visitor = self.visitor(request)
        wanted = visitor.wanted()
        return visitor.to("/sign-in" if wanted == "/" else f"/sign-in?to={quote(wanted)}")


async def _answered(visit: Visit, page: Page, least: Role) -> Response:
    """The page, or one that says what is wrong and how to mend it."""
    if not visit.who.role.may(least):
        return _problem(visit, 403, "forbidden", least=least)
    try:
        _refuse_impossible_ids(visit.request)
        return await page(visit)
    except ForgedError:
        return _problem(visit, 403, "forged")
    except PacelineError as error:
        status, kind = _kind_of(error)
        return _problem(visit, status, kind, error=error)


def status_of(error: PacelineError | None) -> int:
    """The status of a page that says, beside the form, what is wrong, if anything is."""
    return 200 if error is None else _kind_of(error)[0]


def _kind_of(error: PacelineError) -> tuple[int, str]:
    return _KINDS[next((each for each in _KINDS if isinstance(error, each)), PacelineError)]


def _refuse_impossible_ids(request: Request) -> None:
    """A number that no database could hold is the id of nothing.

    Raises:
        NotFoundError: there is one.
    """
    for name, value in request.path_params.items():
        if isinstance(value, int) and value > LARGEST_ID:
            raise NotFoundError(name, value)


_KINDS: dict[type[PacelineError], tuple[int, str]] = {
    NotFoundError: (404, "not_found"),
    InvalidInputError: (422, "invalid"),
    ConflictError: (409, "conflict"),
    DatabaseUnreachableError: (503, "unreachable"),
    PacelineError: (400, "error"),
}


def _problem(visit: Visitor, status: int, kind: str, **values: Any) -> Response:
    template = "problem_part.html" if visit.is_partial else "problem.html"
    values = {"error": None, "least": None} | values
    return visit.page(template, status, kind=kind, title="", **values)


def static() -> BaseRoute:
    """Files that never change under their address (``rendering.asset``)."""
    return Mount("/static", _Static(directory=STATIC))


class _Static(StaticFiles):
    async def get_response(self, path: str, scope: Any) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
