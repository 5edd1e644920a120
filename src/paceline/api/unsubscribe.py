"""Opt-out links: a page that asks, and acts only when its button is pressed.

Opening it changes nothing, because scanners and previews of messages follow every link in them. It
shows no number: who has the link need not be the person.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from html import escape
from http import HTTPStatus
from pathlib import Path
from string import Template
from typing import TypeAlias

import msgspec
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from paceline.api.problems import RETRY_AFTER_S
from paceline.domain.message import is_erased
from paceline.domain.opt_out_link import PATH, OptOutTokens
from paceline.storage import replies, suppressions
from paceline.storage.audit_log import RECIPIENT
from paceline.storage.database import AnyRow, Database, DatabaseUnreachableError
from paceline.storage.suppressions import Source

STATIC = Path(__file__).with_name("static") / "unsubscribe"
_Transaction: TypeAlias = Callable[[int], Awaitable[AnyRow | None]]
"""Message id → its recipient; None: there is no such message."""
_PAGE = Template((STATIC / "page.html").read_text(encoding="utf-8"))
_STYLE = (STATIC / "style.css").read_text(encoding="utf-8")
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


class _Words(msgspec.Struct, frozen=True):
    """What a page says."""

    title: str
    text: str
    button: str = ""
    """Empty: there is nothing to press."""


_ASK, _DONE, _UNKNOWN, _FAILED = "ask", "done", "unknown", "failed"
_SAID = msgspec.json.decode((STATIC / "words.json").read_bytes(), type=dict[str, dict[str, _Words]])
"""Language → page → its words; the first language is for whoever reads none of them."""
_PREFERENCE = re.compile(
    r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]*)?\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?))?\s*"
)


def routes(database: Database, tokens: OptOutTokens) -> list[BaseRoute]:
    """The pages, for whoever has a link that these tokens made."""
    pages = _Pages(database, tokens)
    return [
        Route(f"{PATH}style.css", _style, include_in_schema=False),
        Route(f"{PATH}{{token}}", pages.ask, include_in_schema=False),
        Route(f"{PATH}{{token}}", pages.act, methods=["POST"], include_in_schema=False),
    ]


class _Pages:
    def __init__(self, database: Database, tokens: OptOutTokens) -> None:
        self._database = database
        self._tokens = tokens

    async def ask(self, request: Request) -> Response:
        return await self._answer(
            request, _ASK, lambda message_id: self._database.glance(replies.recipient, message_id)
        )

    async def act(self, request: Request) -> Response:
        return await self._answer(
            request, _DONE, lambda message_id: self._database.write(_opt_out, message_id)
        )

    async def _answer(self, request: Request, page: str, carry_out: _Transaction) -> Response:
        message_id = self._tokens.message_id(request.path_params["token"])
        if message_id is None:
            return _page(request, _UNKNOWN, HTTPStatus.NOT_FOUND)
        try:
            person = await carry_out(message_id)
        except DatabaseUnreachableError:
            return _page(request, _FAILED, HTTPStatus.SERVICE_UNAVAILABLE)
        if person is None:
            return _page(request, _UNKNOWN, HTTPStatus.NOT_FOUND)
        return _page(request, page, HTTPStatus.OK, tenant=person.name)


def _opt_out(connection: Connection, message_id: int) -> AnyRow | None:
    """Suppress the recipient of a message, for the tenant whose message it was; a second time
    changes nothing.
    """
    person = replies.recipient(connection, message_id)
    if person is not None and not is_erased(person.phone):
        suppressions.add(
            connection,
            person.tenant_id,
            [person.phone],
            "followed the opt-out link",
            source=Source.LINK,
            actor=RECIPIENT,
        )
    return person


async def _style(_request: Request) -> Response:
    return Response(_STYLE, media_type="text/css", headers={"Cache-Control": "max-age=3600"})


def _page(request: Request, name: str, status: HTTPStatus, *, tenant: str = "") -> Response:
    language = _language(request.headers.get("accept-language", ""))
    words = _SAID[language][name]
    button = f'<form method="post"><button>{words.button}</button></form>' if words.button else ""
    page = _PAGE.substitute(
        language=language,
        title=words.title,
        text=words.text.format(tenant=escape(tenant)),
        form=button,
    )
    headers = {
        "Cache-Control": "no-store",
        "Content-Language": language,
        "Content-Security-Policy": _POLICY,
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept-Language",
    }
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return HTMLResponse(page, status, headers)


def _language(accepted: str) -> str:
    """The language that we have and a browser likes best (RFC 9110 §12.5.4)."""
    liked: dict[str, float] = {}
    for item in accepted.split(","):
        preference = _PREFERENCE.fullmatch(item)
        if preference and (language := preference[1].lower()) in _SAID:
            liked[language] = max(liked.get(language, 0.0), float(preference[2] or 1))
    best = max(liked, key=liked.__getitem__, default="")
    return best if liked.get(best) else next(iter(_SAID))
