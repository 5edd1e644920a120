"""Receipts over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select

from paceline.api import webhooks
from paceline.providers.mitto import Mitto
from paceline.storage import accounts
from paceline.storage import receipts as storage
from paceline.storage.database import DatabaseUnreachableError
from paceline.storage.schema import receipts
from tests.api.serving import Api, serving

RECEIPT = {"messageId": "m-1", "deliveryStatus": "Delivered"}
BODY = json.dumps(RECEIPT).encode()
SECRET = "shared secret"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with serving(database_url, WEBHOOK_SECRET=SECRET) as running:
        yield running


def path(api: Api) -> str:
    return f"/webhooks/mitto/{api.account.webhook_token}/dlr"


async def inbox(api: Api) -> list[Any]:
    query = select(receipts.c.provider_message_id, receipts.c.delivery).order_by(receipts.c.id)
    return await api.database.read(lambda c: [tuple(row) for row in c.execute(query)])


def signature(body: bytes) -> dict[str, str]:
    return {"X-Webhook-Signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}


async def test_a_receipt_is_kept_when_it_is_answered(api: Api) -> None:
    answer = await api.nobody("POST", path(api), RECEIPT)
    assert (answer.status, answer.json) == (202, {"ok": True, "updated": 1})
    assert await inbox(api) == [("m-1", "delivered")]
    assert api.woken == []  # it has nothing to send


async def test_several_and_sloppy_receipts_are_kept(api: Api) -> None:
    for headers in ({"Content-Type": ""}, {"Content-Type": "text/plain"}):
        several = json.dumps([RECEIPT, {**RECEIPT, "messageId": "m-\u00002"}]).encode()
        answer = await api.nobody("POST", path(api), data=several, headers=headers)
        assert answer.json == {"ok": True, "updated": 2}
    assert (await api.nobody("POST", path(api), data=b"[]")).json["updated"] == 0
    assert [each[0] for each in await inbox(api)] == ["m-1", "m-2"] * 2


async def test_a_signature_must_be_the_bodys(api: Api) -> None:
    good = await api.nobody("POST", path(api), data=BODY, headers=signature(BODY))
    assert good.status == 202
    for wrong in (signature(b"other"), {"X-Webhook-Signature": ""}, {"X-Webhook-Signature": "é"}):
        answer = await api.nobody("POST", path(api), data=BODY, headers=wrong)
        assert answer.status == 401, wrong
    assert len(await inbox(api)) == 1


async def test_what_is_no_receipt_is_refused(api: Api) -> None:
    for body in (b"", b"{", b"{}", b"\xff", b'{"messageId": "x"}'):
        answer = await api.nobody("POST", path(api), data=body)
        assert (answer.status, answer.json["code"]) == (400, "unreadable")
    assert (await api.nobody("POST", path(api), data=io.BytesIO(b"x" * 1_048_577))).status == 413

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 65536

    assert (await api.nobody("POST", path(api), data=endless())).status == 413
    assert await inbox(api) == []


async def test_an_unknown_token_is_nobodys(api: Api) -> None:
    token = api.account.webhook_token
    for wrong in (
        f"/webhooks/mitto/{token[:-1]}/dlr",
        f"/webhooks/twilio/{token}/dlr",
        "/webhooks/mitto/%00/dlr",
        f"/webhooks/mitto/{token}/other",
    ):
        assert (await api.nobody("POST", wrong, data=BODY)).status == 404
    assert (await api.nobody("GET", path(api))).status == 405


async def test_receipts_that_come_at_once_are_committed_together(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    write = api.database.write

    async def counted(*args: Any) -> Any:
        commits.append(1)
        return await write(*args)

    monkeypatch.setattr(api.database, "write", counted)
    bodies = [json.dumps({**RECEIPT, "messageId": f"m-{n}"}).encode() for n in range(40)]
    answers = await asyncio.gather(*(api.nobody("POST", path(api), data=body) for body in bodies))
    assert {answer.status for answer in answers} == {202}
    assert sorted(each[0] for each in await inbox(api)) == sorted(f"m-{n}" for n in range(40))
    assert len(commits) < 40


async def test_a_group_that_is_not_committed_is_refused_whole_and_taken_when_it_comes_again(
    api: Api, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    put = storage.put

    def fails(connection: Any, account_id: int, rows: Any) -> None:
        put(connection, account_id, rows)
        raise ZeroDivisionError("secret internals")

    monkeypatch.setattr(storage, "put", fails)
    answers = await asyncio.gather(*(api.nobody("POST", path(api), RECEIPT) for _ in range(5)))
    assert {answer.status for answer in answers} == {503}
    assert {answer.json["code"] for answer in answers} == {"receipts_not_kept"}
    assert all(answer.headers["Retry-After"] for answer in answers)
    assert not any("secret" in answer.text for answer in answers)
    assert "receipts_not_kept" in {each["event"] for each in logged}
    assert await inbox(api) == []
    monkeypatch.setattr(storage, "put", put)
    assert (await api.nobody("POST", path(api), RECEIPT)).status == 202
    assert len(await inbox(api)) == 1


async def test_a_database_that_is_gone_is_a_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(*_: Any) -> None:
        raise DatabaseUnreachableError("no host db.internal")

    for verb in ("write", "read"):  # whose token it is may be known from before
        monkeypatch.setattr(api.database, verb, gone)
        answer = await api.nobody("POST", path(api), RECEIPT)
        assert answer.status == 503
        assert "db.internal" not in answer.text


async def test_a_changed_token_ends_within_the_time_it_is_known_for(api: Api) -> None:
    before = path(api)
    assert (await api.nobody("POST", before, RECEIPT)).status == 202
    await api.database.write(accounts.change, api.account.id, {"webhook_token": "new-token"})
    changed = time.monotonic()
    while (await api.nobody("POST", before, RECEIPT)).status == 202:
        assert time.monotonic() - changed < webhooks.KNOWN_S + 0.5
    assert (await api.nobody("POST", before, RECEIPT)).status == 404
    assert (await api.nobody("POST", "/webhooks/mitto/new-token/dlr", RECEIPT)).status == 202


async def test_an_answer_has_the_headers_of_every_answer(api: Api) -> None:
    for answer in (
        await api.nobody("POST", path(api), RECEIPT),
        await api.nobody("POST", path(api), data=b"{"),
    ):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Request-Id"]


async def test_a_bug_is_a_plain_500_and_is_logged(
    api: Api, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("secret internals")

    monkeypatch.setattr(Mitto, "read_receipts", broken)
    answer = await api.nobody("POST", path(api), RECEIPT)
    assert (answer.status, answer.json["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert "request_failed" in {each["event"] for each in logged}
