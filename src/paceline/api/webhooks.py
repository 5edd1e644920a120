"""Webhooks of providers, outside FastAPI: a sloppy receipt must not be lost to validation.

The secret is in the path. What posts may sign its bodies as well: hex HMAC-SHA256 of the raw body
under ``WEBHOOK_SECRET``, in ``X-Webhook-Signature``. A provider with a signature of its own is held
to that one. It is over the public address, which ``PACELINE_PUBLIC_URL`` tells and never ``Host``.

What is refused leaves nothing in the database, and nothing in the log that tells of a person.

Receipts come one in a request, by the million, so this is the one place that does without a
framework: between the socket and the database stand the counter of requests, ``edge.Edge``, and
what is here.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from paceline.api.problems import RETRY_AFTER_S, problem_response, response_to
from paceline.domain.errors import PacelineError
from paceline.engine.adapters import Adapters
from paceline.engine.intake import Intake, NotKeptError
from paceline.engine.readings import Readings
from paceline.engine.replies import ReplyIntake
from paceline.providers.base import Provider, Receipt, UnreadableError
from paceline.settings import Settings
from paceline.storage import accounts
from paceline.storage.database import Database
from paceline.storage.inbox import InboxRow
from paceline.telemetry import get_logger

log = get_logger("webhooks")

KNOWN_S = 1.0
"""For so long a token is not looked up again: a changed one, or a changed account, ends with it."""
_PATH = re.compile(r"/webhooks/([A-Za-z0-9_-]{1,64})/([A-Za-z0-9_-]{1,64})/(dlr|inbound)", re.ASCII)
_MAX_BODY = 1024 * 1024
"""Bytes."""
_LONGEST_ID = 255
"""No provider's id is longer; what is cut could not have been matched."""
_LONGEST_ERROR = 200


_NO_QUERY: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class _Route:
    """What the counter of requests calls every webhook of a kind."""

    path: str


_ROUTES = {kind: _Route(f"/webhooks/{{provider}}/{{token}}/{kind}") for kind in ("dlr", "inbound")}


class _Account(NamedTuple):
    id: int
    adapter: Provider


class _Posted(NamedTuple):
    """A webhook, whole."""

    account: _Account
    body: bytes
    headers: Headers
    query: Mapping[str, str]


class _RefusedError(Exception):
    """A webhook that is not taken, and how it is answered."""

    def __init__(self, answer: ASGIApp) -> None:
        super().__init__()
        self.answer = answer


