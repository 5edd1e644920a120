"""Every provider's adapter: what a whole answer means, and what of it may be repeated."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.domain.outcome import Answered, NoAnswer, Rejected
from paceline.providers.lines import HttpAnswer

from .conformance import (
    CHUNKED,
    STATUSES,
    StatusCase,
    echo_everything,
    exchange,
    reveals_nothing,
)
from .scripted import answer, answering, scripted
from .subjects import SUBJECTS
from .subjects.subject import SENDER, messages


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
    assert reveals_nothing(subject, f"{outcome!r} {outcome.error} {caplog.text}")
    assert len(outcome.error) < 500
    assert server.requests_begun == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b"[]", b"{}", b"null", b"[" * 5000])
async def test_an_error_without_readable_words_still_has_its_status(subject, body):
    async with scripted(answering(answer(502, body))) as server:
        outcome = await exchange(subject, server)
    assert outcome.status == 502
    assert outcome.error == "502 Bad Gateway"


async def test_all_messages_of_an_accepted_call_have_ids_in_order(subject):
    sent = messages(min(5, subject.most))
    async with scripted(answering(subject.accepted(sent))) as server:
        outcome = await exchange(subject, server, sent)
    assert isinstance(outcome, Answered)
    assert list(outcome.provider_ids) == subject.ids(sent)
    assert not outcome.rejections


@pytest.mark.parametrize("reordered", [s for s in SUBJECTS if s.matched_by_reference], ids=str)
async def test_an_answer_that_names_references_may_come_in_any_order(reordered):
    sent = messages(5)
    body = reordered.accepts([sent[3], sent[0], sent[4], sent[2], sent[1]])
    async with scripted(answering(answer(200, body))) as server:
        outcome = await exchange(reordered, server, sent)
    assert isinstance(outcome, Answered)
    assert list(outcome.provider_ids) == reordered.ids(sent)


async def test_a_chunked_answer_after_100_continue_is_read(subject):
    body = subject.accepts(messages(1))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:7], body[7:])) + b"0\r\n\r\n"
    script = answering(b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + chunks)
    async with scripted(script) as server:
        assert isinstance(await exchange(subject, server), Answered)


@pytest.mark.parametrize("sent", [0, 1, 3, 500])
@pytest.mark.parametrize("bulk", [s for s in SUBJECTS if s.most > 1], ids=str)
async def test_a_short_or_long_answer_is_a_doubt(bulk, sent):
    async with scripted(answering(bulk.accepted(messages(sent)))) as server:
        outcome = await exchange(bulk, server, messages(2))
    assert isinstance(outcome, NoAnswer)
    assert str(sent) in outcome.error


@pytest.mark.parametrize(
    ("subject", "body"), [(s, body) for s in SUBJECTS for body in s.doubtful], ids=str
)
async def test_an_answer_that_cannot_be_matched_is_a_doubt_for_the_whole_call(subject, body):
    async with scripted(answering(answer(subject.accepted_status, body))) as server:
        outcome = await exchange(subject, server, messages(min(2, subject.most)))
        assert isinstance(outcome, NoAnswer)
        assert server.requests_begun == 1


@pytest.mark.parametrize(
    "body", [b"", b"OK", b"null", b"[]", b"\xff", b'{"messages":', b'{"messages":{}}', b"[" * 9000]
)
async def test_an_unreadable_answer_is_a_doubt(subject, body):
    async with scripted(answering(answer(subject.accepted_status, body))) as server:
        outcome = await exchange(subject, server)
        assert isinstance(outcome, NoAnswer)
        assert outcome.error.startswith("unreadable answer")
        assert server.requests_begun == 1


@pytest.mark.parametrize(
    ("subject", "status", "body", "rejection"),
    [(s, *case) for s in SUBJECTS for case in s.rejections],
    ids=str,
)
async def test_a_message_that_was_not_taken_says_why_and_whether_it_passes(
    subject, status, body, rejection
):
    async with scripted(answering(answer(status, body))) as server:
        outcome = await exchange(subject, server)
        assert isinstance(outcome, Answered)
        assert outcome.provider_ids == [None]
        assert outcome.rejections == {0: rejection}
        assert server.requests_begun == 1


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
@given(body=st.binary(max_size=200))
def test_no_bytes_make_the_reading_of_an_answer_fail(subject, body):
    call = subject.provider().prepare(SENDER, messages(1))
    assert isinstance(call._read(HttpAnswer(200, {}, body)), NoAnswer)
    assert call._read(HttpAnswer(500, {}, body)).status == 500
