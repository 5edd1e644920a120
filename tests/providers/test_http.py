"""Connections: which of them a request may be written to, and that it is written to no other."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp.connector
import pytest

from paceline import __version__
from paceline.domain.errors import InvalidInputError
from paceline.domain.outcome import Answered, NoAnswer, NotSent, Outcome
from paceline.providers import lines
from paceline.providers.base import PermitVoidError
from paceline.providers.http import HttpEndpoint
from paceline.providers.lines import KEEP_ALIVE_S, HttpAnswer, Internet, TcpLine

from .scripted import Visit, answer, answering, scripted

OK = answer(200, b"fine")
HEADERS = {"X-Key": "secret-key"}


@dataclass
class HandClock:
    """Steady time that stands still until it is set."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def accept(reply: HttpAnswer) -> Outcome:
    return Answered([reply.body.decode()], status=reply.status)


@asynccontextmanager
async def endpoint_at(url: str, **options) -> AsyncIterator[HttpEndpoint]:
    endpoint = HttpEndpoint(f"{url}/sms?a=b", HEADERS, **{"timeout_ms": 10_000, **options})
    try:
        yield endpoint
    finally:
        await endpoint.aclose()


async def test_the_request_is_these_bytes_and_no_others():
    async with scripted(answering(OK)) as server, endpoint_at(server.url) as endpoint:
        outcome = await endpoint.call(b'{"a":1}', accept).submit(endpoint.monotonic() + 60)
        assert outcome == Answered(["fine"])
        assert server.received == (
            b"POST /sms?a=b HTTP/1.1\r\n"
            b"Host: 127.0.0.1:%d\r\n"
            b"User-Agent: paceline/%s\r\n"
            b"X-Key: secret-key\r\n"
            b"Content-Length: 7\r\n"
            b"\r\n"
            b'{"a":1}' % (server.port, __version__.encode())
        )


async def test_a_question_is_these_bytes_and_no_others():
    async with scripted(answering(OK)) as server, endpoint_at(server.url) as endpoint:
        question = endpoint.question([("id", "a b"), ("id", "ü&c")], accept)
        assert await question.submit(endpoint.monotonic() + 60) == Answered(["fine"])
        assert server.received == (
            b"GET /sms?id=a+b&id=%%C3%%BC%%26c HTTP/1.1\r\n"
            b"Host: 127.0.0.1:%d\r\n"
            b"User-Agent: paceline/%s\r\n"
            b"X-Key: secret-key\r\n"
            b"\r\n" % (server.port, __version__.encode())
        )


async def test_the_last_moment_of_a_permit_is_in_time_and_the_next_is_not():
    clock = HandClock()
    async with (
        scripted(answering(OK)) as server,
        endpoint_at(server.url, network=Internet(clock)) as endpoint,
    ):
        call = endpoint.call(b"x", accept)
        assert await call.connect() is None
        with pytest.raises(PermitVoidError):
            await call.submit(clock.now - 0.001)
        assert server.received == b""
        assert isinstance(await call.submit(clock.now), Answered)


async def test_the_permit_is_looked_at_after_a_connection_had_to_be_made():
    clock = HandClock()
    async with (
        scripted(answering(OK)) as server,
        endpoint_at(server.url, network=Internet(clock)) as endpoint,
    ):
        opened = endpoint.open_line

        async def slowly() -> lines.Line:
            clock.now += 1
            return await opened()

        endpoint.open_line = slowly  # type: ignore[method-assign]
        call = endpoint.call(b"x", accept)
        with pytest.raises(PermitVoidError):
            await call.submit(clock.now + 0.025)
        assert server.received == b""
        assert isinstance(await call.submit(clock.now + 0.025), Answered)
        assert len(server.visits) == 1


# --- Stale connections: each was open when it was last used, and must not be written to -----------


async def answered_once(endpoint: HttpEndpoint) -> None:
    call = endpoint.call(b"first", accept)
    assert isinstance(await call.submit(endpoint.monotonic() + 60), Answered)


async def second_call_uses_another_connection(endpoint: HttpEndpoint, visits: list[Visit]) -> None:
    call = endpoint.call(b"second", accept)
    assert isinstance(await call.submit(endpoint.monotonic() + 60), Answered)
    assert [visit.requests[0][-6:] for visit in visits] == [b"\nfirst", b"second"]
    assert [len(visit.requests) for visit in visits] == [1, 1]


async def test_an_idle_connection_that_the_server_closed_is_not_written_to():
    async def closing(visit: Visit) -> None:
        await visit.request()
        visit.write(OK)
        visit.close()

    async with scripted(closing, answering(OK)) as server, endpoint_at(server.url) as endpoint:
        await answered_once(endpoint)
        await server.visits[0].gone.wait()
        await second_call_uses_another_connection(endpoint, server.visits)


