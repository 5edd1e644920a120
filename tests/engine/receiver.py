"""A customer's server: takes webhooks over real HTTP and answers as it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Request:
    """What was received."""

    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    """One server; without ``answers`` it says 200."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    answers: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)
    """(status, headers) of the next answers; the last one stays."""
    before_answer: Callable[[], Awaitable[None]] | None = None
    reached: list[str] = field(default_factory=list)
    """The address of ours that each request came to."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def connections(self) -> int:
        return len(self.reached)

    async def answer(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        self.reached.append(request.transport.get_extra_info("sockname")[0])
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(Request(headers, await request.read()))
        if self.before_answer is not None:
            await self.before_answer()
        if not self.answers:
            return web.Response()
        status, more = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=status, headers=more)


@asynccontextmanager
async def receiving(**values: Any) -> AsyncIterator[Receiver]:
    receiver = Receiver(**values)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()
