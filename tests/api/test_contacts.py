"""Contacts, lists and suppressions over HTTP."""

from __future__ import annotations

from tests.api.serving import Api, Caller

ANNA = {"phone": "07911 123456", "first_name": "Anna", "attributes": {"city": "Athens"}}


async def test_a_contact_is_made_changed_shown_and_deleted(call: Caller) -> None:
    made = await call("POST", "/api/contacts", {**ANNA, "phone": "+447911123456"})
    assert made.status == 201, made.text
    contact = made.json
    assert contact["phone"] == "+447911123456"
    assert contact["created_at"].endswith("Z")
    path = f"/api/contacts/{contact['id']}"
    changed = await call(
        "PATCH", path, {"last_name": "Pappas", "attributes": {"city": None, "tier": "gold"}}
    )
    assert changed.json["attributes"] == {"tier": "gold"}
    assert changed.json["first_name"] == "Anna"
    assert (await call("GET", path)).json == changed.json
    assert (await call("DELETE", path)).status == 204
    assert (await call("GET", path)).status == 404


async def test_a_number_is_one_contact(call: Caller) -> None:
    await call("POST", "/api/contacts", {"phone": "+306912345678"})
    again = await call("POST", "/api/contacts", {"phone": "+30 691 234 5678"})
    assert again.status == 409
    other = (await call("POST", "/api/contacts", {"phone": "+306912345679"})).json
    moved = await call("PATCH", f"/api/contacts/{other['id']}", {"phone": "+306912345678"})
    assert moved.status == 409
    assert moved.headers["Content-Type"] == "application/problem+json"


