"""HTTP with exact knowledge of what went out.

Whether a failed call may be repeated hangs on one question: had its first byte been written? So a
request is one string of bytes, written by one synchronous step of ours, directly after the last
look at the connection and at the permit. What fails before that step is ``NotSent`` (or a void
permit), what fails from then on is ``NoAnswer``, whatever the exception may be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar

from yarl import URL

from paceline import __version__
from paceline.domain.errors import InvalidInputError
from paceline.domain.outcome import NoAnswer, NotSent
from paceline.providers.base import PermitVoidError
from paceline.providers.lines import INTERNET, HttpAnswer, Line, Network

CONNECT_TIMEOUT_S = 10.0
MAX_ERROR_LENGTH = 200
_LONG_ANSWER_BYTES = 128 * 1024
"""It takes milliseconds to read."""
_LOOP_TURNS = 10
"""How often the event loop may run to take in an answer that a socket has received already."""

Told = TypeVar("Told")
ReadAnswer: TypeAlias = Callable[[HttpAnswer], Told]
"""An adapter's reading of a whole answer, of any status: for a submission, its outcome."""


class HttpEndpoint:
    """One URL that requests go to, and the connections to its server."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout_ms: int,
        network: Network = INTERNET,
    ) -> None:
        """Check and render what all requests have in common.

        Args:
            url: absolute, http or https, without credentials.
            headers: beside Host, User-Agent and Content-Length.
            timeout_ms: for the answer, from the first byte of the request on. Connecting has its
                own time, the same up to 10 s: a slow connect must not shorten the wait for an
                answer, because missing the answer is a doubt and missing a connection is none.
            network: where the server is, and the clock of ``send_by``.

        Raises:
            InvalidInputError: the URL or a header cannot be used. A header's value is not repeated.
        """
        self._url = _checked_url(url)
        self._fields = _render_fields(self._url, headers)
        self._post = _request_line("POST", self._url) + self._fields
        self.timeout_s = timeout_ms / 1000
        self.connect_timeout_s = min(CONNECT_TIMEOUT_S, self.timeout_s)
        self.monotonic = network.monotonic
        self._lines = network.lines_to(self._url, self.connect_timeout_s)

    def call(self, body: bytes, read: ReadAnswer[Told]) -> HttpCall[Told]:
        """Render one POST to its last byte."""
        request = b"%sContent-Length: %d\r\n\r\n%s" % (self._post, len(body), body)
        return HttpCall(self, request, read)

    def question(self, query: Sequence[tuple[str, str]], read: ReadAnswer[Told]) -> HttpCall[Told]:
        """Render one GET to its last byte; a name may come several times in its query."""
        line = _request_line("GET", self._url.with_query(list(query)))
        return HttpCall(self, line + self._fields + b"\r\n", read)

    async def open_line(self) -> Line:
        """Take an idle connection or make a new one.

        Raises:
            TimeoutError: none within ``connect_timeout_s``.
            OSError: the name, the connection or TLS failed.
        """
        return await self._lines.open()

    async def aclose(self) -> None:
        await self._lines.aclose()


class HttpCall(Generic[Told]):
    """One request and its one chance to be written (``base.PreparedCall``)."""

    def __init__(self, endpoint: HttpEndpoint, request: bytes, read: ReadAnswer[Told]) -> None:
        self._endpoint = endpoint
        self._request = request
        self._read = read
        self._line: Line | None = None

    async def connect(self) -> NotSent | None:
        """Hold a usable connection for this call until it is submitted or released."""
        held = await self._held()
        return held if isinstance(held, NotSent) else None

    async def _held(self) -> Line | NotSent:
        try:
            return await self._hold_usable_line()
        except TimeoutError:
            return NotSent(f"no connection within {self._endpoint.connect_timeout_s:g} s")
        except OSError as error:  # its text names host and port only
            return NotSent(f"no connection: {error}"[:MAX_ERROR_LENGTH])

    async def _hold_usable_line(self) -> Line:
        if self._line is None:
            self._line = await self._endpoint.open_line()
        while not await self._line.is_usable():
            spent, self._line = self._line, None
            spent.abort()
            if spent.died_unused:  # another one would fare no better
                raise ConnectionResetError("the server closed it before the request")
            self._line = await self._endpoint.open_line()
        return self._line

    async def submit(
        self, send_by: float, *, written: Callable[[float], None] | None = None
    ) -> Told | NotSent | NoAnswer:
        """Write the request, if ``send_by`` has not passed, and read the answer.

        A held connection that is no longer usable is replaced first, which may cost the permit and
        is never a doubt. When cancelled, it closes the connection.

        Raises:
            PermitVoidError: nothing was written; the connection is still held for the next try.
        """
        line = await self._held()
        if isinstance(line, NotSent):
            return line
        line.expect_answer()
        if self._endpoint.monotonic() > send_by:
            raise PermitVoidError("the permit ran out before the first byte")
        # Nothing is awaited between these looks, at the connection and the clock, and the write.
        self._line = None
        return await self._exchange(line, written)

    async def _exchange(
        self, line: Line, written: Callable[[float], None] | None
    ) -> Told | NoAnswer:
        """Write and wait: from here on every failure is a doubt."""
        answer: HttpAnswer | None = None
        try:
            line.write(self._request)
            if written is not None:
                # In the loop's next turn, when the kernel has it for certain.
                asyncio.get_running_loop().call_soon(self._say_written, written)
            answer = await self._answer_on(line)
        except TimeoutError:
            return NoAnswer(f"no answer within {self._endpoint.timeout_s:g} s")
        except Exception as error:  # noqa: BLE001 - the position decides, not the type
            return NoAnswer(f"no whole answer: {_name_of(error)}")
        finally:
            if answer is None:
                line.abort()
            else:
                line.give_back()
        if len(answer.body) < _LONG_ANSWER_BYTES:
            return self._read(answer)
        # The event loop has permits of other calls to use in time.
        return await asyncio.to_thread(self._read, answer)

    async def _answer_on(self, line: Line) -> HttpAnswer:
        """Wait for the answer, and read it even if time is up when it is there: this process may
        have been stopped meanwhile, or its event loop have had its hands full.

        Raises:
            TimeoutError: there is none.
        """
        reading = asyncio.ensure_future(line.read_answer())
        try:
            await asyncio.wait({reading}, timeout=self._endpoint.timeout_s)
            for _ in range(_LOOP_TURNS):
                if reading.done():
                    break
                await asyncio.sleep(0)
            if not reading.done():
                raise TimeoutError
            return reading.result()
        finally:
            reading.cancel()
            reading.add_done_callback(_forget)

    def _say_written(self, written: Callable[[float], None]) -> None:
        written(self._endpoint.monotonic())

    def release(self) -> None:
        """Give the held connection back: this call will not be submitted, or not soon."""
        if self._line is not None:
            self._line.give_back()
            self._line = None

    def __del__(self) -> None:
        self.release()


def _forget(reading: asyncio.Future[HttpAnswer]) -> None:
    """Whatever came of it, nobody asks for it any more."""
    if not reading.cancelled():
        reading.exception()


def _name_of(error: Exception) -> str:
    """Name a failure without its text, which may quote what the server said."""
    strerror = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__} ({strerror})" if strerror else type(error).__name__


def _checked_url(text: str) -> URL:
    try:
        url = URL(text)
        # Some of what it is made of is only looked at when it is asked for.
        url.host, url.raw_path_qs, url.host_port_subcomponent  # noqa: B018
    except (ValueError, IndexError, TypeError) as error:  # the library has its own ways to say so
        raise InvalidInputError.of("base_url", "is not a URL") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise InvalidInputError.of("base_url", "must begin with http:// or https:// and a host")
    if url.user or url.password:
        raise InvalidInputError.of("base_url", "must not contain credentials")
    return url


def _request_line(method: str, url: URL) -> bytes:
    return f"{method} {url.raw_path_qs} HTTP/1.1\r\n".encode("ascii")


def _render_fields(url: URL, headers: Mapping[str, str]) -> bytes:
    """Render the header lines that all requests have in common."""
    fixed = {"Host": url.host_port_subcomponent or "", "User-Agent": f"paceline/{__version__}"}
    lines = []
    for name, value in (fixed | dict(headers)).items():
        if not (value.isascii() and value.isprintable()):
            raise InvalidInputError.of(name, "has characters that an HTTP header cannot carry")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("ascii")
