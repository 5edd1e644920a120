"""Drafts are replaced over HTTP, by what would make a new campaign. No worker runs."""

from __future__ import annotations

from typing import Any

import pytest

from paceline.domain.scope import OF_A_TEST_KEY
from tests.api.serving import Api, Caller
from tests.api.test_campaigns import BAD, DRAFT, with_contacts

RICH: dict[str, Any] = {
    "name": "Rich",
    "text": "Hi {{first_name}} from {{city}}",
    "filter": {"attribute": "city", "is": "Athens"},
    "sender": "Shop",
    "start_by": "2099-12-01T09:00:00.000Z",
    "send_window": {"from": "09:00", "until": "20:00"},
    "rate_max": 5,
    "rate_window_ms": 1000,
}


async def made(call: Caller, **body: Any) -> dict[str, Any]:
    answer = await call("POST", "/api/campaigns", DRAFT | body)
    assert answer.status == 201, answer.text
    return dict(answer.json)


def differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    return {name for name in one if one[name] != other[name]}


async def test_a_draft_becomes_what_a_post_would_have_made(api: Api, call: Caller) -> None:
    await with_contacts(call)
    draft, wanted = await made(call), await made(call, **RICH)
    api.woken.clear()
    for body, like in ((RICH, wanted), (DRAFT, draft)):
        replaced = await call("PUT", f"/api/campaigns/{draft['id']}", body)
        assert replaced.status == 200, replaced.text
        assert differing(replaced.json, like) <= {"id", "created_at", "updated_at"}
        shown = await call("GET", f"/api/campaigns/{draft['id']}")
        assert shown.json == replaced.json
    assert api.woken


async def test_with_a_time_it_is_scheduled(call: Caller) -> None:
    draft = await made(call)
    body = {**DRAFT, "scheduled_at": "2099-01-01T09:00", "timezone": "Europe/Athens"}
    replaced = await call("PUT", f"/api/campaigns/{draft['id']}", body)
    assert replaced.json["status"] == "scheduled"
    assert replaced.json["scheduled_local"] == "2099-01-01T09:00:00+02:00"


@pytest.mark.parametrize(("change", "where", "words"), BAD)
async def test_what_no_campaign_can_be_no_draft_becomes(
    call: Caller, change: dict[str, Any], where: str, words: str
) -> None:
    draft = await made(call)
    path = f"/api/campaigns/{draft['id']}"
    refused = await call("PUT", path, DRAFT | change)
    posted = await call("POST", "/api/campaigns", DRAFT | change)
    assert refused.status == posted.status == 422
    assert refused.json["errors"] == posted.json["errors"]
    [problem] = [each for each in refused.json["errors"] if where in each["field"]]
    assert words in problem["reason"]
    assert (await call("GET", path)).json == draft


async def test_what_is_no_draft_any_more_is_refused_with_what_to_do(call: Caller) -> None:
    await with_contacts(call)
    scheduled = await made(call, scheduled_at="2099-01-01T09:00:00Z")
    sending = await made(call)
    await call("POST", f"/api/campaigns/{sending['id']}/enqueue")
    for campaign, mend in ((scheduled, "off the schedule"), (sending, "make a new campaign")):
        path = f"/api/campaigns/{campaign['id']}"
        before = (await call("GET", path)).json
        refused = await call("PUT", path, DRAFT | {"name": "Late"})
        assert refused.status == 409
        assert refused.json["code"] == "wrong_state"
        assert mend in refused.json["detail"]
        assert (await call("GET", path)).json == before
    path = f"/api/campaigns/{scheduled['id']}"
    await call("POST", f"{path}/unschedule")
    assert (await call("PUT", path, DRAFT | {"name": "Late"})).json["name"] == "Late"


