"""What a test key makes reaches nobody but the simulator, whichever route it takes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import select

from paceline.domain.errors import ConflictError
from paceline.storage import accounts
from paceline.storage.schema import batches, campaigns
from tests.api.serving import ACCOUNT, Api, Caller
from tests.api.test_two_tenants import BODIES

SIMULATOR = {**ACCOUNT, "provider": "simulator"}
MESSAGE = {"to": "+447911123456", "text": "t"}
DRAFT = {"name": "n", "text": "t"}


@pytest.fixture
async def test(api: Api) -> Caller:
    return await api.caller("acme", scopes=["read", "send"], test=True)  # type: ignore[list-item]


async def simulator(api: Api) -> int:
    row = await api.database.write(accounts.keep, name="try", values=SIMULATOR)
    return int(row.id)


def used_by(api: Api, table: Any) -> set[int]:
    """The accounts that rows of a table send with."""
    return set(api.database.read_now(lambda c: c.execute(select(table.c.account_id)).scalars()))


async def test_it_sends_with_the_simulators_account_though_another_one_is_the_default(
    api: Api, test: Caller
) -> None:
    account = await simulator(api)
    assert (await test("POST", "/api/messages", MESSAGE)).status == 201
    assert (await test("POST", "/api/campaigns", DRAFT)).json["traffic_account_id"] == account
    assert used_by(api, batches) == {account}


async def test_it_can_not_send_with_any_other_account_nor_where_there_is_none_for_tests(
    api: Api, test: Caller
) -> None:
    named = {"traffic_account_id": api.account.id}
    for path, body in (("/api/messages", MESSAGE), ("/api/campaigns", DRAFT)):
        for asked in (body, {**body, **named}):
            answer = await test("POST", path, asked)
            assert answer.status == 422, answer.text
            assert answer.json["errors"][0]["field"] == "traffic_account_id"
            assert "simulator" in answer.json["errors"][0]["reason"]
    assert used_by(api, batches) | used_by(api, campaigns) == set()


async def test_no_route_lets_it_touch_what_a_live_key_drafted_on_a_real_account(
    api: Api, call: Caller, test: Caller
) -> None:
    """Every call that needs the scope send, made about a live campaign and a live message."""
    await call("POST", "/api/contacts", {"phone": "+447911123456"})
    draft = (await call("POST", "/api/campaigns", DRAFT)).json["id"]
    message = (await call("POST", "/api/messages", MESSAGE)).json["id"]
    paths = (await api.nobody("GET", "/openapi.json")).json["paths"]
    asked = []
    for path, methods in paths.items():
        for method, operation in methods.items():
            if operation.get("security") != [{"HTTPBearer": ["send"]}]:
                continue
            name = f"{method.upper()} {path}"
            here = path.replace("{campaign_id}", str(draft)).replace("{message_id}", str(message))
            answer = await test(method.upper(), re.sub(r"{\w+}", "1", here), BODIES.get(name))
            assert answer.status in {403, 422}, (name, answer.text)
            if "{" in path:
                assert answer.json["code"] == "simulator_only", (name, answer.text)
            asked.append(name)
    assert len(asked) >= 10
    shown = (await call("GET", f"/api/campaigns/{draft}")).json
    assert (shown["status"], shown["total"]) == ("draft", 0)


async def test_it_starts_what_is_on_the_simulators_account_whoever_drafted_it(
    api: Api, call: Caller, test: Caller
) -> None:
    account = await simulator(api)
    await call("POST", "/api/contacts", {"phone": "+447911123456"})
    draft = await call("POST", "/api/campaigns", {**DRAFT, "traffic_account_id": account})
    started = await test("POST", f"/api/campaigns/{draft.json['id']}/enqueue")
    assert (started.status, started.json["created"]) == (200, 1)


async def test_the_simulators_account_can_not_become_a_real_one_nor_lead_outside(
    api: Api, test: Caller
) -> None:
    account = await simulator(api)
    assert (await test("POST", "/api/campaigns", DRAFT)).status == 201
    admin = await api.caller("operator", admin=True)
    moved = await admin(
        "PATCH", f"/api/accounts/{account}", {"base_url": "https://messaging.mittoapi.com"}
    )
    assert (moved.status, moved.json["errors"][0]["field"]) == (422, "base_url")
    outside = {**SIMULATOR, "name": "x", "base_url": "https://sms.example.com"}
    assert (await admin("POST", "/api/accounts", outside)).status == 422
    with pytest.raises(ConflictError, match="stays that"):
        await api.database.write(accounts.change, account, {"provider": "mitto"})


async def test_a_live_key_never_gets_the_answer_to_a_test(
    api: Api, call: Caller, test: Caller
) -> None:
    await simulator(api)
    once = {"Idempotency-Key": "order-1"}
    assert (await test("POST", "/api/messages", MESSAGE, headers=once)).status == 201
    live = await call("POST", "/api/messages", MESSAGE, headers=once)
    assert (live.status, live.json["code"]) == (422, "idempotency_key_reused")
