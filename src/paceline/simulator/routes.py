"""The simulator over HTTP: the provider's calls, the control document and the log."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypedDict

import msgspec
from aiohttp import web

from paceline.simulator.controls import read_outage
from paceline.simulator.log import NO_ANSWER
from paceline.simulator.replies import read_order
from paceline.simulator.summary import duplicates, summarise
from paceline.simulator.wire import ErrorAnswer, Refusal, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

    from paceline.simulator.intake import CallAnswer, Intake
    from paceline.simulator.receipts import ReceiptPoster
    from paceline.simulator.replies import ReplyPoster

MESSAGES = "/api/v1.1/Messages"
LINES_PER_WRITE = 500
_NO_LINGERING = struct.pack("ii", 1, 0)


def application(
    intake: Intake,
    receipts: ReceiptPoster,
    replies: ReplyPoster,
    *,
    shut: Callable[[float], None],
) -> web.Application:
    """An aiohttp application over the given state; good for one event loop.

    `shut` closes the port for so many seconds, from soon on.
    """
    routes = _Routes(intake, receipts, replies, shut)
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
            web.post("/outage", routes.begin_outage),
            web.post("/inbound/send", routes.send_replies),
            web.get("/log/summary", routes.summary),
            web.get("/log/duplicates", routes.duplicates),
            web.get("/log/sightings", routes.sightings),
            web.get("/log/calls", routes.calls),
            web.get("/log/receipts", routes.receipts),
            web.get("/log", routes.acceptances),
            web.delete("/log", routes.clear_log),
        ]
    )

    async def post(_: web.Application) -> AsyncIterator[None]:
        await receipts.open()
        await replies.open()
        yield
        await replies.close()
        await receipts.close()

    app.cleanup_ctx.append(post)
    return app


class _Routes:
    def __init__(
        self,
        intake: Intake,
        receipts: ReceiptPoster,
        replies: ReplyPoster,
        shut: Callable[[float], None],
    ) -> None:
        self._intake = intake
        self._receipts = receipts
        self._replies = replies
        self._shut = shut

    async def send_bulk(self, request: web.Request) -> web.Response:
        return await self._submit(request, bulk=True)

    async def send_single(self, request: web.Request) -> web.Response:
        return await self._submit(request, bulk=False)

    async def _submit(self, request: web.Request, *, bulk: bool) -> web.Response:
        body = await request.read()
        now_ns = time.monotonic_ns()
        answer = self._intake.submit(body, bulk=bulk, key=_key(request), now_ns=now_ns)
        await self._announce(answer)
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.status == NO_ANSWER:
            return _hang_up(request, reset=answer.reset)
        return _answer(answer)

    async def _announce(self, answer: CallAnswer) -> None:
        settings = self._intake.controls.receipts
        if settings is not None and answer.position is not None:
            await self._receipts.announce(settings, answer.log, answer.position)

    def _admit(self, request: web.Request) -> None:
        """Let a question through: nobody is answered during an outage or without a key.

        Raises:
            Refusal: as `Intake.check_working` and `Intake.authorise`.
        """
        self._intake.check_working(time.monotonic_ns())
        self._intake.authorise(_key(request))

    async def look_up(self, request: web.Request) -> web.Response:
        self._admit(request)
        reference = request.query.get("reference")
        if not reference:
            raise Refusal(400, "INVALID_FIELD", "`reference` is missing in the query")
        return _json(self._intake.look_up(reference, time.monotonic_ns()))

    async def message_status(self, request: web.Request) -> web.Response:
        self._admit(request)
        message_id = request.match_info["message_id"]
        return _json(self._intake.message_status(message_id, time.monotonic_ns()))

    async def show_controls(self, _: web.Request) -> web.Response:
        return _json(self._intake.controls)

    async def set_controls(self, request: web.Request) -> web.Response:
        return _change(self._intake.set_controls, await request.read())

    async def patch_controls(self, request: web.Request) -> web.Response:
        return _change(self._intake.patch_controls, await request.read())

    async def begin_outage(self, request: web.Request) -> web.Response:
        with _wrong_document_refused():
            outage = read_outage(await request.read())
        self._intake.begin(outage, time.monotonic_ns())
        if outage.kind == "refuse":
            self._shut(outage.for_ms / 1000)
        return _json(outage)

    async def send_replies(self, request: web.Request) -> web.StreamResponse:
        order = read_order(await request.read())
        return await _lines(request, await self._replies.carry_out(order))

    async def summary(self, request: web.Request) -> web.Response:
        window_ms = _whole_number(request, "window_ms", least=1) or 1_000
        return _json(summarise(self._intake.log, window_ms))

    async def receipts(self, _: web.Request) -> web.Response:
        return _json(self._receipts.tally)

    async def calls(self, request: web.Request) -> web.StreamResponse:
        return await _lines(request, self._intake.log.call_records(**_page(request)))

    async def acceptances(self, request: web.Request) -> web.StreamResponse:
        return await _lines(request, self._intake.log.acceptances(**_page(request)))

    async def sightings(self, request: web.Request) -> web.StreamResponse:
        destination = request.query.get("destination")
        found = self._intake.log.sightings(**_page(request), destination=destination)
        return await _lines(request, found)

    async def duplicates(self, request: web.Request) -> web.StreamResponse:
        return await _lines(request, duplicates(self._intake.log))

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
        if refusal.status == NO_ANSWER:
            return _hang_up(request, reset=True)
        return _json(ErrorAnswer(refusal.detail), status=refusal.status)


def _key(request: web.Request) -> str:
    return request.headers.get("X-Mitto-API-Key", "")


def _json(document: msgspec.Struct, *, status: int = 200) -> web.Response:
    return web.Response(body=encode(document), status=status, content_type="application/json")


def _answer(answer: CallAnswer) -> web.Response:
    headers = {} if answer.retry_after is None else {"Retry-After": str(answer.retry_after)}
    return web.Response(
        body=answer.body, status=answer.status, headers=headers, content_type="application/json"
    )


def _hang_up(request: web.Request, *, reset: bool) -> web.Response:
    """Close the TCP connection. All of the request is read, so the peer sees a FIN, unless a reset
    is asked for: that is what closing does when it must not linger.

    The response is never written: aiohttp notices that the connection is gone.
    """
    if request.transport is not None:
        if reset:
            connection = request.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
        request.transport.abort()
    return web.Response()


def _change(change: Callable[[bytes], msgspec.Struct], document: bytes) -> web.Response:
    with _wrong_document_refused():
        return _json(change(document))


@contextmanager
def _wrong_document_refused() -> Iterator[None]:
    try:
        yield
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, "INVALID_CONTROL", str(error)) from error


def _whole_number(request: web.Request, name: str, *, least: int) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise Refusal(400, "INVALID_FIELD", f"`{name}` must be a whole number from {least}")
    return int(text)


class _Page(TypedDict):
    after: int
    limit: int | None


def _page(request: web.Request) -> _Page:
    """Records with a number above `after`, at most `limit`."""
    return {
        "after": _whole_number(request, "after", least=0) or 0,
        "limit": _whole_number(request, "limit", least=1),
    }


async def _lines(request: web.Request, records: Iterable[msgspec.Struct]) -> web.StreamResponse:
    """Stream records as JSON lines."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    lines: list[msgspec.Struct] = []
    for record in records:
        lines.append(record)
        if len(lines) == LINES_PER_WRITE:
            await response.write(_encode_lines(lines))
            lines.clear()
    await response.write(_encode_lines(lines))
    await response.write_eof()
    return response


_encode_lines = msgspec.json.Encoder().encode_lines
