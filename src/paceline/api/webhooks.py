"""Webhooks of providers: bare routes, because a sloppy receipt must not be lost to validation.

The secret is in the path. A provider that can sign its bodies may do so as well: hex HMAC-SHA256 of
the raw body under ``WEBHOOK_SECRET``, in ``X-Webhook-Signature``.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from paceline.api.context import context_of
from paceline.api.problems import problem_response
from paceline.engine.adapters import Adapters
from paceline.providers.base import Receipt, UnreadableError
from paceline.storage import accounts, receipts
from paceline.storage.receipts import InboxRow

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_LONGEST_ID = 255
"""No provider's id is longer; what is cut could not have been matched."""
_LONGEST_ERROR = 200


class Webhooks:
    """Takes receipts: 202 only when they are committed, 503 when they cannot be."""

    def __init__(self, adapters: Adapters) -> None:
        self.adapters = adapters

    def routes(self) -> list[BaseRoute]:
        path = "/webhooks/{provider}/{token}/dlr"
        return [Route(path, self.receive, methods=["POST"], include_in_schema=False)]

    async def receive(self, request: Request) -> Response:
        context = context_of(request)
        provider, token = request.path_params["provider"], request.path_params["token"]
        if not (_TOKEN.fullmatch(provider) and _TOKEN.fullmatch(token)):
            raise HTTPException(404)
        account = await context.database.read(accounts.by_webhook_token, provider, token)
        if account is None:
            raise HTTPException(404)
        body = await request.body()
        _check_signature(request, body, context.settings.webhook_secret)
        try:
            found = self.adapters.of(account).read_receipts(body, request.headers)
        except UnreadableError as error:
            return problem_response(400, "unreadable", f"The receipt cannot be read: {error}")
        rows = [_inbox_row(receipt) for receipt in found]
        updated = await context.database.write(receipts.put, account.id, rows) if rows else 0
        context.orders.wake()
        return JSONResponse({"ok": True, "updated": updated}, 202)


def _check_signature(request: Request, body: bytes, secret: str | None) -> None:
    """Refuse a body whose signature is wrong; one without a signature has the token alone."""
    given = request.headers.get("x-webhook-signature")
    if given is None or secret is None:
        return
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(given.strip().lower().encode(), expected.encode()):
        raise HTTPException(401, "The signature is not that of this body.")


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
