"""Every provider's adapter: asking what became of a message, which must never prove too much."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from paceline.domain.message import Delivery
from paceline.domain.outcome import Answered, Known
from paceline.providers import look_ups
from paceline.providers.base import LookUpFailedError
from paceline.providers.simulated import LOOK_UPS_AT_ONCE

from .conformance import (
    FAILURES,
    HANG_MS,
    asked_for,
    in_time,
    looking_up,
    reveals_nothing,
)
from .scripted import ScriptedServer, Visit, answer, answering, scripted
from .subjects import SUBJECTS
from .subjects.subject import API_KEY, PHONE, SENDER, TEXT, Subject, messages

ASKED = [s for s in SUBJECTS if s.look_ups is not None]


@pytest.mark.parametrize("deaf", [s for s in SUBJECTS if s.look_ups is None], ids=str)
async def test_a_provider_that_cannot_be_asked_is_not_asked(deaf):
    async with scripted(answering()) as server:
        provider = deaf.provider(server.url)
        assert not provider.capabilities.looks_up
        with pytest.raises(LookUpFailedError, match="cannot be asked"):
            await provider.look_up(["inst-0-0"])
        await provider.aclose()
        assert not server.visits


@pytest.mark.parametrize("asked", ASKED, ids=str)
async def test_a_look_up_finds_what_is_known_and_leaves_out_what_is_not(asked):
    references = [f"inst-{n}-0" for n in range(asked.capabilities.max_look_ups)]
    known = {
        "inst-0-0": Known(asked.ids(messages(1))[0], Delivery.DELIVERED),
        "inst-2-0": Known(asked.ids(messages(3))[2]),
    }
    async with scripted(looking_up(asked, known)) as server:
        provider = asked.provider(server.url)
        assert await provider.look_up(references) == known
        await provider.aclose()
        asked_about = [each for request in server.requests for each in asked_for(asked, request)]
        assert sorted(asked_about) == sorted(references)
        assert len(server.visits) <= LOOK_UPS_AT_ONCE
        assert server.requests_begun == 0


@pytest.mark.parametrize("asked", ASKED, ids=str)
async def test_a_look_up_of_nothing_asks_nobody_or_finds_nothing(asked):
    async with scripted(looking_up(asked, {})) as server:
        provider = asked.provider(server.url)
        assert await provider.look_up(["inst-0-0"]) == {}
        await provider.aclose()


@pytest.mark.parametrize("asked", ASKED, ids=str)
async def test_a_look_up_of_more_than_declared_is_refused(asked):
    provider = asked.provider()
    with pytest.raises(ValueError, match="at most"):
        await provider.look_up(["inst-0-0"] * (asked.capabilities.max_look_ups + 1))
    await provider.aclose()


@pytest.mark.parametrize("status", [301, 400, 401, 403, 429, 500, 503])
@pytest.mark.parametrize("asked", ASKED, ids=str)
async def test_a_look_up_that_is_not_answered_proves_nothing(asked, status, caplog):
    caplog.set_level(logging.DEBUG)
    words = asked.error(f"E-{PHONE}", f"{API_KEY} {PHONE} {TEXT}")
    async with scripted(answering(answer(status, words, Retry_After="7"))) as server:
        failed = await failed_look_up(asked, server)
        assert str(status) in str(failed)
        assert failed.retry_after_ms == 7_000
        assert reveals_nothing(asked, str(failed) + caplog.text)


@pytest.mark.parametrize(
    ("asked", "inconclusive"),
    [(s, each) for s in ASKED if s.look_ups for each in s.look_ups.inconclusive],
    ids=str,
)
async def test_an_answer_from_which_nothing_follows_is_not_taken_for_unknown(asked, inconclusive):
    async with scripted(answering(inconclusive)) as server:
        await failed_look_up(asked, server)


@pytest.mark.parametrize("body", [b"", b"OK", b"null", b"[]", b"{}", b"\xff", b"[" * 9000])
@pytest.mark.parametrize("asked", ASKED, ids=str)
async def test_an_unreadable_answer_to_a_look_up_proves_nothing(asked, body):
    async with scripted(answering(answer(200, body))) as server:
        failed = await failed_look_up(asked, server)
        assert str(failed).startswith("unreadable answer")


@pytest.mark.parametrize("asked", ASKED, ids=str)
@pytest.mark.parametrize("failure", [f for f in FAILURES if not f.during_request], ids=str)
async def test_a_look_up_that_breaks_off_proves_nothing_and_is_not_repeated(asked, failure):
    whole = asked.look_ups.answer(["inst-0-0"], {})
    async with scripted(failure.script(whole), looking_up(asked, {})) as server:
        failed = await failed_look_up(asked, server, failure.timeout_ms)
        assert str(failed).startswith("no ")
        assert len(server.visits) == 1


@pytest.mark.parametrize("asked", ASKED, ids=str)
async def test_one_reference_without_an_answer_leaves_nothing_known(asked):
    def answers(references, known):
        if "inst-1-0" in references:
            return answer(503, b"")
        return asked.look_ups.answer(references, known)

    known = {"inst-0-0": Known(asked.ids(messages(1))[0])}
    partly = replace(asked, look_ups=replace(asked.look_ups, answer=answers))
    async with scripted(looking_up(partly, known)) as server:
        await failed_look_up(asked, server, references=["inst-0-0", "inst-1-0", "inst-2-0"])


@pytest.mark.parametrize("asked", ASKED, ids=str)
async def test_a_look_up_has_a_short_time_and_connections_of_its_own(asked, monkeypatch):
    monkeypatch.setattr(look_ups, "TIMEOUT_MS", HANG_MS)

    async def deaf_to_questions(visit: Visit) -> None:
        await visit.request()
        if visit.received.startswith(b"POST"):
            await looked_up.wait()
            visit.write(asked.accepted(messages(1)))
        await visit.gone.wait()

    looked_up = asyncio.Event()
    async with scripted(deaf_to_questions) as server:
        provider = asked.provider(server.url)
        submission = asyncio.ensure_future(provider.prepare(SENDER, messages(1)).submit(in_time()))
        with pytest.raises(LookUpFailedError, match=r"no answer within 0\.15 s"):
            await provider.look_up(["inst-0-0"])
        looked_up.set()
        assert isinstance(await submission, Answered)
        assert len(server.visits) == 2
        await provider.aclose()


async def failed_look_up(
    asked: Subject,
    server: ScriptedServer,
    timeout_ms: int = 10_000,
    references: tuple[str, ...] | list[str] = ("inst-0-0",),
) -> LookUpFailedError:
    provider = asked.provider(server.url, timeout_ms)
    try:
        with pytest.raises(LookUpFailedError) as caught:
            await provider.look_up(references)
        return caught.value
    finally:
        await provider.aclose()
