"""The simulator over HTTP: the provider's calls, the control document and the log."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from paceline.simulator.log import NO_ANSWER
from paceline.simulator.summary import summarise
from paceline.simulator.wire import ErrorAnswer, ErrorDetail, Refusal, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from paceline.simulator.intake import Intake, Reply
    from paceline.simulator.receipts import ReceiptPoster

MESSAGES = "/api/v1.1/Messages"
LINES_PER_WRITE = 500


def application(intake: Intake, poster: ReceiptPoster) -> web.Application:
    """An aiohttp application over the given state; good for one event loop."""
    routes = _Routes(intake, poster)
    # client_max_size 0 is no limit: what is too much is decided by the controls, and logged.
    app = web.Application(client_max_size=0, middlewares=[_answer_refusals])
    app.add_routes(
        [
            web.post(f"{MESSAGES}/sendmessagesbulk", routes.send_bulk),
            web.post(f"{MESSAGES}/send", routes.send_single),
            web.get(MESSAGES, routes.look_up),
            web.get(f"{MESSAGES}/{{message_id}}", routes.message_status),
            web.get("/control", routes.show_controls),
            web.put("/control", routes.set_controls),
            web.patch("/control", routes.patch_controls),
            web.get("/log/summary", routes.summary),
            web.get("/log/calls", routes.calls),
            web.get("/log/receipts", routes.receipts),
            web.get("/log", routes.acceptances),
            web.delete("/log", routes.clear_log),
        ]
    )

    async def post_receipts(_: web.Application) -> AsyncIterator[None]:
        await poster.open()
        yield
        await poster.close()

    app.cleanup_ctx.append(post_receipts)
    return app


class _Routes:
    def __init__(self, intake: Intake, poster: ReceiptPoster) -> None:
        self._intake = intake
        self._poster = poster

    async def send_bulk(self, request: web.Request) -> web.Response:
        return await self._submit(request, bulk=True)

    async def send_single(self, request: web.Request) -> web.Response:
        return await self._submit(request, bulk=False)

    async def _submit(self, request: web.Request, *, bulk: bool) -> web.Response:
        body = await request.read()
        now_ns = time.monotonic_ns()
        reply = self._intake.submit(body, bulk=bulk, key=_key(request), now_ns=now_ns)
        await self._announce(reply)
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        return _hang_up(request) if reply.status == NO_ANSWER else _answer(reply)

    async def _announce(self, reply: Reply) -> None:
        settings = self._intake.controls.receipts
        if settings is not None and reply.position is not None:
            await self._poster.announce(settings, reply.log, reply.position)

    async def look_up(self, request: web.Request) -> web.Response:
        self._intake.authorise(_key(request))
        reference = request.query.get("reference")
        if not reference:
            raise Refusal(400, "INVALID_FIELD", "`reference` is missing in the query")
        return _json(self._intake.look_up(reference, time.monotonic_ns()))

    async def message_status(self, request: web.Request) -> web.Response:
        self._intake.authorise(_key(request))
        message_id = request.match_info["message_id"]
        return _json(self._intake.message_status(message_id, time.monotonic_ns()))

    async def show_controls(self, _: web.Request) -> web.Response:
        return _json(self._intake.controls)

    async def set_controls(self, request: web.Request) -> web.Response:
        return _change(self._intake.set_controls, await request.read())

    async def patch_controls(self, request: web.Request) -> web.Response:
        return _change(self._intake.patch_controls, await request.read())

    async def summary(self, request: web.Request) -> web.Response:
        window_ms = _whole_number(request, "window_ms", least=1) or 1_000
        return _json(summarise(self._intake.log, window_ms))

    async def receipts(self, _: web.Request) -> web.Response:
        return _json(self._poster.tally)

    async def calls(self, request: web.Request) -> web.StreamResponse:
        return await _lines(request, self._intake.log.call_records)

    async def acceptances(self, request: web.Request) -> web.StreamResponse:
        return await _lines(request, self._intake.log.acceptances)

    async def clear_log(self, _: web.Request) -> web.Response:
        self._intake.clear_log()
        return web.Response(status=204)


@web.middleware
async def _answer_refusals(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        return _json(ErrorAnswer(refusal.detail), status=refusal.status)


def _key(request: web.Request) -> str:
    return request.headers.get("X-Mitto-API-Key", "")


def _json(document: msgspec.Struct, *, status: int = 200) -> web.Response:
    return web.Response(body=encode(document), status=status, content_type="application/json")


def _answer(reply: Reply) -> web.Response:
    headers = {} if reply.retry_after is None else {"Retry-After": str(reply.retry_after)}
    return web.Response(
        body=reply.body, status=reply.status, headers=headers, content_type="application/json"
    )


def _hang_up(request: web.Request) -> web.Response:
    """Close the TCP connection; all of the request is read, so the peer sees a FIN, not a reset.

    The response is never written: aiohttp notices that the connection is gone.
    """
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _change(change: Callable[[bytes], msgspec.Struct], document: bytes) -> web.Response:
    try:
        return _json(change(document))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _json(ErrorAnswer(ErrorDetail("INVALID_CONTROL", str(error))), status=400)


def _whole_number(request: web.Request, name: str, *, least: int) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise Refusal(400, "INVALID_FIELD", f"`{name}` must be a whole number from {least}")
    return int(text)


async def _lines(
    request: web.Request, records: Callable[..., Iterable[msgspec.Struct]]
) -> web.StreamResponse:
    """Stream records as JSON lines: those with a number above `after`, at most `limit`."""
    after = _whole_number(request, "after", least=0) or 0
    limit = _whole_number(request, "limit", least=1)
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    lines: list[msgspec.Struct] = []
    for record in records(after=after, limit=limit):
        lines.append(record)
        if len(lines) == LINES_PER_WRITE:
            await response.write(_encode_lines(lines))
            lines.clear()
    await response.write(_encode_lines(lines))
    await response.write_eof()
    return response


_encode_lines = msgspec.json.Encoder().encode_lines
