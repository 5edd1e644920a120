"""Traffic accounts over the API: added, changed, released, and their keys never shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from paceline.storage.schema import audit_log, idempotency_keys, traffic_accounts
from paceline.storage.sealing import is_sealed, sealer_of
from tests.api.serving import Answer, Api, Caller

KEY = "the-providers-key"
NEW = {
    "name": "night",
    "provider": "mitto",
    "base_url": "http://127.0.0.1:9",
    "external_id": "acc-2",
    "api_key": KEY,
    "sender": "Shop",
}


@pytest.fixture
async def admin(api: Api) -> Caller:
    return await api.caller("operator", admin=True)


def key_of(api: Api, account_id: int) -> str:
    """A key as it is stored."""
    query = select(traffic_accounts.c.api_key).where(traffic_accounts.c.id == account_id)
    return str(api.database.read_now(lambda c: c.execute(query).scalar_one()))


def logged_by(api: Api) -> list[Any]:
    return api.database.read_now(lambda c: list(c.execute(select(audit_log))))


async def test_an_added_account_is_shown_without_its_key_which_is_stored_sealed(
    api: Api, admin: Caller
) -> None:
    added = await admin("POST", "/api/accounts", {**NEW, "server_error": "hold", "rate_max": 7})
    assert added.status == 201, added.text
    told = added.json
    assert (told["name"], told["server_error"], told["rate_max"]) == ("night", "hold", 7)
    assert told["has_key"] is True
    assert told["inbound_url"] == told["webhook_url"].removesuffix("dlr") + "inbound"
    shown = await admin("GET", f"/api/accounts/{told['id']}")
    assert shown.json == told
    stored = key_of(api, told["id"])
    assert is_sealed(stored)
    assert sealer_of(api.settings).open(stored) == KEY
    for answer in (added, shown, await admin("GET", "/api/accounts")):
        assert KEY not in answer.text
        assert stored not in answer.text


async def test_a_repeated_request_adds_one_account_and_its_answer_keeps_no_key(
    api: Api, admin: Caller
) -> None:
    once = {"Idempotency-Key": "k"}
    first = await admin("POST", "/api/accounts", NEW, headers=once)
    again = await admin("POST", "/api/accounts", NEW, headers=once)
    assert (first.status, first.json) == (again.status, again.json)
    kept = api.database.read_now(lambda c: str(c.execute(select(idempotency_keys)).all()))
    assert KEY not in kept


async def test_a_name_that_is_taken_is_a_conflict(admin: Caller) -> None:
    assert (await admin("POST", "/api/accounts", NEW)).status == 201
    taken = await admin("POST", "/api/accounts", NEW)
    assert (taken.status, taken.json["code"]) == (409, "conflict")


def faults(answer: Answer) -> set[str]:
    assert answer.status == 422, answer.text
    return {each["field"] for each in answer.json["errors"]}


async def test_every_fault_of_an_account_is_named_at_once(admin: Caller) -> None:
    bad = {
        **NEW,
        "base_url": "nonsense",
        "api_key": "schlüssel",
        "sender": "much too long",
        "tenant_id": 999,
    }
    answer = await admin("POST", "/api/accounts", bad)
    assert faults(answer) == {"base_url", "api_key", "sender", "tenant_id"}
    assert "schlüssel" not in answer.text
    unknown = await admin("POST", "/api/accounts", {**NEW, "provider": "carrier-pigeon"})
    assert faults(unknown) == {"provider"}
    short = await admin("POST", "/api/accounts", {"name": "", "server_error": "maybe"})
    needed = {"name", "provider", "base_url", "external_id", "api_key", "sender", "server_error"}
    assert faults(short) == needed


async def test_a_changed_key_is_written_and_never_read(api: Api, admin: Caller) -> None:
    path = f"/api/accounts/{api.account.id}"
    changed = await admin("PATCH", path, {"api_key": KEY, "external_id": "acc-9"})
    assert changed.status == 200, changed.text
    assert changed.json["external_id"] == "acc-9"
    stored = key_of(api, api.account.id)
    assert sealer_of(api.settings).open(stored) == KEY
    assert stored not in changed.text
    assert (await admin("PATCH", path, {"sender": "New"})).status == 200
    assert key_of(api, api.account.id) == stored, "what is left out stays"
    assert api.woken


async def test_a_change_that_cannot_be_leaves_the_account_as_it_was(
    api: Api, admin: Caller
) -> None:
    path = f"/api/accounts/{api.account.id}"
    before = (await admin("GET", path)).json
    answer = await admin("PATCH", path, {"base_url": "ftp://x", "sender": "no good!"})
    assert faults(answer) == {"base_url", "sender"}
    refused: list[dict[str, Any]] = [
        {"api_key": ""},
        {"api_key": None},
        {"provider": "mitto"},
        {"options": {"a": []}},
    ]
    for bad in refused:
        assert (await admin("PATCH", path, bad)).status == 422
    assert (await admin("GET", path)).json == before


async def test_only_an_admin_may_add_accounts_and_say_whose_replies_are(
    api: Api, call: Caller
) -> None:
    numbers = f"/api/accounts/{api.account.id}/numbers"
    for method, path, body in [
        ("POST", "/api/accounts", NEW),
        ("GET", numbers, None),
        ("POST", numbers, {"number": "12345", "tenant_id": call.tenant_id}),
        ("DELETE", f"{numbers}/12345", None),
    ]:
        assert (await call(method, path, body)).status == 403


async def test_whose_the_replies_to_a_number_are_is_said_shown_and_taken_back(
    api: Api, call: Caller, admin: Caller
) -> None:
    path = f"/api/accounts/{api.account.id}/numbers"
    given = await admin("POST", path, {"number": "+44 7700 1", "tenant_id": call.tenant_id})
    assert given.status == 200, given.text
    assert (given.json["number"], given.json["tenant"]) == ("4477001", "acme")
    assert (await admin("GET", path)).json["data"] == [given.json]
    assert (await admin("DELETE", f"{path}/+44%2077001")).status == 204
    assert (await admin("DELETE", f"{path}/4477001")).status == 404
    assert (await admin("GET", path)).json == {"data": [], "next_cursor": None}
    assert (await admin("POST", path, {"number": "1", "tenant_id": 999})).status == 404
    assert (await admin("GET", "/api/accounts/999/numbers")).status == 404


async def test_who_changed_what_is_in_the_audit_log_without_secrets(
    api: Api, call: Caller, admin: Caller
) -> None:
    account = f"/api/accounts/{api.account.id}"
    added = (await admin("POST", "/api/accounts", {**NEW, "tenant_id": call.tenant_id})).json
    await admin("PATCH", account, {"api_key": "another-key", "rate_max": 3})
    await admin("POST", f"{account}/release")
    await admin("PATCH", f"/api/tenants/{call.tenant_id}", {"rate_max": 5})
    await admin("POST", f"{account}/numbers", {"number": "12345", "tenant_id": call.tenant_id})
    assert (await admin("PATCH", account, {"sender": "no good!"})).status == 422

    rows = [row for row in logged_by(api) if row.actor.startswith("key ")]
    number = api.account.id
    assert [(row.action, row.subject, row.tenant_id) for row in rows] == [
        ("account.add", f"account {added['id']}", call.tenant_id),
        ("account.change", f"account {number}", None),
        ("account.release", f"account {number}", None),
        ("tenant.change", f"tenant {call.tenant_id}", call.tenant_id),
        ("number.add", f"account {number}", call.tenant_id),
    ]
    assert {row.actor for row in rows} == {"key 2 (test)"}
    assert rows[1].detail == {"changed": ["api_key"], "rate_max": 3}
    assert rows[3].detail == {"rate_max": 5}
    told = json.dumps([row.detail for row in rows])
    assert KEY not in told
    assert "another-key" not in told
