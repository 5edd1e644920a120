"""An operator makes a tenant, its programs get their keys, and each does what it may; for real."""

from __future__ import annotations

from typing import Any

from paceline.domain.scope import Scope
from paceline.storage import accounts, tenants
from tests.acceptance.world import World, world
from tests.api.serving import Caller

PEOPLE = 20


async def keyed(w: World, secret: str) -> Caller:
    return Caller(w.call.session, w.call.base, secret)


async def made(caller: Caller, path: str, body: Any) -> Any:
    answer = await caller("POST", path, body)
    assert answer.status in {200, 201}, answer.text
    return answer.json


async def operator(w: World) -> Caller:
    row = await w.database.write(tenants.keep, "operator")
    scopes = list(Scope)
    _, secret = await w.database.write(tenants.create_key, row.id, name="op", scopes=scopes)
    return await keyed(w, secret)


async def test_a_tenant_from_its_making_to_its_first_campaign(database_url: str) -> None:
    async with world(database_url) as w:
        admin = await operator(w)
        shop = await made(
            admin,
            "/api/tenants",
            {
                "name": "shop",
                "timezone": "Europe/Athens",
                "sender": "SHOP",
                "daily_cap": 1000,
                "quiet_from": "21:30",
                "quiet_until": "08:00",
                "frequency_max": 3,
                "frequency_days": 7,
                "rate_max": 40,
                "rate_window_ms": 1000,
            },
        )
        assert (shop["quiet_from"], shop["quiet_until"]) == ("21:30", "08:00")
        assert (await admin("POST", "/api/tenants", {"name": "shop"})).status == 409
        path = f"/api/tenants/{shop['id']}"
        changes = {"quiet_from": None, "quiet_until": None, "daily_cap": None}
        changes |= {"frequency_max": None, "frequency_days": None}
        changed = await admin("PATCH", path, changes)
        assert (changed.status, changed.json["quiet_from"], changed.json["timezone"]) == (
            200,
            None,
            "Europe/Athens",
        )
        assert (await admin("GET", path)).json == changed.json
        names = [row["name"] for row in (await admin("GET", "/api/tenants")).json["data"]]
        assert names == ["acme", "operator", "shop"]

        whole = await made(admin, "/api/keys", {"name": "all", "tenant_id": shop["id"]})
        manager = await keyed(w, whole["key"])
        sending = await made(manager, "/api/keys", {"name": "till", "scopes": ["send"]})
        till = await keyed(w, sending["key"])
        await made(manager, "/api/contacts", {"phone": "+306900000001"})
        draft = await made(till, "/api/campaigns", {"name": "Spring", "text": "Hello"})
        assert draft["sender"] == "SHOP"
        await made(till, f"/api/campaigns/{draft['id']}/enqueue", None)
        w.call = manager
        await w.completed(draft["id"])
        assert {each.sender for each in w.simulator.log.acceptances()} == {"SHOP"}
        assert (await till("GET", f"/api/campaigns/{draft['id']}")).status == 403

        actions = [
            (row["actor"].partition(" (")[0], row["action"])
            for row in reversed((await manager("GET", "/api/audit")).json["data"])
        ]
        assert actions == [
            ("key 2", "tenant.add"),
            ("key 2", "tenant.change"),
            ("key 2", "key.add"),
            ("key 3", "key.add"),
            ("key 4", "campaign.add"),
            ("key 4", "campaign.start"),
        ]
        theirs = await admin("GET", "/api/audit", params={"tenant_id": str(shop["id"])})
        assert len(theirs.json["data"]) == len(actions)
        everybodys = await admin("GET", "/api/audit", params={"everybodys": "true"})
        assert len(everybodys.json["data"]) > len(actions)
        assert (await manager("GET", "/api/audit", params={"everybodys": "true"})).status == 403


