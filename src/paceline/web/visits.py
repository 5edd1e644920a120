"""Visits: who looks, in which language, and whether a form was really sent by one of our pages."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from paceline.domain.role import Role
from paceline.engine.orders import Orders
from paceline.storage.database import Database
from paceline.storage.users import SESSION_MS, SignedIn
from paceline.web.languages import Language, languages, preferred
from paceline.web.rendering import Writing, rendered

SESSION_COOKIE = "paceline_session"
LANGUAGE_COOKIE = "paceline_language"
THEME_COOKIE = "paceline_theme"
THEMES = ("auto", "light", "dark")
CSRF_FIELD = "csrf"
CSRF_HEADER = "x-csrf-token"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_IN_PATHS = ":/%#?=@[]!$&'()*+,;"
"""What an address may have as it is, beside letters and figures."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "Vary": "Accept-Language, Cookie, HX-Request",
}


class ForgedError(Exception):
    """A form that none of our pages has sent."""


def own_path(path: str) -> str:
    """A path of this site; for anything else, whatever browsers make of it, the first page."""
    elsewhere = not path.startswith("/") or path.startswith("//") or "\\" in path
    return "/" if elsewhere or not path.isprintable() else path


def _path_of(url: str) -> str:
    """Path and query of an address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "/"
    return f"{parts.path}?{parts.query}" if parts.query else parts.path or "/"


@dataclass(frozen=True)
class Visitor:
    """Somebody with a browser, signed in or not."""

    request: Request
    secure: bool
    """The site is reached by HTTPS, so cookies are kept from anything else."""
    public: str
    """The site's host, and its port if it has one, as the settings say; "": they do not."""

    @cached_property
    def language(self) -> Language:
        chosen = self.request.cookies.get(LANGUAGE_COOKIE, "")
        return languages().get(chosen) or preferred(self.request.headers.get("accept-language", ""))

    @property
    def theme(self) -> str:
        chosen = self.request.cookies.get(THEME_COOKIE, "")
        return chosen if chosen in THEMES else THEMES[0]

    @property
    def is_partial(self) -> bool:
        """Htmx asks, for a part of the page."""
        return "hx-request" in self.request.headers

    @property
    def csrf(self) -> str:
        """Goes with every form; only a page of the same session can know it."""
        return ""

    def page(self, template: str, /, status: int = 200, **values: Any) -> HTMLResponse:
        """A page, or the part of one."""
        return HTMLResponse(self.html(template, **values), status, dict(_HEADERS))

    def html(self, template: str, /, **values: Any) -> str:
        common = {
            "visit": self,
            "language": self.language,
            "theme": self.theme,
            "languages": languages(),
            "path": self.request.url.path,
        }
        return rendered(self.language, template, common | values)

    def to(self, path: str) -> Response:
        """Go there, also when it is htmx that asks."""
        if self.is_partial:
            return Response(status_code=204, headers={"HX-Redirect": quote(path, safe=_IN_PATHS)})
        return RedirectResponse(path, 303)

    @property
    def address(self) -> str:
        """Where they come from."""
        return self.request.client.host if self.request.client else ""

    @property
    def back(self) -> str:
        """This page, to come back to; if it answers a form, the one that had the form."""
        if self.request.method == "GET":
            return _path_of(str(self.request.url))
        return own_path(_path_of(self.request.headers.get("referer", "")))

    def wanted(self) -> str:
        """The page that they want to see: of a part, the page that it is of."""
        if self.is_partial:
            return own_path(_path_of(self.request.headers.get("hx-current-url", "")))
        return self.back if self.request.method == "GET" else "/"

    def keep(self, response: Response, cookie: str, value: str, *, for_ms: int) -> None:
        response.set_cookie(
            cookie,
            value,
            max_age=for_ms // 1000,
            httponly=True,
            samesite="lax",
            secure=self.secure,
        )

    def open(self, secret: str, path: str = "/") -> Response:
        """Begin a session and go on; ``path`` is one of ours."""
        response = RedirectResponse(path, 303)
        self.keep(response, SESSION_COOKIE, secret, for_ms=SESSION_MS)
        return response

    async def form(self) -> Mapping[str, str]:
        """The fields of a form, files left out.

        Raises:
            ForgedError: another site has sent it.
        """
        self._refuse_other_sites()
        sent = await self.request.form()
        fields = {name: value for name, value in sent.items() if isinstance(value, str)}
        self._refuse_forgery(fields.get(CSRF_FIELD) or self.request.headers.get(CSRF_HEADER, ""))
        return fields

    def _refuse_other_sites(self) -> None:
        origin = self.request.headers.get("origin")
        ours = {self.request.headers.get("host", ""), self.public} - {""}
        if origin is not None and origin.partition("://")[2] not in ours:
            raise ForgedError
        if self.request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            raise ForgedError

    def _refuse_forgery(self, token: str) -> None:
        """Who is not signed in has no session that another site could abuse."""


@dataclass(frozen=True)
class Visit(Visitor):
    """A visit of somebody who is signed in."""

    who: SignedIn
    secret: str = field(repr=False)
    """Of the session."""
    database: Database
    """As they may see it: their tenant's rows only, unless they see to all tenants."""
    orders: Orders
    """Given in their name."""

    @property
    def which(self) -> tuple[int, int]:
        """Their tenant, and the ``id`` in the address."""
        return self.who.tenant_id, self.request.path_params["id"]

    @property
    def csrf(self) -> str:
        return hmac.new(self.secret.encode(), b"paceline csrf", hashlib.sha256).hexdigest()

    @cached_property
    def writing(self) -> Writing:
        return Writing(self.language, self.who.timezone)

    def may(self, least: str) -> bool:
        return self.who.role.may(Role(least))

    def html(self, template: str, /, **values: Any) -> str:
        return super().html(template, who=self.who, w=self.writing, **values)

    def _refuse_forgery(self, token: str) -> None:
        if not hmac.compare_digest(token.encode(), self.csrf.encode()):
            raise ForgedError