class Webhooks:
    """Takes receipts and replies: 202 only when they are committed, 503 when they cannot be.

    Args:
        app: takes every other request.
        database: where they are kept.
        adapters: read them.
        settings: the public address, the secret, and the words that replies are held against.
        wake: called when a reply is answered, which gives the worker something to send.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        database: Database,
        adapters: Adapters,
        settings: Settings,
        wake: Callable[[], None],
    ) -> None:
        self.app = app
        self._database = database
        self._adapters = adapters
        self._accounts = Readings(self._account, good_for_s=KNOWN_S)
        self._receipts = Intake(database)
        self._replies = ReplyIntake(database, settings, wake=wake)
        self._secret = settings.webhook_secret
        self._public_url = settings.public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        webhook = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if webhook is None:
            await self.app(scope, receive, send)
            return
        provider, token, kind = webhook.groups()
        scope["route"] = _ROUTES[kind]
        answer = await self._answer(scope, receive, (provider, token))
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, whose: tuple[str, str]) -> ASGIApp:
        try:
            posted = await self._posted(scope, receive, whose)
            if scope["route"] is _ROUTES["dlr"]:
                return await self._take_receipts(posted)
            return await self._take_replies(posted)
        except _RefusedError as refused:
            return refused.answer
        except UnreadableError as error:
            return problem_response(400, "unreadable", f"The body cannot be read: {error}")
        except NotKeptError as error:
            retry = {"Retry-After": str(RETRY_AFTER_S)}
            return problem_response(503, error.code, error.message, headers=retry)
        except PacelineError as error:
            return response_to(error)

    async def _posted(self, scope: Scope, receive: Receive, whose: tuple[str, str]) -> _Posted:
        """The webhook, if it is one and has the right to be read.

        Raises:
            _RefusedError: with the answer.
        """
        if scope["method"] != "POST":
            raise _RefusedError(_not_allowed(scope["method"]))
        account = await self._accounts.of(whose)
        if account is None:
            raise _RefusedError(
                problem_response(404, "not_found", "There is nothing at this address.")
            )
        headers = Headers(scope=scope)
        body = await _body(receive)
        if body is None:
            raise _RefusedError(
                problem_response(413, "request_entity_too_large", "The body is too large.")
            )
        if not self._is_genuine(scope, account, body, headers):
            detail = "The signature is not that of this body."
            raise _RefusedError(problem_response(401, "unauthorized", detail))
        return _Posted(account, body, headers, _query(scope))

    async def _account(self, whose: tuple[str, str]) -> _Account | None:
        row = await self._database.read(accounts.by_webhook_token, *whose)
        return None if row is None else _Account(row.id, self._adapters.of(row))

    def _is_genuine(self, scope: Scope, account: _Account, body: bytes, headers: Headers) -> bool:
        """Whether the body is signed as it has to be; where nothing has to, the token is enough."""
        if not _is_signed(body, headers, self._secret):
            return False
        verdict = account.adapter.is_genuine(self._url(scope), body, headers)
        if verdict is False and self._public_url is None:
            # A wrong signature, as far as the provider can tell; only the operator can mend it.
            log.error("signature_unverifiable", account_id=account.id, unset="PACELINE_PUBLIC_URL")
        return verdict is not False

    def _url(self, scope: Scope) -> str:
        """The address as the provider knows it; empty, which no signature is of, while nobody has
        said what it is.
        """
        if self._public_url is None:
            return ""
        query = scope["query_string"].decode("latin-1")
        path = scope["raw_path"].decode("latin-1")
        return f"{self._public_url}{path}?{query}" if query else f"{self._public_url}{path}"

    async def _take_receipts(self, posted: _Posted) -> ASGIApp:
        account, body, headers, query = posted
        found = account.adapter.read_receipts(body, headers, query)
        if found:
            await self._receipts.keep(account.id, [_inbox_row(receipt) for receipt in found])
        return _accepted(len(found))

    async def _take_replies(self, posted: _Posted) -> ASGIApp:
        account, body, headers, _ = posted
        found = account.adapter.read_replies(body, headers)
        await self._replies.keep(account.id, found, body)
        return _accepted(len(found))


def _accepted(updated: int) -> ASGIApp:
    """The answer to nearly every request, so without what a ``Response`` can do beyond it."""
    body = b'{"ok":true,"updated":%d}' % updated
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]

    async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer


def _query(scope: Scope) -> Mapping[str, str]:
    query = scope["query_string"]
    return dict(parse_qsl(query.decode("latin-1"))) if query else _NO_QUERY


def _not_allowed(method: str) -> Response:
    return problem_response(
        405,
        "method_not_allowed",
        f"This address does not answer {method}.",
        headers={"Allow": "POST"},
    )


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None if it is too large.

    Raises:
        ClientDisconnect: it will not come.
    """
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += bytes(message.get("body", b""))
        if len(body) > _MAX_BODY:
            return None
        if not message.get("more_body", False):
            return body


def _is_signed(body: bytes, headers: Headers, secret: str | None) -> bool:
    """Whether a body's signature, if it has one, is right; without one, the token is enough."""
    if secret is None or (given := headers.get("x-webhook-signature")) is None:
        return True
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(given.strip().lower().encode(), expected.encode())


def _inbox_row(receipt: Receipt) -> InboxRow:
    return InboxRow(
        provider_message_id=_storable(receipt.provider_message_id, _LONGEST_ID),
        reference=_storable(receipt.reference, _LONGEST_ID),
        delivery=receipt.delivery,
        error=_storable(receipt.error, _LONGEST_ERROR),
        occurred_at=receipt.occurred_at,
    )


def _storable(text: str, length: int) -> str:
    return text.replace("\0", "")[:length]  # PostgreSQL's text has no NUL