async def test_a_close_that_only_the_kernel_has_seen_is_noticed():
    script = answering(OK, OK)
    async with scripted(script) as server, endpoint_at(server.url) as endpoint:
        await answered_once(endpoint)
        held = endpoint.call(b"second", accept)
        assert await held.connect() is None
        server.visits[0].close_without_the_loop()
        outcome = await held.submit(endpoint.monotonic() + 60)
        assert isinstance(outcome, Answered)
        assert [len(visit.requests) for visit in server.visits] == [1, 1]


@pytest.mark.parametrize(
    ("unasked", "closes"),
    [(answer(408, b"slow"), True), (OK[:12], True), (b"?", True), (OK, False), (b"?", False)],
)
async def test_an_answer_that_nobody_asked_for_is_not_taken_for_ours(unasked, closes):
    async with (
        scripted(answering(OK), answering(OK)) as server,
        endpoint_at(server.url) as endpoint,
    ):
        await answered_once(endpoint)
        server.visits[0].write(unasked)
        if closes:
            server.visits[0].close()
        await second_call_uses_another_connection(endpoint, server.visits)


async def test_a_connection_idle_for_longer_than_the_keep_alive_is_replaced():
    clock = HandClock()
    async with (
        scripted(answering(OK, OK)) as server,
        endpoint_at(server.url, network=Internet(clock)) as endpoint,
    ):
        await answered_once(endpoint)
        clock.now += KEEP_ALIVE_S + 0.001
        await second_call_uses_another_connection(endpoint, server.visits)


async def test_waiting_in_a_held_connection_counts_as_idle_time():
    clock = HandClock()
    async with (
        scripted(answering(OK, OK)) as server,
        endpoint_at(server.url, network=Internet(clock)) as endpoint,
    ):
        await answered_once(endpoint)
        for _ in range(3):  # passed on unused from call to call
            clock.now += KEEP_ALIVE_S / 2
            call = endpoint.call(b"second", accept)
            assert await call.connect() is None
            call.release()
        await second_call_uses_another_connection(endpoint, server.visits)


async def test_a_connection_within_the_keep_alive_is_used_again():
    clock = HandClock()
    async with (
        scripted(answering(OK, OK, OK)) as server,
        endpoint_at(server.url, network=Internet(clock)) as endpoint,
    ):
        for _ in range(3):
            await answered_once(endpoint)
            clock.now += KEEP_ALIVE_S - 0.001
        assert len(server.visits) == 1


async def test_a_connection_whose_answer_overtook_its_request_is_not_used_again():
    async def hasty(visit: Visit) -> None:
        await visit.some()
        visit.transport.pause_reading()
        visit.write(answer(413, b"too large"))

    body = b"first" * 4_000_000
    async with scripted(hasty, answering(OK)) as server, endpoint_at(server.url) as endpoint:
        outcome = await endpoint.call(body, accept).submit(endpoint.monotonic() + 60)
        assert outcome == Answered(["too large"], status=413)
        assert isinstance(
            await endpoint.call(b"second", accept).submit(endpoint.monotonic() + 60), Answered
        )
        assert b"second" not in server.visits[0].received
        assert len(server.visits) == 2


async def test_a_connection_that_still_owes_an_answer_is_not_used_again():
    async with (
        scripted(answering(), answering(OK)) as server,
        endpoint_at(server.url, timeout_ms=100) as endpoint,
    ):
        outcome = await endpoint.call(b"first", accept).submit(endpoint.monotonic() + 60)
        assert outcome == NoAnswer("no answer within 0.1 s")
        await second_call_uses_another_connection(endpoint, server.visits)


async def test_a_new_connection_that_dies_unused_is_not_sent_and_not_tried_again():
    told = asyncio.Event()

    async def closing(visit: Visit) -> None:
        await told.wait()
        visit.close()

    async with scripted(closing) as server, endpoint_at(server.url) as endpoint:
        call = endpoint.call(b"x", accept)
        assert await call.connect() is None
        told.set()
        await server.first_visit.wait()
        await server.visits[0].gone.wait()
        assert isinstance(await call.submit(endpoint.monotonic() + 60), NotSent)
        assert server.received == b""
        assert len(server.visits) == 1


async def test_a_call_may_be_given_up_and_its_connection_serves_the_next():
    async with scripted(answering(OK)) as server, endpoint_at(server.url) as endpoint:
        released = endpoint.call(b"x", accept)
        assert await released.connect() is None
        released.release()
        dropped = endpoint.call(b"x", accept)
        assert await dropped.connect() is None
        del dropped
        await answered_once(endpoint)
        assert len(server.visits) == 1