async def test_what_a_tenant_can_not_be_is_named_field_by_field(database_url: str) -> None:
    async with world(database_url) as w:
        admin = await operator(w)
        for wrong, fields in (
            ({"timezone": "Europe/Nowhere"}, {"timezone"}),
            ({"quiet_from": "21:00"}, {"quiet_until"}),
            ({"quiet_from": "25:00", "quiet_until": "8:00"}, {"quiet_from", "quiet_until"}),
            ({"quiet_from": "21:00", "quiet_until": "21:00"}, {"quiet_until"}),
            ({"frequency_max": 3}, {"frequency_days"}),
            ({"sender": "much too long a sender"}, {"sender"}),
            ({"default_account_id": 999}, {"default_account_id"}),
            ({"daily_cap": 0}, {"daily_cap"}),
        ):
            for answer in (
                await admin("POST", "/api/tenants", {"name": "shop", **wrong}),
                await admin("PATCH", f"/api/tenants/{w.call.tenant_id}", wrong),
            ):
                assert answer.status == 422, (wrong, answer.text)
                assert {each["field"] for each in answer.json["errors"]} == fields, answer.text
        both = {"default_account_id": 999, "timezone": "x"}
        answer = await admin("PATCH", f"/api/tenants/{w.call.tenant_id}", both)
        assert {each["field"] for each in answer.json["errors"]} == both.keys()
        names = [row["name"] for row in (await admin("GET", "/api/tenants")).json["data"]]
        assert "shop" not in names


async def test_a_rotated_key_is_replaced_without_a_gap_and_a_revoked_one_is_refused(
    database_url: str,
) -> None:
    async with world(database_url) as w:
        first = await made(w.call, "/api/keys", {"name": "till", "scopes": ["read"]})
        # Nobody rotates a key that has what they lack, nor sees other tenants' keys.
        assert (await (await keyed(w, first["key"]))("GET", "/api/keys")).status == 403
        second = await made(w.call, f"/api/keys/{first['id']}/rotate", {"grace_s": 60})
        for each in (first, second):
            assert (await (await keyed(w, each["key"]))("GET", "/api/lists")).status == 200
        third = await made(w.call, f"/api/keys/{second['id']}/rotate", {"grace_s": 0})
        assert (await w.call("DELETE", f"/api/keys/{third['id']}")).status == 204
        assert (await w.call("DELETE", f"/api/keys/{third['id']}")).status == 404
        fresh = await made(w.call, "/api/keys", {"name": "x", "expires_at": "2099-01-01T00:00Z"})
        assert fresh["expires_at"].startswith("2099-01-01T00:00:00")
        listed = (await w.call("GET", "/api/keys")).json["data"]
        ended = {row["id"]: row["revoked_at"] is not None for row in listed}
        assert [ended[each["id"]] for each in (first, second, third, fresh)] == [
            False,
            True,
            True,
            False,
        ]
        assert not any("key" in row for row in listed)


async def test_a_test_key_reaches_the_simulator_and_nobody_else(database_url: str) -> None:
    async with world(database_url) as w:
        real = f"/api/accounts/{w.account_id}"
        await w.database.write(
            accounts.keep,
            name="for tests",
            values={
                "provider": "simulator",
                "base_url": w.provider_url,
                "external_id": "tests",
                "api_key": "key-of-tests",
                "sender": "TEST",
            },
        )
        await w.audience(PEOPLE)
        answer = await made(w.call, "/api/keys", {"name": "ci", "test": True, "scopes": ["send"]})
        assert answer["key"].startswith("pt_")
        test = await keyed(w, answer["key"])
        draft = await made(test, "/api/campaigns", {"name": "Try", "text": "Hello"})
        await made(test, f"/api/campaigns/{draft['id']}/enqueue", None)
        await w.completed(draft["id"])
        assert {each.sender for each in w.simulator.log.acceptances()} == {"TEST"}
        assert len(w.provider_numbers()) == PEOPLE
        live = await w.draft()
        refused = await test("POST", f"/api/campaigns/{live}/enqueue")
        assert (refused.status, refused.json["code"]) == (403, "simulator_only")
        assert (await w.call("GET", real)).status == 200
