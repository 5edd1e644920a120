"""Signing in and out, and how one likes to read."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from paceline.engine.signing_in import TooManyTriesError, WrongPasswordError
from paceline.storage import users
from paceline.web.languages import languages
from paceline.web.site import Site
from paceline.web.visits import (
    LANGUAGE_COOKIE,
    SESSION_COOKIE,
    THEME_COOKIE,
    THEMES,
    ForgedError,
    Visit,
)

_A_YEAR_MS = 365 * 24 * 3_600_000


def routes(site: Site) -> list[BaseRoute]:
    pages = _Signing(site)
    return [
        Route("/sign-in", pages.ask, include_in_schema=False),
        Route("/sign-in", pages.sign_in, methods=["POST"], include_in_schema=False),
        Route("/sign-in/{secret}", pages.follow_link, include_in_schema=False),
        site.route("/sign-out", pages.sign_out, method="POST"),
        site.route("/preferences", pages.prefer, method="POST"),
    ]


class _Signing:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def ask(self, request: Request) -> Response:
        return self._ask(request)

    def _ask(self, request: Request, status: int = 200, *, wrong: str = "") -> Response:
        to = _own_path(request.query_params.get("to", "/"))
        visitor = self._site.visitor(request)
        return visitor.page("sign_in.html", status, wrong=wrong, to=to)

    async def sign_in(self, request: Request) -> Response:
        visitor = self._site.visitor(request)
        address = request.client.host if request.client else ""
        try:
            form = await visitor.form()
            secret = await self._site.signing_in.with_password(
                form.get("login", "").strip(), form.get("password", ""), address=address
            )
        except (ForgedError, WrongPasswordError):
            return self._ask(request, 422, wrong="password")
        except TooManyTriesError as error:
            answer = self._ask(request, 429, wrong="tries")
            answer.headers["Retry-After"] = str(error.retry_after_s)
            return answer
        return visitor.open(secret, _own_path(form.get("to", "/")))

    async def follow_link(self, request: Request) -> Response:
        """A link from the terminal; it counts once."""
        secret = await self._site.database.write(users.follow_link, request.path_params["secret"])
        if secret is None:
            return self._ask(request, 410, wrong="link")
        return self._site.visitor(request).open(secret)

    async def sign_out(self, visit: Visit) -> Response:
        await visit.form()
        await self._site.database.write(users.sign_out, visit.secret)
        response = visit.to("/sign-in")
        response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax")
        return response

    async def prefer(self, visit: Visit) -> Response:
        """Another language, or light or dark."""
        form = await visit.form()
        response = visit.to(_own_path(form.get("to", "/")))
        if form.get("language") in languages():
            visit.keep(response, LANGUAGE_COOKIE, form["language"], for_ms=_A_YEAR_MS)
        if form.get("theme") in THEMES:
            visit.keep(response, THEME_COOKIE, form["theme"], for_ms=_A_YEAR_MS)
        return response


def _own_path(path: str) -> str:
    """A path of this site; anything else is the first page."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"
