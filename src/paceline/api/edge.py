"""What every request passes first: its id, its log line, safe headers, and who it comes from."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Mapping, MutableMapping
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paceline.api.problems import internal_error, problem_response, response_to
from paceline.api.readings import Readings
from paceline.domain.errors import PacelineError
from paceline.storage import tenants
from paceline.storage.database import Database
from paceline.storage.tenants import Caller, PresentedKey
from paceline.telemetry import get_logger

log = get_logger("http")

GUARDED = "/api"
MAX_BODY = 1024 * 1024
"""Bytes."""
_QUIET = ("/webhooks/", "/healthz", "/readyz", "/metrics")
_NOTED_EVERY_S = 60
KNOWN_S = 1.0
"""For so long a key is not looked up again: one that was revoked ends with it."""
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
"""Sent with every answer that has none of its own of the same name."""


class Edge:
    """Numbers and logs requests, adds headers, and turns a bug into a plain 500.

    The log has the path (whose phone numbers and webhook tokens the logger masks) and never the
    query.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        # Which process and its which request; random for each one would cost a system call.
        self._process = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = f"{self._process}{next(self._numbers):08x}"
        started = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                _add_headers(message, request_id)
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except ClientDisconnect:
            log.info("client_gone", request_id=request_id, path=scope["path"])
        except Exception:
            log.exception("request_failed", request_id=request_id, path=scope["path"])
            if status:
                raise  # too late for another answer: the connection must break
            await internal_error()(scope, receive, send_with_headers)
        finally:
            quiet = scope["path"].startswith(_QUIET) and status < 500  # noqa: PLR2004 - 5xx
            (log.debug if quiet else log.info)(
                "request",
                request_id=request_id,
                method=scope["method"],
                path=scope["path"],
                status=status,
                duration_ms=round((time.perf_counter() - started) * 1000, 1),
            )


def _add_headers(message: MutableMapping[str, Any], request_id: str) -> None:
    given = list(message["headers"])
    names = {name for name, _ in given}  # in lower case, as ASGI has them
    added = [header for header in _HEADERS if header[0] not in names]
    message["headers"] = [*given, *added, (b"x-request-id", request_id.encode())]


class Authentication:
    """Lets only who has a key pass to what is under ``/api``; all routes there are guarded, those
    to come too. The caller is left in ``request.state.caller``.
    """

    def __init__(self, app: ASGIApp, *, database: Database) -> None:
        self.app = app
        self.database = database
        self._callers = Readings(self._caller_with, good_for_s=KNOWN_S)
        self._noted: dict[int, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_guarded(scope["path"]):
            await self.app(scope, receive, send)
            return
        try:
            caller = await self._caller(Headers(scope=scope).get("authorization", ""))
        except PacelineError as error:
            await response_to(error)(scope, receive, send)
            return
        if caller is None:
            await _unauthorized()(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self.app(scope, receive, send)

    async def _caller(self, authorization: str) -> Caller | None:
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            return None
        key = PresentedKey.of(secret.strip())
        caller = await self._callers.of(key)
        if caller is not None and _ends_soon(caller):
            caller = await self._caller_with(key)  # it is refused from its end on, not a bit later
        if caller is not None:
            await self._note_use(caller.key_id)
        return caller

    async def _caller_with(self, key: PresentedKey) -> Caller | None:
        return await self.database.glance(tenants.authenticate, key)

    async def _note_use(self, key_id: int) -> None:
        at = time.monotonic()
        if at - self._noted.get(key_id, float("-inf")) >= _NOTED_EVERY_S:
            self._noted[key_id] = at
            await self.database.write(tenants.note_use, key_id)


class BodyLimit:
    """Refuses bodies beyond ``MAX_BODY``, or beyond what ``larger`` says for a path."""

    def __init__(self, app: ASGIApp, *, larger: Mapping[str, int]) -> None:
        self.app = app
        self.larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.larger.get(scope["path"], MAX_BODY)
        if int(Headers(scope=scope).get("content-length", 0)) > limit:
            await _too_large()(scope, receive, send)
            return
        taken = 0

        async def receive_up_to_limit() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
                raise HTTPException(413)
            return message

        await self.app(scope, receive_up_to_limit, send)


def _ends_soon(caller: Caller) -> bool:
    """Whether the key may have ended since it was looked up."""
    return caller.ends_in_ms is not None and caller.ends_in_ms <= 2 * KNOWN_S * 1000


def _too_large() -> ASGIApp:
    return problem_response(413, "request_entity_too_large", "The body is too large.")


def _is_guarded(path: str) -> bool:
    return path == GUARDED or path.startswith(f"{GUARDED}/")


def _unauthorized() -> ASGIApp:
    return problem_response(
        401,
        "unauthorized",
        "Send a key that is in force, as Authorization: Bearer <key>.",
        headers={"WWW-Authenticate": 'Bearer realm="paceline"'},
    )
