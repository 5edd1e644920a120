"""Many kept-alive HTTP connections with one request each at a time, and what came of them.

Clients share the machine with the server, so this reads as little of an answer as it needs: the
status, the length, and that every byte of the body has come.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self, cast
from urllib.parse import urlsplit

_END_OF_HEAD = b"\r\n\r\n"


@dataclass(slots=True)
class Load:
    """What came of it: how long each answer took, and which statuses there were."""

    latencies_ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0

    def percentile_ms(self, percent: int) -> float:
        """The latency that so many percent of the answers did not exceed.

        Raises:
            ValueError: there was no answer.
        """
        if not self.latencies_ms:
            raise ValueError("nothing was answered")
        rank = -(-len(self.latencies_ms) * percent // 100)  # rounded up, from 1
        return round(sorted(self.latencies_ms)[rank - 1], 1)


def request(method: str, url: str, path: str, body: bytes = b"", headers: str = "") -> bytes:
    """One HTTP/1.1 request to the last byte; `headers` end in CRLF each."""
    host = urlsplit(url).netloc
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(
    url: str,
    requests: Iterator[bytes],
    *,
    connections: int,
    going: Callable[[], bool],
    every_s: float = 0.0,
    look: Callable[[bytes], None] = lambda _: None,
) -> Load:
    """Send requests while `going()`, and wait for the answers to all that were sent.

    Args:
        url: of the server.
        requests: whole ones; every connection takes the next.
        connections: how many.
        going: asked before each request.
        every_s: each connection sends this often, the connections evenly spread, and an answer's
            latency counts from when its request was due; 0: as soon as the last was answered.
        look: is shown the body of every answer.

    Raises:
        ConnectionError: a connection ended before its answer came.
        ValueError: an answer has no Content-Length.
    """
    result = Load()
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    clients = [
        _Client(result, requests, going, look, started + every_s * number / connections, every_s)
        for number in range(connections)
    ]
    try:
        for client in clients:
            await loop.create_connection(client.itself, address.hostname, address.port)
        await asyncio.gather(*(client.done for client in clients))
    finally:
        for client in clients:
            client.close()
    result.seconds = time.perf_counter() - started
    return result


class _Client(asyncio.Protocol):
    """One connection: a request, its whole answer, the next request."""

    def __init__(
        self,
        result: Load,
        requests: Iterator[bytes],
        going: Callable[[], bool],
        look: Callable[[bytes], None],
        due: float,
        every_s: float,
    ) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._result = result
        self._requests = requests
        self._going = going
        self._look = look
        self._due = due
        self._every_s = every_s
        self._began = due
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def itself(self) -> Self:
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self._next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            if (answer := _answer(self._received)) is None:
                return
            self._received = b""
            self._result.latencies_ms.append(1000 * (time.perf_counter() - self._began))
            self._result.statuses[answer[0]] += 1
            self._look(answer[1])
            self._next()
        except Exception as error:  # noqa: BLE001 - raised again where `done` is awaited
            self._end(error)

    def connection_lost(self, _error: Exception | None) -> None:
        self._end(ConnectionError("a connection ended before its answer came"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _next(self) -> None:
        """Send what comes next, now or when it is due."""
        if self._every_s:
            wait = max(self._due - time.perf_counter(), 0)
            self._began, self._due = self._due, self._due + self._every_s
            asyncio.get_running_loop().call_later(wait, self._send)
        else:
            self._began = time.perf_counter()
            self._send()

    def _send(self) -> None:
        if not self._going() or (wanted := next(self._requests, None)) is None:
            self._end(None)
        elif self._transport is not None:
            self._transport.write(wanted)

    def _end(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


def _answer(received: bytes) -> tuple[int, bytes] | None:
    """Status and body of one answer that has a Content-Length; None until it has come whole."""
    head, end, body = received.partition(_END_OF_HEAD)
    if not end:
        return None
    _, _, length = head.lower().partition(b"content-length:")
    if len(body) < int(length.partition(b"\r\n")[0]):
        return None
    return int(head[9:12]), body
