"""A server of which a test scripts every byte and every close, and that keeps what it received."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias, cast

_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)\r\n", re.IGNORECASE)


class Visit(asyncio.Protocol):
    """One connection and every byte that came over it."""

    transport: asyncio.Transport

    def __init__(self, server: ScriptedServer, script: Script) -> None:
        self._server = server
        self._script = script
        self._changed = asyncio.Event()
        self.received = bytearray()
        self.gone = asyncio.Event()
        """The connection is closed, by whichever side."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._server.visits.append(self)
        self._server.first_visit.set()
        self._server.play(self._script(self))

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self.gone.set()
        self._changed.set()

    async def some(self, count: int = 1) -> None:
        """Wait until this many bytes have come, or the client has gone."""
        while len(self.received) < count and not self.gone.is_set():
            self._changed.clear()
            await self._changed.wait()

    async def request(self, number: int = 1) -> None:
        """Wait until this many whole requests have come, or the client has gone."""
        while len(self.requests) < number and not self.gone.is_set():
            self._changed.clear()
            await self._changed.wait()

    @property
    def requests(self) -> list[bytes]:
        """The whole requests so far."""
        found, rest = [], bytes(self.received)
        while b"\r\n\r\n" in rest:
            head_end = rest.index(b"\r\n\r\n") + 4
            length = _LENGTH.search(rest, 0, head_end)
            whole = head_end + int(length[1] if length else 0)
            if len(rest) < whole:
                break
            found.append(rest[:whole])
            rest = rest[whole:]
        return found

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def close(self) -> None:
        self.transport.close()

    def reset(self) -> None:
        """Close with a reset instead of an orderly end."""
        with self._socket() as mine:
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def close_without_the_loop(self) -> None:
        """Close both ways at once: when it returns, the client's kernel knows."""
        with self._socket() as mine:
            mine.shutdown(socket.SHUT_RDWR)

    def _socket(self) -> socket.socket:
        return socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno()))


Script: TypeAlias = Callable[[Visit], Awaitable[None]]


class ScriptedServer:
    def __init__(self, port: int) -> None:
        self.port = port
        self.visits: list[Visit] = []
        self.first_visit = asyncio.Event()
        self._plays: list[asyncio.Future[None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[bytes]:
        """The whole requests over all connections."""
        return [request for visit in self.visits for request in visit.requests]

    @property
    def received(self) -> bytes:
        return b"".join(bytes(visit.received) for visit in self.visits)

    @property
    def requests_begun(self) -> int:
        return self.received.count(b"POST /")

    def play(self, script: Awaitable[None]) -> None:
        self._plays.append(asyncio.ensure_future(script))

    async def stop(self) -> None:
        for visit in self.visits:
            visit.transport.abort()
        for play in self._plays:
            if not play.done():
                play.cancel()
        for result in await asyncio.gather(*self._plays, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


@asynccontextmanager
async def scripted(
    *scripts: Script, tls: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedServer]:
    """Serve on a loopback port: the n-th connection plays the n-th script, later ones the last."""
    listener = socket.create_server(("127.0.0.1", 0))
    # Small, so that a large request is still on its way when the server stops reading.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    server = ScriptedServer(listener.getsockname()[1])
    upcoming = list(scripts)

    def visit() -> Visit:
        return Visit(server, upcoming.pop(0) if len(upcoming) > 1 else upcoming[0])

    listening = await asyncio.get_running_loop().create_server(visit, sock=listener, ssl=tls)
    try:
        yield server
    finally:
        listening.close()
        await server.stop()


def answer(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """Render an answer; header names are written with ``_`` for ``-``."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answering(*answers: bytes) -> Script:
    """Answer the n-th request with the n-th of ``answers``, then wait for the client to go."""

    async def script(visit: Visit) -> None:
        for number, each in enumerate(answers, start=1):
            await visit.request(number)
            if visit.gone.is_set():
                return
            visit.write(each)
        await visit.gone.wait()

    return script
