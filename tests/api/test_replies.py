"""Replies and opt-out links over HTTP."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from paceline.engine.rendering import opt_out_tokens
from paceline.storage import accounts, messages, replies, suppressions, tenants
from paceline.storage.database import Database, DatabaseUnreachableError
from paceline.storage.schema import audit_log
from paceline.storage.schema import suppressions as suppressions_table
from paceline.storage.sealing import sealer_of
from tests.api.serving import Answer, Api, Caller, serving

PHONE = "+306912345678"
STOP = {"id": "in-1", "from": "306912345678", "to": "447400000001", "text": "Stop!"}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with serving(database_url, PACELINE_PUBLIC_URL="https://sms.example.com") as running:
        yield running


async def reply(api: Api, body: Any) -> Answer:
    path = f"/webhooks/mitto/{api.account.webhook_token}/inbound"
    return await api.nobody("POST", path, body)


async def own(api: Api, tenant_id: int | None) -> None:
    """Make the account that tenant's own."""
    await api.database.write(accounts.change, api.account.id, {"tenant_id": tenant_id})


async def audited(api: Api) -> list[tuple[str, str]]:
    rows = await api.database.read(lambda c: c.execute(select(audit_log)).all())
    return [(row.actor, row.action) for row in rows if row.action.startswith("suppression.")]


async def suppressed(api: Api) -> list[tuple[int, str, str]]:
    rows = await api.database.read(lambda c: c.execute(select(suppressions_table)).all())
    return [(row.tenant_id, row.phone, row.source) for row in rows]


# --- replies


async def test_a_stop_is_done_when_it_is_answered_and_its_confirmation_is_on_its_way(
    api: Api, call: Caller, logged: list[Any]
) -> None:
    await own(api, call.tenant_id)
    answer = await reply(api, [STOP, {**STOP, "id": "in-2", "text": "Who is this?"}])
    assert (answer.status, answer.json) == (202, {"ok": True, "updated": 2})
    assert api.woken == [1]
    assert (await call("GET", "/api/suppressions")).json["data"][0]["source"] == "stop"
    (confirmation,) = await api.database.read(messages.page, call.tenant_id, campaign_id=None)
    assert (confirmation.phone, confirmation.status) == (PHONE, "queued")
    refused = await call("POST", "/api/messages", {"to": PHONE, "text": "Hi"})
    assert refused.status == 422
    assert [each for each in logged if each["event"] == "reply_done"] == [
        {
            "component": "replies",
            "log_level": "info",
            "event": "reply_done",
            "tenant_id": call.tenant_id,
            "keyword": "stop",
        }
    ]


async def test_replies_are_listed_for_their_tenant_newest_first(api: Api, call: Caller) -> None:
    await own(api, call.tenant_id)
    for number in range(3):
        await reply(api, {**STOP, "id": f"in-{number}", "text": f"Hello {number}"})
    first = (await call("GET", "/api/replies?limit=2")).json
    assert [each["text"] for each in first["data"]] == ["Hello 2", "Hello 1"]
    shown = first["data"][0]
    assert shown["received_at"].endswith("Z")
    assert {name: shown[name] for name in ("phone", "number", "keyword", "traffic_account_id")} == {
        "phone": PHONE,
        "number": "447400000001",
        "keyword": None,
        "traffic_account_id": api.account.id,
    }
    rest = (await call("GET", f"/api/replies?cursor={first['next_cursor']}")).json
    assert [each["text"] for each in rest["data"]] == ["Hello 0"]
    assert rest["next_cursor"] is None
    rival = await api.caller("rival")
    assert (await rival("GET", "/api/replies")).json["data"] == []


async def test_a_reply_of_nobody_is_kept_and_logged_without_number_or_text(
    api: Api, logged: list[Any]
) -> None:
    assert (await reply(api, STOP)).status == 202
    (event,) = [each for each in logged if each["event"] == "reply_of_nobody"]
    assert event["traffic_account_id"] == api.account.id
    assert not any(personal in str(logged) for personal in ("6912345678", "Stop!", "447400000001"))
    assert await suppressed(api) == []
    assert api.woken == []


