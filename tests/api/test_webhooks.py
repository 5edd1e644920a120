"""Webhooks over HTTP: receipts, and what is refused of receipts and replies alike."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import io
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
import structlog
from sqlalchemy import select

from paceline.api import webhooks
from paceline.providers.mitto import Mitto
from paceline.storage import accounts, inbox
from paceline.storage.database import DatabaseUnreachableError
from paceline.storage.schema import audit_log, inbound_messages, receipts, suppressions
from paceline.telemetry import mask
from tests.api.serving import ACCOUNT, Api, serving
from tests.loop_time import jump

RECEIPT = {"messageId": "m-1", "deliveryStatus": "Delivered"}
BODY = json.dumps(RECEIPT).encode()
SECRET = "shared secret"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with serving(database_url, WEBHOOK_SECRET=SECRET) as running:
        yield running


def path(api: Api) -> str:
    return f"/webhooks/mitto/{api.account.webhook_token}/dlr"


async def kept(api: Api) -> list[Any]:
    query = select(receipts.c.provider_message_id, receipts.c.delivery).order_by(receipts.c.id)
    return await api.database.read(lambda c: [tuple(row) for row in c.execute(query)])


def signature(body: bytes) -> dict[str, str]:
    return {"X-Webhook-Signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}


async def test_a_receipt_is_kept_when_it_is_answered(api: Api) -> None:
    answer = await api.nobody("POST", path(api), RECEIPT)
    assert (answer.status, answer.json) == (202, {"ok": True, "updated": 1})
    assert await kept(api) == [("m-1", "delivered")]
    assert api.woken == []  # it has nothing to send


async def test_several_and_sloppy_receipts_are_kept(api: Api) -> None:
    for headers in ({"Content-Type": ""}, {"Content-Type": "text/plain"}):
        several = json.dumps([RECEIPT, {**RECEIPT, "messageId": "m-\u00002"}]).encode()
        answer = await api.nobody("POST", path(api), data=several, headers=headers)
        assert answer.json == {"ok": True, "updated": 2}
    assert (await api.nobody("POST", path(api), data=b"[]")).json["updated"] == 0
    assert [each[0] for each in await kept(api)] == ["m-1", "m-2"] * 2


async def test_a_signature_must_be_the_bodys(api: Api) -> None:
    good = await api.nobody("POST", path(api), data=BODY, headers=signature(BODY))
    assert good.status == 202
    for wrong in (signature(b"other"), {"X-Webhook-Signature": ""}, {"X-Webhook-Signature": "é"}):
        answer = await api.nobody("POST", path(api), data=BODY, headers=wrong)
        assert answer.status == 401, wrong
    assert len(await kept(api)) == 1


async def test_what_is_no_receipt_is_refused(api: Api) -> None:
    for body in (b"", b"{", b"{}", b"\xff", b'{"messageId": "x"}'):
        answer = await api.nobody("POST", path(api), data=body)
        assert (answer.status, answer.json["code"]) == (400, "unreadable")
    assert (await api.nobody("POST", path(api), data=io.BytesIO(b"x" * 1_048_577))).status == 413

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 65536

    assert (await api.nobody("POST", path(api), data=endless())).status == 413
    assert await kept(api) == []


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
    assert sorted(each[0] for each in await kept(api)) == sorted(f"m-{n}" for n in range(40))
    assert len(commits) < 40


async def test_a_group_that_is_not_committed_is_refused_whole_and_taken_when_it_comes_again(
    api: Api, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    put = inbox.put

    def fails(connection: Any, account_id: int, rows: Any) -> None:
        put(connection, account_id, rows)
        raise ZeroDivisionError("secret internals")

    monkeypatch.setattr(inbox, "put", fails)
    answers = await asyncio.gather(*(api.nobody("POST", path(api), RECEIPT) for _ in range(5)))
    assert {answer.status for answer in answers} == {503}
    assert {answer.json["code"] for answer in answers} == {"receipts_not_kept"}
    assert all(answer.headers["Retry-After"] for answer in answers)
    assert not any("secret" in answer.text for answer in answers)
    assert "receipts_not_kept" in {each["event"] for each in logged}
    assert await kept(api) == []
    monkeypatch.setattr(inbox, "put", put)
    assert (await api.nobody("POST", path(api), RECEIPT)).status == 202
    assert len(await kept(api)) == 1


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
    jump(webhooks.KNOWN_S)
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


# --- what is refused, of receipts and replies alike

PHONE = "+306912345678"
REPLY = {"id": "in-1", "from": PHONE, "to": "447400000001", "text": "STOP, says Maria"}
KINDS = {"dlr": RECEIPT | {"to": PHONE}, "inbound": REPLY}


async def nothing_was_written(api: Api) -> bool:
    def rows(connection: Any) -> list[Any]:
        of_people = select(audit_log).where(audit_log.c.action.startswith("suppression."))
        queries = (*map(select, (receipts, inbound_messages, suppressions)), of_people)
        return [row for query in queries for row in connection.execute(query)]

    return await api.database.read(rows) == []


@pytest.fixture
def masked() -> Any:
    """The log as it is written, in which nothing may tell of a person."""
    processors = structlog.get_config()["processors"]
    events: list[str] = []

    def keep(_logger: Any, _method: str, event: Any) -> Any:
        events.append(repr(event))
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.processors.format_exc_info, mask, keep])
    yield events
    structlog.configure(processors=processors)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_refused_leaves_no_trace_of_a_person(
    api: Api, kind: str, masked: list[str]
) -> None:
    token = api.account.webhook_token
    body = json.dumps(KINDS[kind]).encode()
    forged = {"X-Webhook-Signature": "0" * 64}

    async def status(data: Any, *, at: str = token, headers: Any = None) -> int:
        path = f"/webhooks/mitto/{at}/{kind}"
        answer = await api.nobody("POST", path, data=io.BytesIO(data), headers=headers or {})
        return answer.status

    assert await status(body, headers=forged) == 401
    assert await status(body + b" " * 10_000_000) == 413
    assert await status(body.replace(b"Maria", b"\xff\xfe").replace(b"m-1", b"\xff")) == 400
    assert await status(body[:-1]) == 400
    assert await status(body, at=f"{token[:-1]}x") == 404
    assert (await api.nobody("GET", f"/webhooks/mitto/{token}/{kind}")).status == 405
    assert await nothing_was_written(api)
    written = " ".join(masked)
    assert "request" in written
    for personal in ("6912345678", "Maria", token):
        assert personal not in written


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_repeated_is_taken_without_effect(api: Api, kind: str) -> None:
    path = f"/webhooks/mitto/{api.account.webhook_token}/{kind}"
    for _ in range(3):
        answer = await api.nobody("POST", path, KINDS[kind])
        assert (answer.status, answer.json) == (202, {"ok": True, "updated": 1})
    kept = await api.database.read(lambda c: c.execute(select(inbound_messages)).all())
    assert len(kept) == (1 if kind == "inbound" else 0)
    # A receipt may come again, as the fold that counts it changes nothing the second time.


# --- a provider that signs

AUTH_TOKEN = "twilio's auth token"
PUBLIC_URL = "https://sms.example.com/a"
FORMS = {
    "dlr": {"MessageSid": "SM1", "MessageStatus": "delivered"},
    "inbound": {"MessageSid": "SM2", "From": PHONE, "To": "+447400000001", "Body": "Hello"},
}


def twilio_signature(url: str, form: dict[str, str]) -> dict[str, str]:
    text = url + "".join(name + form[name] for name in sorted(form))
    digest = hmac.digest(AUTH_TOKEN.encode(), text.encode(), hashlib.sha1)
    return {
        "X-Twilio-Signature": base64.b64encode(digest).decode(),
        "Content-Type": "application/x-www-form-urlencoded",
    }


async def twilio(api: Api) -> str:
    """The start of the webhook paths of an account with Twilio."""
    values = ACCOUNT | {"provider": "twilio", "api_key": AUTH_TOKEN, "external_id": "AC" + "0" * 32}
    account = await api.database.write(accounts.keep, name="twilio", values=values)
    return f"/webhooks/twilio/{account.webhook_token}"


@pytest.mark.parametrize("kind", FORMS)
async def test_a_providers_own_signature_is_over_the_public_address(
    database_url: str, kind: str
) -> None:
    async with serving(database_url, PACELINE_PUBLIC_URL=PUBLIC_URL) as api:
        path = f"{await twilio(api)}/{kind}?reference=a%20b"
        data = urlencode(FORMS[kind])
        good = twilio_signature(PUBLIC_URL + path, FORMS[kind])
        hosts = twilio_signature(api.base + path, FORMS[kind])
        for headers, status in ((hosts, 401), ({**good, "Host": "evil.example"}, 202)):
            answer = await api.nobody("POST", path, data=data, headers=headers)
            assert answer.status == status
        unsigned = {"Content-Type": good["Content-Type"]}
        answer = await api.nobody("POST", path, data=data, headers=unsigned)
        assert answer.status == 401
        kept = receipts if kind == "dlr" else inbound_messages
        assert len(await api.database.read(lambda c: c.execute(select(kept)).all())) == 1


async def test_without_the_public_address_a_signature_is_refused_and_the_setting_is_named(
    api: Api, logged: list[Any]
) -> None:
    path = f"{await twilio(api)}/dlr"
    headers = twilio_signature(api.base + path, FORMS["dlr"])
    answer = await api.nobody("POST", path, data=urlencode(FORMS["dlr"]), headers=headers)
    assert answer.status == 401
    (event,) = [each for each in logged if each["event"] == "signature_unverifiable"]
    assert (event["log_level"], event["unset"]) == ("error", "PACELINE_PUBLIC_URL")
    assert await nothing_was_written(api)
