"""Receipts over HTTP."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select

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
    assert api.woken


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