async def test_an_endless_answer_is_cut_off_and_in_doubt(monkeypatch):
    monkeypatch.setattr(lines, "MAX_ANSWER_BYTES", 100_000)

    async def endless(visit: Visit) -> None:
        await visit.request()
        visit.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not visit.gone.is_set():
            visit.write(b"a" * 10_000)
            await asyncio.sleep(0)

    async with scripted(endless) as server, endpoint_at(server.url) as endpoint:
        outcome = await endpoint.call(b"x", accept).submit(endpoint.monotonic() + 60)
        assert outcome == NoAnswer("no whole answer: AnswerTooLongError")


async def test_a_redirect_is_not_followed_and_a_cookie_not_kept():
    elsewhere = answer(307, b"gone", Location="/other", Set_Cookie="session=1; Path=/")
    async with scripted(answering(elsewhere, OK)) as server, endpoint_at(server.url) as endpoint:
        outcome = await endpoint.call(b"first", accept).submit(endpoint.monotonic() + 60)
        assert outcome == Answered(["gone"], status=307)
        await answered_once(endpoint)
        assert server.requests[0] == server.requests[1]
        assert len(server.requests) == 2


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path) -> ssl.SSLContext:
    """A server's context whose self-signed certificate nobody trusts yet."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate")
    key, crt = tmp_path / "key.pem", tmp_path / "crt.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", crt),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(crt, key)
    return context


async def test_an_untrusted_certificate_is_not_sent(certificate):
    async def silent(visit: Visit) -> None:
        await visit.gone.wait()

    async with (
        scripted(silent, tls=certificate) as server,
        endpoint_at(f"https://127.0.0.1:{server.port}") as endpoint,
    ):
        outcome = await endpoint.call(b"x", accept).connect()
        assert isinstance(outcome, NotSent)
        assert "certificate" in outcome.error.lower()


async def test_over_tls_connections_are_reused_and_closed_ones_noticed(
    certificate, tmp_path, monkeypatch
):
    trusting = ssl.create_default_context(cafile=tmp_path / "crt.pem")
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", trusting)
    async with (
        scripted(answering(OK, OK, OK), tls=certificate) as server,
        endpoint_at(f"https://127.0.0.1:{server.port}") as endpoint,
    ):
        await answered_once(endpoint)
        await answered_once(endpoint)
        assert len(server.visits) == 1
        server.visits[0].close_without_the_loop()
        await answered_once(endpoint)
        assert [len(visit.requests) for visit in server.visits] == [2, 1]


async def test_the_tail_of_a_tls_handshake_is_not_taken_for_a_close(
    certificate, tmp_path, monkeypatch
):
    trusting = ssl.create_default_context(cafile=tmp_path / "crt.pem")
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", trusting)
    tail: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def by_hand(visit: Visit) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = certificate.wrap_bio(incoming, outgoing, server_side=True)

        async def done(step: Callable[[], bytes | None]) -> None:
            while True:
                try:
                    step()
                except ssl.SSLWantReadError:
                    visit.write(outgoing.read())
                    await visit.some()
                    incoming.write(bytes(visit.received))
                    visit.received.clear()
                else:
                    return

        await done(tls.do_handshake)
        tail.set_result(outgoing.read())  # session tickets, which no client waits for
        await done(tls.read)
        tls.write(OK)
        visit.write(outgoing.read())
        await visit.gone.wait()

    async with (
        scripted(by_hand) as server,
        endpoint_at(f"https://127.0.0.1:{server.port}") as endpoint,
    ):
        call = endpoint.call(b"x", accept)
        assert await call.connect() is None
        server.visits[0].write(await tail)
        assert isinstance(call._line, TcpLine)
        assert call._line._has_unread()
        assert isinstance(await call.submit(endpoint.monotonic() + 60), Answered)
        assert len(server.visits) == 1


# --- Configuration --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["", "example.org", "ftp://example.org", "http://", "http://[::1", "https://u:p@x.org"]
)
def test_a_url_that_cannot_be_used_is_refused_at_once(url):
    with pytest.raises(InvalidInputError, match="base_url"):
        HttpEndpoint(url, HEADERS, timeout_ms=1000)


@pytest.mark.parametrize("key", ["secret\n", "secret\r\nX-Evil: 1", "sécret", "secret\0"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(key):
    with pytest.raises(InvalidInputError, match="X-Key") as caught:
        HttpEndpoint("http://example.org", {"X-Key": key}, timeout_ms=1000)
    assert "secret" not in str(caught.value)
