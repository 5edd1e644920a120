"""Every provider's adapter: whatever happens, what went out is known, and it went out once."""

from __future__ import annotations

import asyncio
import logging
import socket
import time

import pytest

from paceline import __version__
from paceline.domain.outcome import Answered, NoAnswer, NotSent
from paceline.domain.retry import is_retryable
from paceline.providers import check_sender
from paceline.providers.base import (
    PermitVoidError,
    PreparedCall,
)

from .conformance import (
    FAILURES,
    Failure,
    exchange,
    in_time,
    more_than_sockets_hold,
    reveals_nothing,
)
from .scripted import Visit, answering, scripted
from .subjects.subject import API_KEY, GREEK, SENDER, messages

# --- What is declared -----------------------------------------------------------------------------


def test_what_it_can_do_is_declared_with_and_without_an_adapter(subject):
    assert subject.provider().capabilities == subject.capabilities
    assert subject.declared() == subject.capabilities


def test_a_call_of_more_messages_than_declared_is_refused(subject):
    provider = subject.provider()
    provider.prepare(SENDER, messages(subject.most))
    with pytest.raises(ValueError, match="at most"):
        provider.prepare(SENDER, messages(subject.most + 1))


def test_senders_are_checked(subject):
    assert {each: check_sender(subject.name, each) for each in subject.senders} == dict.fromkeys(
        subject.senders
    )
    assert all(check_sender(subject.name, each) for each in subject.no_senders)


# --- The request ----------------------------------------------------------------------------------


async def test_the_request_is_these_bytes(subject):
    sent = GREEK[: subject.most]
    async with scripted(answering(subject.accepted(sent))) as server:
        await exchange(subject, server, sent)
        head, _, body = subject.golden.partition(b"\r\n\r\n")
        for name, value in (("PORT", server.port), ("VERSION", __version__), ("LENGTH", len(body))):
            head = head.replace(name.encode(), str(value).encode())
        assert server.received == head + b"\r\n\r\n" + body


@pytest.mark.parametrize("path", ["/", "/gateway", "/gateway/"])
async def test_the_base_url_may_have_a_path_and_a_slash(subject, path):
    target = subject.golden.split(b" ", 2)[1]
    async with scripted(answering(subject.accepted(messages(1)))) as server:
        provider = subject.provider(server.url + path)
        await provider.prepare(SENDER, messages(1)).submit(in_time())
        await provider.aclose()
        assert server.received.split(b" ", 2)[1] == path.rstrip("/").encode() + target


async def test_an_empty_call_is_good_for_trying_the_connection(subject):
    async with scripted(answering()) as server:
        provider = subject.provider(server.url)
        call = provider.prepare(SENDER, [])
        assert await call.connect() is None
        call.release()
        await provider.aclose()
        assert server.received == b""


# --- Before the first byte: not sent --------------------------------------------------------------


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def test_a_refused_connection_is_not_sent(subject):
    provider = subject.provider(f"http://127.0.0.1:{closed_port()}")
    outcome = await provider.prepare(SENDER, messages(1)).connect()
    assert isinstance(outcome, NotSent)
    assert outcome.error.startswith("no connection: ")
    assert is_retryable(outcome)
    await provider.aclose()


async def test_submit_without_connect_connects_by_itself(subject):
    async with scripted(answering(subject.accepted(messages(1)))) as server:
        provider = subject.provider(server.url)
        outcome = await provider.prepare(SENDER, messages(1)).submit(in_time())
        assert isinstance(outcome, Answered)
        await provider.aclose()
    provider = subject.provider(f"http://127.0.0.1:{closed_port()}")
    assert isinstance(await provider.prepare(SENDER, messages(1)).submit(in_time()), NotSent)
    await provider.aclose()


