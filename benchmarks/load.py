"""Many kept-alive HTTP connections with one request each at a time, and what came of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit


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
    """
    result = Load()
    address = urlsplit(url)
    started = time.perf_counter()

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        due = time.perf_counter() + every_s * number / connections
        try:
            while True:
                if every_s:
                    await asyncio.sleep(max(due - time.perf_counter(), 0))
                if not going() or (wanted := next(requests, None)) is None:
                    return
                began = due if every_s else time.perf_counter()
                writer.write(wanted)
                status, body = await _answer(reader)
                result.latencies_ms.append(1000 * (time.perf_counter() - began))
                result.statuses[status] += 1
                look(body)
                due += every_s
        finally:
            writer.close()

    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(one(number))
    result.seconds = time.perf_counter() - started
    return result


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of one answer that has a Content-Length."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    return int(head[9:12]), await reader.readexactly(length)
