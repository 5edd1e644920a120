"""Connections to a provider's server: the only module that knows aiohttp.

aiohttp gives the connections (names, TCP, TLS, pool) and parses the answers. Its session is left
out, and with it, by construction, everything that could send a second request: retries, redirects,
cookies. Proxy variables of the environment are not honoured (aiohttp's ``trust_env`` default).

What a call needs of the world outside is a ``Network``: a clock and connections. ``Internet`` is
the real one; the simulation has one of its own.
"""

from __future__ import annotations

import asyncio
import select
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

KEEP_ALIVE_S = 4.0
"""Servers commonly close an idle connection after 5 s, and a close that crosses our request on the
way is a doubt: so a connection is given up before that."""
MAX_ANSWER_BYTES = 8 * 2**20
_LOOP_TURNS = 4
"""How often the event loop may run to take in what a socket has received; it takes two."""
_FIRST_FINAL_STATUS = 200

Monotonic: TypeAlias = Callable[[], float]


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """One whole answer. The names of ``headers`` are found in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class AnswerTooLongError(Exception):
    """The answer is longer than any honest one."""


class Line(Protocol):
    """One open connection, held by one call, for one request."""

    @property
    def died_unused(self) -> bool:
        """Of one that is not usable: it was closed before any request, and not for being idle."""

    async def is_usable(self) -> bool:
        """Whether a request may be written. It never suspends after its last look: the answer is
        still true when the caller has it.
        """

    def expect_answer(self) -> None:
        """Set a parser up for the answer; nothing goes out."""

    def write(self, request: bytes) -> None:
        """The first and only write. It does not wait."""

    async def read_answer(self) -> HttpAnswer:
        """Wait for a whole final answer; any exception means that there is none."""

    def give_back(self) -> None:
        """Let the next call have it, unless it is not fit for one."""

    def abort(self) -> None:
        """Close at once: what is not sent yet will not be sent later behind our back."""


class Lines(Protocol):
    """The connections to one server."""

    async def open(self) -> Line:
        """Take an idle connection or make a new one.

        Raises:
            TimeoutError: none within the time for it.
            OSError: the name, the connection or TLS failed.
        """

    async def aclose(self) -> None:
        """Close them; no call may be under way."""


class Network(Protocol):
    """What an adapter needs of the world outside."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment: the clock of ``PreparedCall.submit(send_by)``."""

    def lines_to(self, url: URL, connect_timeout_s: float) -> Lines:
        """Connections to the server of an address; the first is made when it is asked for."""


class Internet:
    """The real network.

    Args:
        monotonic: the clock of ``send_by``.
    """

    def __init__(self, monotonic: Monotonic = time.monotonic) -> None:
        self.monotonic = monotonic

    def lines_to(self, url: URL, connect_timeout_s: float) -> Lines:
        return TcpLines(url, connect_timeout_s, self.monotonic)


INTERNET = Internet()


class TcpLines:
    """aiohttp's connections to one server (``Lines``)."""

    def __init__(self, url: URL, connect_timeout_s: float, monotonic: Monotonic) -> None:
        self._url = url
        self._connect_timeout_s = connect_timeout_s
        self._monotonic = monotonic
        self._connector: aiohttp.TCPConnector | None = None
        self._histories: weakref.WeakKeyDictionary[ResponseHandler, _History] = (
            weakref.WeakKeyDictionary()
        )

    async def open(self) -> TcpLine:
        if self._connector is None:  # made here because it belongs to the running loop
            # No limit: as many calls as there are at once have a connection each.
            self._connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S)
        where = aiohttp.ClientRequest("POST", self._url, loop=asyncio.get_running_loop())
        limits = aiohttp.ClientTimeout(connect=self._connect_timeout_s)
        try:
            connection = await self._connector.connect(where, [], limits)
        except aiohttp.ClientError as error:
            if isinstance(error, OSError):
                raise
            raise ConnectionError(str(error)) from error
        protocol = connection.protocol
        assert protocol is not None  # noqa: S101 - for mypy: only a released one has none
        history = self._histories.setdefault(protocol, _History(last_use=self._monotonic()))
        return TcpLine(connection, protocol, history, self._monotonic)

    async def aclose(self) -> None:
        if self._connector is not None:
            await self._connector.close()


@dataclass(slots=True)
class _History:
    """What we know of one connection from the calls before this one."""

    last_use: float
    """When it was opened or gave its last answer, on the endpoint's clock."""
    proven: bool = False
    """It has carried an answer."""


class TcpLine:
    """One TCP connection, held by one call (``Line``)."""

    def __init__(
        self,
        connection: Connection,
        protocol: ResponseHandler,
        history: _History,
        monotonic: Monotonic,
    ) -> None:
        self._connection = connection
        self._protocol = protocol
        self._history = history
        self._monotonic = monotonic

    @property
    def expired(self) -> bool:
        return self._monotonic() - self._history.last_use > KEEP_ALIVE_S

    @property
    def died_unused(self) -> bool:
        """Of one that is not usable: it was closed before any request, and not for being idle."""
        return not self._history.proven and not self.expired

    async def is_usable(self) -> bool:
        """Whether a request may be written. It suspends only if something was received meanwhile,
        and never after its last look: the answer is still true when the caller has it.
        """
        for _ in range(_LOOP_TURNS):
            if not self._has_unread():
                return self._is_clean() and not self.expired
            # Nobody has asked, so it is a close, an alert, or the tail of a TLS handshake. Which
            # of them shows when the loop has read it.
            await asyncio.sleep(0)
        return False

    def _is_clean(self) -> bool:
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            return False
        # Or an answer that nobody asked for would be taken for ours.
        return not self._protocol.should_close

    def _has_unread(self) -> bool:
        """Ask the kernel, which knows of a close before the event loop does."""
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            return False
        poll = select.poll()
        poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def expect_answer(self) -> None:
        """Set a parser up for the answer; nothing goes out."""
        self._protocol.set_response_params(read_until_eof=True)

    def write(self, request: bytes) -> None:
        """The first and only write. It does not wait: the transport takes it all, and passes it to
        the kernel at once (asyncio) or at the end of this turn of the loop (uvloop).
        """
        if self._protocol.transport is None:
            raise ConnectionResetError
        self._protocol.transport.write(request)

    async def read_answer(self) -> HttpAnswer:
        """Wait for a whole final answer; any exception means that there is none."""
        message, payload = await self._protocol.read()
        while message.code < _FIRST_FINAL_STATUS:
            message, payload = await self._protocol.read()
        body = bytearray()
        async for chunk in payload.iter_any():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise AnswerTooLongError
        self._history.last_use = self._monotonic()
        self._history.proven = True
        return HttpAnswer(message.code, message.headers, bytes(body))

    def give_back(self) -> None:
        """Let the next call have it, unless it is not fit for one."""
        transport = self._protocol.transport
        # An answer can overtake the rest of its request, which would go out before the next one.
        if transport is not None and not transport.get_write_buffer_size() and self._is_clean():
            self._connection.release()
        else:
            self.abort()

    def abort(self) -> None:
        """Close at once: what is not sent yet will not be sent later behind our back."""
        if self._protocol.transport is not None:
            self._protocol.transport.abort()
        self._connection.close()
