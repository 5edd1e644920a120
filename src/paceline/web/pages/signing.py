"""Signing in and out, one's own password, and how one likes to read."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from paceline.domain.errors import InvalidInputError
from paceline.engine.signing_in import (
    LONGEST_PASSWORD,
    SHORTEST_PASSWORD,
    TooManyTriesError,
    WrongPasswordError,
)
from paceline.engine.staff import change_own_password
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
    own_path,
)

_A_YEAR_MS = 365 * 24 * 3_600_000


def routes(site: Site) -> list[BaseRoute]:
    pages = _Signing(site)
    return [
        Route("/sign-in", pages.ask, include_in_schema=False),
        Route("/sign-in", pages.sign_in, methods=["POST"], include_in_schema=False),
        Route("/sign-in/{secret}", pages.show_link, include_in_schema=False),
        Route("/sign-in/{secret}", pages.follow_link, methods=["POST"], include_in_schema=False),
        site.route("/sign-out", pages.sign_out, method="POST"),
        site.route("/settings/password", pages.password),
        site.route("/settings/password", pages.change_password, method="POST"),
        site.route("/preferences", pages.prefer, method="POST"),
    ]


class _Signing:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def ask(self, request: Request) -> Response:
        return self._ask(request, to=request.query_params.get("to", "/"))

    def _ask(
        self, request: Request, status: int = 200, *, wrong: str = "", to: str = "/"
    ) -> Response:
        visitor = self._site.visitor(request)
        return visitor.page("sign_in.html", status, wrong=wrong, to=own_path(to))

    async def sign_in(self, request: Request) -> Response:
        visitor = self._site.visitor(request)
        to = "/"
        try:
            form = await visitor.form()
            to = form.get("to", "/")
            secret = await self._site.signing_in.with_password(
                form.get("login", "").strip(), form.get("password", ""), address=visitor.address
            )
        except ForgedError:
            return self._ask(request, 403, wrong="forged")
        except WrongPasswordError:
            return self._ask(request, 422, wrong="password", to=to)
        except TooManyTriesError as error:
            return _later(error, self._ask(request, 429, wrong="tries", to=to))
        await self._end_session(request)
        return visitor.open(secret, own_path(to))

    async def show_link(self, request: Request) -> Response:
        """What a link from the terminal is for. Only its button uses it up: whoever merely looks at
        the address may be a chat that shows what is behind it, or a browser that loads ahead.
        """
        link = await self._site.database.read(users.link, request.path_params["secret"])
        if link is None:
            return self._ask(request, 410, wrong="link")
        return self._site.visitor(request).page("sign_in_link.html", link=link)

    async def follow_link(self, request: Request) -> Response:
        """Sign in by a link; it counts once."""
        visitor = self._site.visitor(request)
        try:
            await visitor.form()
        except ForgedError:
            return self._ask(request, 403, wrong="forged")
        secret = await self._site.database.write(users.follow_link, request.path_params["secret"])
        if secret is None:
            return self._ask(request, 410, wrong="link")
        await self._end_session(request)
        return visitor.open(secret)

    async def _end_session(self, request: Request) -> None:
        """Who signs in anew leaves no session behind that nobody can end any more."""
        before = request.cookies.get(SESSION_COOKIE)
        if before:
            await self._site.database.write(users.sign_out, before)

    async def sign_out(self, visit: Visit) -> Response:
        await visit.form()
        await self._end_session(visit.request)
        response = visit.to("/sign-in")
        response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax", secure=visit.secure)
        return response

    async def password(self, visit: Visit) -> Response:
        return self._password(visit, changed="changed" in visit.request.query_params)

    def _password(
        self, visit: Visit, status: int = 200, *, wrong: str = "", changed: bool = False
    ) -> Response:
        bounds = {"least": SHORTEST_PASSWORD, "most": LONGEST_PASSWORD}
        return visit.page("password.html", status, wrong=wrong, changed=changed, **bounds)

    async def change_password(self, visit: Visit) -> Response:
        form = await visit.form()
        old, new = form.get("old", ""), form.get("new", "")
        if new != form.get("again", ""):
            return self._password(visit, 422, wrong="again")
        try:
            secret = await change_own_password(
                visit.database,
                self._site.signing_in,
                visit.who,
                old=old,
                new=new,
                address=visit.address,
            )
        except InvalidInputError:
            return self._password(visit, 422, wrong="new")
        except WrongPasswordError:
            return self._password(visit, 422, wrong="old")
        except TooManyTriesError as error:
            return _later(error, self._password(visit, 429, wrong="tries"))
        return visit.open(secret, "/settings/password?changed")

    async def prefer(self, visit: Visit) -> Response:
        """Another language, or light or dark."""
        form = await visit.form()
        response = visit.to(own_path(form.get("to", "/")))
        if form.get("language") in languages():
            visit.keep(response, LANGUAGE_COOKIE, form["language"], for_ms=_A_YEAR_MS)
        if form.get("theme") in THEMES:
            visit.keep(response, THEME_COOKIE, form["theme"], for_ms=_A_YEAR_MS)
        return response


def _later(error: TooManyTriesError, answer: Response) -> Response:
    answer.headers["Retry-After"] = str(error.retry_after_s)
    return answer