async def test_pages_show_every_contact_once(call: Caller) -> None:
    numbers = [f"+3069123456{i:02}" for i in range(7)]
    for number in numbers:
        await call("POST", "/api/contacts", {"phone": number})
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await call("GET", f"/api/contacts?limit=3{cursor}")).json
        seen += [each["phone"] for each in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == numbers
    assert (await call("GET", "/api/contacts?phone=%2B306912345603")).json["data"][0]["phone"] == (
        numbers[3]
    )


async def test_a_bad_page_is_refused(call: Caller) -> None:
    bad = ["limit=0", "limit=501", "limit=x", "cursor=!!", "cursor=YWJj", "cursor=LTE", "cursor="]
    for path in ["contacts", "lists", "suppressions", "campaigns"]:
        for query in bad:
            answer = await call("GET", f"/api/{path}?{query}")
            assert answer.status == 422, (path, query)
            assert answer.json["errors"][0]["field"] in {"limit", "cursor"}


async def test_a_list_has_its_members(call: Caller) -> None:
    made = (await call("POST", "/api/lists", {"name": "VIP"})).json
    ids = [
        (await call("POST", "/api/contacts", {"phone": f"+30691234567{i}"})).json["id"]
        for i in range(3)
    ]
    members = f"/api/lists/{made['id']}/contacts"
    assert (await call("POST", members, {"contact_ids": ids[:2]})).json == {"added": 2}
    assert (await call("POST", members, {"contact_ids": ids})).json == {"added": 1}
    assert (await call("POST", members, {"contact_ids": [ids[0], 999]})).status == 422
    assert (await call("GET", f"/api/lists/{made['id']}")).json["contacts"] == 3
    assert (await call("DELETE", f"{members}/{ids[1]}")).status == 204
    assert (await call("DELETE", f"{members}/{ids[1]}")).status == 404
    on_it = (await call("GET", f"/api/contacts?list_id={made['id']}")).json["data"]
    assert [each["id"] for each in on_it] == [ids[0], ids[2]]
    assert (await call("POST", "/api/lists", {"name": "VIP"})).status == 409
    renamed = await call("PATCH", f"/api/lists/{made['id']}", {"name": "Gold"})
    assert renamed.json["name"] == "Gold"
    assert (await call("GET", "/api/contacts?list_id=999")).status == 404


async def test_a_list_that_a_draft_needs_stays(call: Caller) -> None:
    made = (await call("POST", "/api/lists", {"name": "VIP"})).json
    draft = {"name": "Sale", "text": "Hi", "list_id": made["id"]}
    campaign = (await call("POST", "/api/campaigns", draft)).json
    refused = await call("DELETE", f"/api/lists/{made['id']}")
    assert refused.status == 409
    assert "Sale" in refused.json["detail"]
    await call("POST", f"/api/campaigns/{campaign['id']}/cancel")
    assert (await call("DELETE", f"/api/lists/{made['id']}")).status == 204


async def test_suppressions_come_and_go(call: Caller) -> None:
    bad = await call("POST", "/api/suppressions", {"phones": ["+306912345678", "x"]})
    assert bad.json["errors"] == [{"field": "phones[1]", "reason": "not a number"}]
    good = {"phones": ["+306912345678", "+44 7911 123456", "+306912345678"]}
    assert (await call("POST", "/api/suppressions", good)).json == {"added": 2}
    first = (await call("GET", "/api/suppressions?limit=1")).json
    rest = await call("GET", f"/api/suppressions?cursor={first['next_cursor']}")
    assert [each["phone"] for each in first["data"] + rest.json["data"]] == [
        "+306912345678",
        "+447911123456",
    ]
    assert (await call("DELETE", "/api/suppressions/+306912345678")).status == 204
    assert (await call("DELETE", "/api/suppressions/+306912345678")).status == 404


async def test_another_tenants_things_do_not_exist(api: Api, call: Caller) -> None:
    contact = (await call("POST", "/api/contacts", {"phone": "+306912345678"})).json["id"]
    made = (await call("POST", "/api/lists", {"name": "VIP"})).json["id"]
    campaign = (await call("POST", "/api/campaigns", {"name": "n", "text": "t"})).json["id"]
    message = (await call("POST", "/api/messages", {"to": "+306912345678", "text": "Hi"})).json[
        "id"
    ]
    other = await api.caller("other")
    for method, path, own, body in [
        ("GET", "/api/contacts/{}", contact, None),
        ("PATCH", "/api/contacts/{}", contact, {"first_name": "x"}),
        ("DELETE", "/api/contacts/{}", contact, None),
        ("GET", "/api/lists/{}", made, None),
        ("PATCH", "/api/lists/{}", made, {"name": "x"}),
        ("DELETE", "/api/lists/{}", made, None),
        ("POST", "/api/lists/{}/contacts", made, {"contact_ids": [1]}),
        ("DELETE", "/api/lists/{}/contacts/1", made, None),
        ("POST", "/api/contacts/import?list_id={}", made, None),
        ("GET", "/api/campaigns/{}", campaign, None),
        ("GET", "/api/campaigns/{}/status", campaign, None),
        ("GET", "/api/campaigns/{}/messages", campaign, None),
        ("GET", "/api/campaigns/{}/events", campaign, None),
        ("POST", "/api/campaigns/{}/enqueue", campaign, None),
        ("POST", "/api/campaigns/{}/pause", campaign, None),
        ("POST", "/api/campaigns/{}/resume", campaign, None),
        ("POST", "/api/campaigns/{}/cancel", campaign, None),
        ("POST", "/api/campaigns/{}/unschedule", campaign, None),
        ("POST", "/api/campaigns/{}/schedule", campaign, {"scheduled_at": "2099-01-01T00:00Z"}),
        ("POST", "/api/campaigns/{}/unconfirmed", campaign, {"action": "fail"}),
        ("GET", "/api/messages/{}", message, None),
        ("POST", "/api/messages/{}/unconfirmed", message, {"action": "fail"}),
    ]:
        theirs = await other(method, path.format(own), body)
        nobodys = await other(method, path.format(987654), body)
        assert theirs.status == nobodys.status == 404, (method, path, theirs.text)
        assert theirs.text.replace(str(own), "N") == nobodys.text.replace("987654", "N")
