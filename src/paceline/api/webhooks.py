"""Webhooks of providers, outside FastAPI: a sloppy receipt must not be lost to validation.

The secret is in the path. A provider that can sign its bodies may do so as well: hex HMAC-SHA256 of
the raw body under ``WEBHOOK_SECRET``, in ``X-Webhook-Signature``.

Receipts come one in a request, by the million, so this is the one place that does without a
framework: between the socket and the database stand the counter of requests, ``edge.Edge``, and
what is here.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from paceline.api.problems import RETRY_AFTER_S, problem_response, response_to
from paceline.api.readings import Readings
from paceline.domain.errors import PacelineError
from paceline.engine.adapters import Adapters
from paceline.engine.intake import Intake, NotKeptError
from paceline.providers.base import Provider, Receipt, UnreadableError
from paceline.storage import accounts
from paceline.storage.database import Database
from paceline.storage.receipts import InboxRow

KNOWN_S = 1.0
"""For so long a token is not looked up again: a changed one, or a changed account, ends with it."""
_PATH = re.compile(r"/webhooks/([A-Za-z0-9_-]{1,64})/([A-Za-z0-9_-]{1,64})/dlr", re.ASCII)
_MAX_BODY = 1024 * 1024
"""Bytes."""
_LONGEST_ID = 255
"""No provider's id is longer; what is cut could not have been matched."""
_LONGEST_ERROR = 200


@dataclass(frozen=True, slots=True)
class _Route:
    """What the counter of requests calls every webhook."""

    path: str


_ROUTE = _Route("/webhooks/{provider}/{token}/dlr")


class Webhooks:
    """Takes receipts: 202 only when they are committed, 503 when they cannot be."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        database: Database,
        adapters: Adapters,
        secret: str | None,
    ) -> None:
        self.app = app
        self._database = database
        self._adapters = adapters
        self._accounts = Readings(self._account, good_for_s=KNOWN_S)
        self._intake = Intake(database)
        self._secret = secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        webhook = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if webhook is None:
            await self.app(scope, receive, send)
            return
        scope["route"] = _ROUTE
        answer = await self._answer(scope, receive, webhook[1], webhook[2])
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, provider: str, token: str) -> ASGIApp:
        if scope["method"] != "POST":
            return _not_allowed(scope["method"])
        try:
            account = await self._accounts.of((provider, token))
        except PacelineError as error:
            return response_to(error)
        if account is None:
            return problem_response(404, "not_found", "There is nothing at this address.")
        headers = Headers(scope=scope)
        body = await _body(receive)
        if body is None:
            return problem_response(413, "request_entity_too_large", "The body is too large.")
        if not _is_signed(body, headers, self._secret):
            return problem_response(401, "unauthorized", "The signature is not that of this body.")
        return await self._take(account, body, headers)

    async def _account(self, whose: tuple[str, str]) -> _Account | None:
        row = await self._database.read(accounts.by_webhook_token, *whose)
        return None if row is None else _Account(row.id, self._adapters.of(row))

    async def _take(self, account: _Account, body: bytes, headers: Headers) -> ASGIApp:
        try:
            found = account.adapter.read_receipts(body, headers)
        except UnreadableError as error:
            return problem_response(400, "unreadable", f"The receipt cannot be read: {error}")
        try:
            if found:
                await self._intake.keep(account.id, [_inbox_row(receipt) for receipt in found])
        except NotKeptError as error:
            retry = {"Retry-After": str(RETRY_AFTER_S)}
            return problem_response(503, error.code, error.message, headers=retry)
        return _accepted(len(found))


def _accepted(updated: int) -> ASGIApp:
    """The answer to nearly every request, so without what a ``Response`` can do beyond it."""
    body = b'{"ok":true,"updated":%d}' % updated
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]

    async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer


class _Account(NamedTuple):
    id: int
    adapter: Provider


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