async def test_it_starts_only_as_it_was_when_somebody_looked_at_it(call: Caller) -> None:
    await with_contacts(call)
    seen = await made(call)
    path = f"/api/campaigns/{seen['id']}"
    other = (await call("PUT", path, DRAFT | {"text": "Other words"})).json
    since = {"unchanged_since": seen["updated_at"]}
    at = {"scheduled_at": "2099-01-01T09:00:00Z"}
    for verb, body in (("enqueue", since), ("schedule", at | since)):
        refused = await call("POST", f"{path}/{verb}", body)
        assert (refused.status, refused.json["code"]) == (409, "changed_since")
        assert other["updated_at"] in refused.json["detail"]
        assert (await call("GET", path)).json == other
    unread = await call("POST", f"{path}/enqueue", {"unchanged_since": "yesterday"})
    assert [each["field"] for each in unread.json["errors"]] == ["unchanged_since"]
    since = {"unchanged_since": other["updated_at"]}
    scheduled = await call("POST", f"{path}/schedule", at | since)
    assert scheduled.json["status"] == "scheduled"
    since = {"unchanged_since": scheduled.json["updated_at"]}
    assert (await call("POST", f"{path}/enqueue", since)).json["created"] == 3
    for verb, body in (("enqueue", since), ("schedule", at | since)):
        refused = await call("POST", f"{path}/{verb}", body)
        assert (refused.status, refused.json["code"]) == (409, "wrong_state")


async def test_what_is_sent_again_keeps_its_people(call: Caller) -> None:
    await with_contacts(call)
    parent = await made(call)
    path = f"/api/campaigns/{parent['id']}"
    await call("POST", f"{path}/enqueue")
    await call("POST", f"{path}/cancel")
    child = (await call("POST", f"{path}/resend", {"reasons": ["cancelled"]})).json
    again = f"/api/campaigns/{child['id']}"
    refused = await call("PUT", again, DRAFT | {"exclude_campaign_ids": [parent["id"]]})
    assert refused.status == 422
    assert f"those whom campaign {parent['id']} failed to reach" in refused.text
    replaced = await call("PUT", again, DRAFT | {"text": "Once more"})
    assert replaced.json["parent_id"] == parent["id"]
    assert replaced.json["parent_reasons"] == ["cancelled"]
    enqueued = await call("POST", f"{again}/enqueue")
    assert enqueued.json["created"] == 3


async def test_a_test_key_makes_no_draft_of_it_that_reaches_people(api: Api, call: Caller) -> None:
    draft = await made(call)
    test = await api.caller("acme", scopes=OF_A_TEST_KEY, test=True)
    refused = await test("PUT", f"/api/campaigns/{draft['id']}", DRAFT | {"text": "Hm"})
    assert (refused.status, refused.json["code"]) == (403, "simulator_only")
    assert (await call("GET", f"/api/campaigns/{draft['id']}")).json == draft


async def test_the_log_names_who_replaced_it(api: Api, call: Caller) -> None:
    admin = await api.caller("acme", admin=True)
    draft = await made(call)
    await call("PUT", f"/api/campaigns/{draft['id']}", DRAFT | {"text": "Other words"})
    rows = (await admin("GET", "/api/audit")).json["data"]
    [row] = [each for each in rows if each["action"] == "campaign.replace"]
    assert row["subject"] == f"campaign {draft['id']}"
    assert row["detail"] == {"changed": ["text"]}
    assert row["actor"].startswith("key ")


async def test_campaigns_are_listed_by_name_page_by_page(call: Caller) -> None:
    for name in ("Spring 1", "Summer", "spring 2", "100% off"):
        await made(call, name=name)
    first = (await call("GET", "/api/campaigns", params={"name": "SPRING", "limit": "1"})).json
    assert [each["name"] for each in first["data"]] == ["spring 2"]
    params = {"name": "SPRING", "limit": "1", "cursor": first["next_cursor"]}
    rest = (await call("GET", "/api/campaigns", params=params)).json
    assert [each["name"] for each in rest["data"]] == ["Spring 1"]
    assert rest["next_cursor"] is None
    percent = (await call("GET", "/api/campaigns", params={"name": "%"})).json
    assert [each["name"] for each in percent["data"]] == ["100% off"]
