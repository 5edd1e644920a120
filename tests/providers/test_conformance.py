"""Every provider's adapter: whatever happens, what went out is known, and it went out once."""

from __future__ import annotations

import asyncio
import logging
import socket
import time

import pytest

from paceline.domain.outcome import Answered, NoAnswer, NotSent, Outcome, Rejected
from paceline.domain.retry import is_retryable
from paceline.providers.base import OutgoingMessage, PermitVoidError, PreparedCall

from .conformance import (
    API_KEY,
    FAILURES,
    PHONE,
    SENDER,
    STATUSES,
    SUBJECTS,
    TEXT,
    Failure,
    StatusCase,
    Subject,
    echo_everything,
    in_time,
    messages,
    more_than_sockets_hold,
)
from .scripted import ScriptedServer, Visit, answer, answering, scripted


@pytest.fixture(params=SUBJECTS, ids=str)
def subject(request):
    return request.param


async def exchange(
    subject: Subject,
    server: ScriptedServer,
    sent: list[OutgoingMessage] | None = None,
    timeout_ms: int = 10_000,
) -> Outcome:
    """One call from its preparation to its outcome."""
    provider = subject.provider(server.url, timeout_ms)
    try:
        call = provider.prepare(SENDER, sent or messages(1))
        return await call.connect() or await call.submit(in_time())
    finally:
        await provider.aclose()


def reveals_nothing(text: str) -> bool:
    private = (API_KEY, PHONE, PHONE[1:], TEXT, TEXT[:20])
    return not any(piece in text for piece in private)


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
    async with scripted(answering(answer(200, subject.ids(1)))) as server:
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
    async with scripted(answering(answer(200, subject.ids(1)))) as server:
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
    async with scripted(answering(answer(200, subject.ids(1)))) as server:
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
    async with scripted(failure.script, answering(answer(200, subject.ids(1)))) as server:
        sent = more_than_sockets_hold() if failure.during_request else messages(1)
        outcome = await exchange(subject, server, sent, failure.timeout_ms)
        await server.visits[0].gone.wait()
        assert isinstance(outcome, NoAnswer)
        assert is_retryable(outcome)
        assert server.requests_begun == 1
        assert len(server.visits) == 1
        assert failure.during_request != bool(server.requests)
    assert 0 < len(outcome.error) <= 200
    assert reveals_nothing(outcome.error + caplog.text)


async def test_after_a_timeout_the_rest_of_the_request_stays_unsent(subject):
    async def reading_too_late(visit: Visit) -> None:
        await visit.some()
        visit.transport.pause_reading()
        await timed_out.wait()
        visit.transport.resume_reading()
        await visit.gone.wait()

    timed_out = asyncio.Event()
    async with scripted(reading_too_late) as server:
        outcome = await exchange(subject, server, more_than_sockets_hold(), timeout_ms=150)
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


# --- Whole answers --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", STATUSES, ids=str)
async def test_a_status_decides_the_outcome(subject, case: StatusCase):
    body = subject.error("SOME_CODE", "some words")
    async with scripted(answering(answer(case.status, body, **case.headers))) as server:
        outcome = await exchange(subject, server)
        assert type(outcome) is case.outcome
        assert {name: getattr(outcome, name) for name in case.expected} == case.expected
        assert "some words" in outcome.error
        assert server.requests_begun == 1


async def test_a_call_that_is_too_large_says_so_whatever_the_provider_calls_it(subject):
    async with scripted(answering(answer(413, subject.error("TOO_MANY", "200 at most")))) as server:
        outcome = await exchange(subject, server)
    assert isinstance(outcome, Rejected)
    assert outcome.rejection.code == "too_large"
    assert outcome.rejection.detail == "200 at most"


@pytest.mark.parametrize("status", [301, 400, 401, 403, 408, 413, 422, 429, 500, 503])
async def test_an_error_that_repeats_the_request_reveals_nothing(subject, status, caplog):
    caplog.set_level(logging.DEBUG)
    async with scripted(echo_everything(subject, status)) as server:
        outcome = await exchange(subject, server)
    assert reveals_nothing(f"{outcome!r} {outcome.error} {caplog.text}")
    assert len(outcome.error) < 500
    assert server.requests_begun == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b"[]", b"{}", b"null", b"[" * 5000])
async def test_an_error_without_readable_words_still_has_its_status(subject, body):
    async with scripted(answering(answer(502, body))) as server:
        outcome = await exchange(subject, server)
    assert outcome.status == 502
    assert outcome.error == "502 Bad Gateway"


async def test_all_messages_of_an_accepted_call_have_ids_in_order(subject):
    async with scripted(answering(answer(200, subject.ids(5)))) as server:
        outcome = await exchange(subject, server, messages(5))
    assert isinstance(outcome, Answered)
    assert list(outcome.provider_ids) == ["id-0", "id-1", "id-2", "id-3", "id-4"]
    assert not outcome.rejections


async def test_a_chunked_answer_after_100_continue_is_read(subject):
    body = subject.ids(1)
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:7], body[7:])) + b"0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    script = answering(b"HTTP/1.1 100 Continue\r\n\r\n" + head + chunked)
    async with scripted(script) as server:
        assert isinstance(await exchange(subject, server), Answered)


@pytest.mark.parametrize("sent", [0, 1, 3, 500])
async def test_a_short_or_long_answer_is_a_doubt(subject, sent):
    async with scripted(answering(answer(200, subject.ids(sent)))) as server:
        outcome = await exchange(subject, server, messages(2))
    assert isinstance(outcome, NoAnswer)
    assert str(sent) in outcome.error


@pytest.mark.parametrize(
    "body", [b"", b"OK", b"null", b"[]", b"\xff", b'{"messages":', b'{"messages":{}}', b"[" * 9000]
)
async def test_an_unreadable_answer_is_a_doubt(subject, body):
    async with scripted(answering(answer(200, body))) as server:
        outcome = await exchange(subject, server)
    assert isinstance(outcome, NoAnswer)
    assert outcome.error.startswith("unreadable answer")
    assert server.requests_begun == 1


# --- Connections ----------------------------------------------------------------------------------


async def test_as_many_calls_as_are_connected_have_a_connection_each_and_reuse_it(subject):
    script = answering(*[answer(200, subject.ids(1))] * 3)
    async with scripted(script) as server:
        provider = subject.provider(server.url)
        for _ in range(3):
            calls: list[PreparedCall] = [provider.prepare(SENDER, messages(1)) for _ in range(8)]
            assert [await call.connect() for call in calls] == [None] * 8
            outcomes = [await call.submit(in_time()) for call in calls]
            assert {type(outcome) for outcome in outcomes} == {Answered}
        assert [len(visit.requests) for visit in server.visits] == [3] * 8
        await provider.aclose()