async def test_a_stop_that_is_not_committed_is_not_taken(
    api: Api, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await own(api, call.tenant_id)
    add = suppressions.add

    def fails(*args: Any, **kwargs: Any) -> int:
        add(*args, **kwargs)
        raise DatabaseUnreachableError("the connection was lost")

    monkeypatch.setattr(suppressions, "add", fails)
    assert (await reply(api, STOP)).status == 503
    assert await suppressed(api) == []
    assert await api.database.read(replies.page, call.tenant_id) == []
    monkeypatch.setattr(suppressions, "add", add)
    assert (await reply(api, STOP)).status == 202
    assert await suppressed(api) == [(call.tenant_id, PHONE, "stop")]


async def test_who_suppresses_through_the_api_is_written_down(api: Api, call: Caller) -> None:
    await call("POST", "/api/suppressions", {"phones": [PHONE]})
    (listed,) = (await call("GET", "/api/suppressions")).json["data"]
    assert listed["source"] == "operator"
    await call("POST", "/api/suppressions", {"phones": [PHONE]})
    await call("DELETE", f"/api/suppressions/{PHONE}")
    (key,) = await api.database.read(tenants.keys_of, call.tenant_id)
    actor = f"key {key.id} (test)"
    assert await audited(api) == [(actor, "suppression.add"), (actor, "suppression.remove")]


# --- opt-out links


async def test_a_campaigns_messages_are_shown_with_the_links_that_they_are_sent_with(
    api: Api, call: Caller
) -> None:
    await call("POST", "/api/contacts", {"phone": PHONE})
    new = {"name": "spring", "text": "No more: {{unsubscribe_url}}"}
    campaign = (await call("POST", "/api/campaigns", new)).json
    await call("POST", f"/api/campaigns/{campaign['id']}/enqueue")
    (shown,) = (await call("GET", f"/api/campaigns/{campaign['id']}/messages")).json["data"]
    (url,) = re.findall(r"https://sms\.example\.com(/u/\S+)$", shown["text"])
    assert (await call("GET", f"/api/messages/{shown['id']}")).json["text"] == shown["text"]
    assert (await api.nobody("POST", url)).status == 200
    assert await suppressed(api) == [(call.tenant_id, PHONE, "link")]


async def test_a_link_needs_the_public_address(tmp_path: Path) -> None:
    async with serving(f"sqlite:///{tmp_path}/paceline.db") as api:
        call = await api.caller("acme")
        new = {"name": "spring", "text": "{{unsubscribe_url}}"}
        refused = await call("POST", "/api/campaigns", new)
        (problem,) = refused.json["errors"]
        assert (refused.status, problem["field"]) == (422, "text")
        assert "PACELINE_PUBLIC_URL" in problem["reason"]


@pytest.fixture
async def link(api: Api, call: Caller) -> str:
    """The path of the link in a message of the caller's."""
    sent = await call("POST", "/api/messages", {"to": PHONE, "text": "Hi"})
    return f"/u/{opt_out_tokens(sealer_of(api.settings)).of(sent.json['id'])}"


async def test_opening_a_link_asks_and_does_nothing(api: Api, link: str) -> None:
    for method in ("GET", "HEAD"):
        answer = await api.nobody(method, link)
        assert answer.status == 200
    page = (await api.nobody("GET", link)).text
    assert "acme" in page
    assert '<form method="post"><button>' in page
    assert await suppressed(api) == []
    assert await audited(api) == []


async def test_pressing_its_button_opts_out_once(api: Api, call: Caller, link: str) -> None:
    for _ in range(2):
        answer = await api.nobody("POST", link)
        assert answer.status == 200
        assert "no more messages from acme" in answer.text
        assert "<form" not in answer.text
    assert await suppressed(api) == [(call.tenant_id, PHONE, "link")]
    assert await audited(api) == [("recipient", "suppression.add")]


async def test_a_page_tells_nobody_a_number_and_needs_nothing_from_elsewhere(
    api: Api, link: str
) -> None:
    for method in ("GET", "POST"):
        answer = await api.nobody(method, link)
        assert not re.search("691|2345678", answer.text)
        assert not re.search(r"<script|<style|style=|javascript:|onclick|http", answer.text)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        policy = answer.headers["Content-Security-Policy"]
        for directive in ("default-src 'none'", "style-src 'self'", "form-action 'self'"):
            assert directive in policy
        assert "unsafe" not in policy
    style = await api.nobody("GET", "/u/style.css")
    assert (style.status, style.headers["Content-Type"]) == (200, "text/css; charset=utf-8")


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("el-GR,el;q=0.9,en;q=0.8", "el"),
        ("en-US,en;q=0.9,el;q=0.8", "en"),
        ("de,el;q=0.2,en;q=0.1", "el"),
        ("el;q=0", "en"),
        ("*;q=x,;;", "en"),
        ("fr", "en"),
    ],
)
async def test_a_page_is_in_the_language_that_is_liked_best(
    api: Api, link: str, accepted: str, language: str
) -> None:
    answer = await api.nobody("GET", link, headers={"Accept-Language": accepted})
    assert f'<html lang="{language}">' in answer.text
    assert answer.headers["Content-Language"] == language
    assert ("μηνυμάτων" in answer.text) == (language == "el")


async def test_a_link_that_is_not_ours_is_a_page_that_says_so(api: Api, link: str) -> None:
    tokens = opt_out_tokens(sealer_of(api.settings))
    for wrong in (f"{link[:-5]}xxxxx", link[:-1], f"/u/{tokens.of(10**9)}", "/u/%00", "/u/ε"):
        for method in ("GET", "POST"):
            answer = await api.nobody(method, wrong)
            assert answer.status == 404
            assert "text/html" in answer.headers["Content-Type"]
    assert (await api.nobody("PUT", link)).status == 405
    assert await suppressed(api) == []


async def test_whoever_is_not_opted_out_is_not_told_so(
    api: Api, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: Any) -> None:
        raise DatabaseUnreachableError("no host db.internal")

    for verb in ("glance", "write"):
        monkeypatch.setattr(Database, verb, gone)
    for method in ("GET", "POST"):
        answer = await api.nobody(method, link)
        assert answer.status == 503
        assert "Not done yet" in answer.text
        assert "db.internal" not in answer.text


async def test_a_tenants_name_is_text_and_nothing_else(api: Api, call: Caller, link: str) -> None:
    await api.database.write(tenants.change, call.tenant_id, {"name": "<b>{x} $title"})
    page = (await api.nobody("GET", link)).text
    assert "&lt;b&gt;{x} $title" in page