async def test_an_unknown_host_is_not_sent(subject, monkeypatch):
    def no_such_name(*args, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    provider = subject.provider("http://nowhere.invalid")
    outcome = await provider.prepare(SENDER, messages(1)).connect()
    assert isinstance(outcome, NotSent)
    assert "nowhere.invalid" in outcome.error
    await provider.aclose()


async def test_tls_to_a_plain_port_is_not_sent(subject):
    async def plain(visit: Visit) -> None:
        await visit.some()
        visit.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        visit.close()

    async with scripted(plain) as server:
        provider = subject.provider(f"https://127.0.0.1:{server.port}")
        outcome = await provider.prepare(SENDER, messages(1)).connect()
        assert isinstance(outcome, NotSent)
        assert server.received[:1] == b"\x16"  # a TLS handshake and nothing else
        assert API_KEY.encode() not in server.received
        await provider.aclose()


async def test_a_connect_that_takes_too_long_is_not_sent(subject):
    async def silent(visit: Visit) -> None:
        await visit.gone.wait()

    async with scripted(silent) as server:
        provider = subject.provider(f"https://127.0.0.1:{server.port}", timeout_ms=150)
        outcome = await provider.prepare(SENDER, messages(1)).connect()
        assert outcome == NotSent("no connection within 0.15 s")
        await provider.aclose()


async def test_a_connection_closed_before_the_request_is_not_sent(subject):
    async def closing(visit: Visit) -> None:
        visit.close()

    async with scripted(closing) as server:
        provider = subject.provider(server.url)
        call = provider.prepare(SENDER, messages(1))
        outcome = await call.connect()
        if outcome is None:  # the close came after the look
            await server.first_visit.wait()
            await server.visits[0].gone.wait()
            outcome = await call.submit(in_time())
        assert outcome == NotSent("no connection: the server closed it before the request")
        assert server.received == b""
        assert len(server.visits) == 1
        await provider.aclose()


# --- The permit -----------------------------------------------------------------------------------


async def test_past_send_by_not_one_byte_goes_out_and_the_connection_is_kept(subject):
    async with scripted(answering(subject.accepted(messages(1)))) as server:
        provider = subject.provider(server.url)
        call = provider.prepare(SENDER, messages(1))
        assert await call.connect() is None
        for _ in range(3):
            with pytest.raises(PermitVoidError):
                await call.submit(time.monotonic() - 0.001)
        assert server.received == b""
        assert isinstance(await call.submit(in_time()), Answered)
        assert server.requests_begun == 1
        assert len(server.visits) == 1
        await provider.aclose()


async def test_connect_sends_nothing(subject):
    async with scripted(answering(subject.accepted(messages(1)))) as server:
        provider = subject.provider(server.url)
        call = provider.prepare(SENDER, messages(1))
        for _ in range(3):
            assert await call.connect() is None
        await call.submit(in_time())
        assert server.received == server.requests[0]
        assert len(server.visits) == 1
        await provider.aclose()


# --- After the first byte: a doubt, and never a second request ------------------------------------


@pytest.mark.parametrize("failure", FAILURES, ids=str)
async def test_a_failure_after_the_first_byte_is_a_doubt_and_nothing_is_repeated(
    subject, failure: Failure, caplog
):
    caplog.set_level(logging.DEBUG)
    whole = subject.accepted(messages(1))
    async with scripted(failure.script(whole), answering(subject.accepted(messages(1)))) as server:
        sent = more_than_sockets_hold(subject) if failure.during_request else messages(1)
        outcome = await exchange(subject, server, sent, failure.timeout_ms)
        await server.visits[0].gone.wait()
        assert isinstance(outcome, NoAnswer)
        assert is_retryable(outcome)
        assert server.requests_begun == 1
        assert len(server.visits) == 1
        assert failure.during_request != bool(server.requests)
    assert 0 < len(outcome.error) <= 200
    assert reveals_nothing(subject, outcome.error + caplog.text)


async def test_after_a_timeout_the_rest_of_the_request_stays_unsent(subject):
    async def reading_too_late(visit: Visit) -> None:
        await visit.some()
        visit.transport.pause_reading()
        await timed_out.wait()
        visit.transport.resume_reading()
        await visit.gone.wait()

    timed_out = asyncio.Event()
    async with scripted(reading_too_late) as server:
        outcome = await exchange(subject, server, more_than_sockets_hold(subject), timeout_ms=150)
        timed_out.set()
        await server.visits[0].gone.wait()
        assert isinstance(outcome, NoAnswer)
        assert not server.requests


async def test_cancelling_a_submission_is_not_swallowed_and_closes_the_connection(subject):
    async def silent(visit: Visit) -> None:
        await visit.gone.wait()

    async with scripted(silent) as server:
        provider = subject.provider(server.url)
        call = provider.prepare(SENDER, messages(1))
        assert await call.connect() is None
        submission = asyncio.ensure_future(call.submit(in_time()))
        await server.first_visit.wait()
        await server.visits[0].request()
        submission.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submission
        await server.visits[0].gone.wait()
        assert server.requests_begun == 1
        await provider.aclose()


# --- Connections ----------------------------------------------------------------------------------


async def test_as_many_calls_as_are_connected_have_a_connection_each_and_reuse_it(subject):
    script = answering(*[subject.accepted(messages(1))] * 3)
    async with scripted(script) as server:
        provider = subject.provider(server.url)
        for _ in range(3):
            calls: list[PreparedCall] = [provider.prepare(SENDER, messages(1)) for _ in range(8)]
            assert [await call.connect() for call in calls] == [None] * 8
            outcomes = [await call.submit(in_time()) for call in calls]
            assert {type(outcome) for outcome in outcomes} == {Answered}
        assert [len(visit.requests) for visit in server.visits] == [3] * 8
        await provider.aclose()
