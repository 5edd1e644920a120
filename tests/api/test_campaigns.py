"""Campaigns and single messages over HTTP. No worker runs: what is started stays queued."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import aiohttp
from sqlalchemy import Connection, update

from paceline.storage import accounts
from paceline.storage.schema import batches, campaigns, messages
from tests.api.serving import Api, Caller

DRAFT = {"name": "Sale", "text": "Hi {{first_name|there}}"}


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"text": "Hi {{First}}"}, "text", "{{first}}"),
    ({"text": "ж" * 700}, "text", "UCS-2"),
    ({"text": "a" * 2000}, "text", "parts"),
    ({"text": ""}, "text", "empty"),
    ({"text": "a\u0000b"}, "text", "control"),
    ({"name": "n" * 201}, "name", "200"),
    ({"list_id": "1"}, "list_id", "integer"),
    ({"list_id": 2**63}, "list_id", "less"),
    ({"traffic_account_id": 99}, "traffic_account_id", "no traffic account"),
    ({"scheduled_at": "tomorrow"}, "scheduled_at", "ISO 8601"),
    ({"scheduled_at": "2099-01-01T09:00"}, "scheduled_at", "offset"),
    ({"scheduled_at": "2099-01-01T09:00", "timezone": "Mars"}, "timezone", "IANA"),
    ({"timezone": "Europe/Athens"}, "timezone", "no effect"),
    ({"colour": "red"}, "colour", "not permitted"),
    ({"text": "\ud800"}, "text", "surrogate"),
    ({"\ud800": ""}, "body", ""),
]
"""(change to a good campaign, field at fault, words of the reason)."""


async def with_contacts(call: Caller, count: int = 3) -> None:
    rows = "".join(f"+3069123456{i:02},Anna,Athens\n" for i in range(count))
    answer = await call(
        "POST", "/api/contacts/import", data=f"phone,first_name,city\n{rows}".encode()
    )
    assert answer.status == 200, answer.text


async def started(call: Caller) -> int:
    await with_contacts(call)
    campaign_id: int = (await call("POST", "/api/campaigns", DRAFT)).json["id"]
    await call("POST", f"/api/campaigns/{campaign_id}/enqueue")
    return campaign_id


async def test_a_campaign_goes_from_draft_to_cancelled(api: Api, call: Caller) -> None:
    await with_contacts(call)
    made = await call("POST", "/api/campaigns", DRAFT)
    assert made.status == 201, made.text
    assert made.json["status"] == "draft"
    assert made.json["sender"] == "Paceline"
    path = f"/api/campaigns/{made.json['id']}"
    api.woken.clear()
    enqueued = await call("POST", f"{path}/enqueue")
    expected = {"ok": True, "campaign_id": made.json["id"], "created": 3, "batches": 1}
    assert enqueued.json == expected
    assert api.woken
    status = (await call("GET", f"{path}/status")).json
    assert status["campaign"]["status"] == "sending"
    assert status["campaign"]["waiting_for"] is None
    assert status["metrics"] == {
        "queued": 3,
        "sent": 0,
        "processed": 0,
        "failed": 0,
        "delivered": 0,
        "unconfirmed": 0,
    }
    assert (await call("POST", f"{path}/pause")).json["waiting_for"]["cause"] == "paused"
    resumed = await call("POST", f"{path}/enqueue")
    assert resumed.json == expected | {"created": 0, "batches": 0}
    again = await call("POST", f"{path}/enqueue")
    assert again.status == 409
    assert again.json["code"] == "wrong_state"
    assert "sending" in again.json["detail"]
    assert "paused" in again.json["detail"]
    cancelled = (await call("POST", f"{path}/cancel")).json
    assert (cancelled["status"], cancelled["failed"], cancelled["queued"]) == ("cancelled", 3, 0)
    reasons = (await call("GET", f"{path}/messages?status=failed&reason=cancelled")).json["data"]
    assert [each["text"] for each in reasons] == ["Hi Anna"] * 3
    assert (await call("GET", f"{path}/messages?status=sent")).json["data"] == []
    assert (await call("GET", f"{path}/messages?reason=nonsense")).status == 422


async def test_what_somebody_orders_is_seen_by_everybody_who_polls(call: Caller) -> None:
    """Those who poll the same campaign share readings, but none from before the order."""
    path = f"/api/campaigns/{await started(call)}"
    async with aiohttp.ClientSession() as session:
        colleague = replace(call, session=session)

        async def seen_by(somebody: Caller) -> str:
            return str((await somebody("GET", f"{path}/status")).json["campaign"]["status"])

        for order, status in (("pause", "paused"), ("resume", "sending"), ("cancel", "cancelled")):
            for somebody in (call, colleague):
                assert await seen_by(somebody) != status
            await call("POST", f"{path}/{order}")
            for somebody in (colleague, call):
                assert await seen_by(somebody) == status


async def test_nobody_to_send_to_leaves_a_draft(call: Caller) -> None:
    made = (await call("POST", "/api/campaigns", DRAFT)).json
    answer = await call("POST", f"/api/campaigns/{made['id']}/enqueue")
    assert (answer.status, answer.json["code"]) == (422, "empty_audience")
    assert (await call("GET", f"/api/campaigns/{made['id']}")).json["status"] == "draft"


async def test_every_fault_of_a_campaign_is_named_at_once(call: Caller) -> None:
    answer = await call(
        "POST",
        "/api/campaigns",
        {
            "name": " ",
            "text": "Hi {{frist_name}}",
            "sender": "much too long a sender",
            "list_id": 99,
            "scheduled_at": "2020-01-01T00:00:00Z",
        },
    )
    assert answer.status == 422
    faults = {each["field"]: each["reason"] for each in answer.json["errors"]}
    assert faults.keys() == {"name", "text", "sender", "list_id", "scheduled_at"}
    assert "{{first_name}}" in faults["text"]


async def test_a_bad_value_is_named(call: Caller) -> None:
    for change, field, words in BAD:
        answer = await call("POST", "/api/campaigns", DRAFT | change)
        assert answer.status == 422, (change, answer.text)
        (fault,) = answer.json["errors"]
        assert fault["field"] == field, change
        assert words in fault["reason"], change


async def test_attributes_of_contacts_are_merge_tags(call: Caller) -> None:
    await with_contacts(call)
    good = await call("POST", "/api/campaigns", DRAFT | {"text": "To {{city}} {{last_name}}"})
    assert good.status == 201, good.text
    bad = await call("POST", "/api/campaigns", DRAFT | {"text": "To {{citi}}"})
    assert "{{city}}" in bad.json["errors"][0]["reason"]


async def test_a_schedule_is_set_and_taken_back(call: Caller) -> None:
    when = {"scheduled_at": "2099-07-01T09:00", "timezone": "Europe/Athens"}
    made = (await call("POST", "/api/campaigns", DRAFT | when)).json
    assert (made["status"], made["scheduled_at"]) == ("scheduled", "2099-07-01T06:00:00.000Z")
    assert made["waiting_for"]["until"] == "2099-07-01T06:00:00.000Z"
    path = f"/api/campaigns/{made['id']}"
    back = (await call("POST", f"{path}/unschedule")).json
    assert (back["status"], back["scheduled_at"], back["timezone"]) == ("draft", None, None)
    anew = await call("POST", f"{path}/schedule", {"scheduled_at": "2099-07-01T09:00:00+02:00"})
    assert anew.json["scheduled_at"] == "2099-07-01T07:00:00.000Z"
    past = await call("POST", f"{path}/schedule", {"scheduled_at": "2020-07-01T09:00:00Z"})
    assert past.status == 422
    listed = (await call("GET", "/api/campaigns?status=scheduled")).json["data"]
    assert [each["id"] for each in listed] == [made["id"]]


async def test_a_single_message_is_queued(call: Caller) -> None:
    sent = await call("POST", "/api/messages", {"to": "07400 123456", "text": "Your code: 1"})
    assert sent.status == 201, sent.text
    assert (sent.json["to"], sent.json["status"], sent.json["parts"]) == (
        "+447400123456",
        "queued",
        1,
    )
    assert (await call("GET", f"/api/messages/{sent.json['id']}")).json == sent.json
    await call("POST", "/api/suppressions", {"phones": ["+447400123456"]})
    refused = await call("POST", "/api/messages", {"to": "+447400123456", "text": "Again"})
    assert refused.json["errors"][0]["field"] == "to"
    tagged = await call("POST", "/api/messages", {"to": "+447400123456", "text": "{{x}}"})
    assert tagged.json["errors"][0]["field"] == "text"


async def test_unconfirmed_messages_are_decided(api: Api, call: Caller) -> None:
    campaign_id = await started(call)
    await api.database.write(put_in_doubt, campaign_id)
    path = f"/api/campaigns/{campaign_id}"
    assert (await call("GET", path)).json["waiting_for"]["cause"] == "decision"
    doubtful = (await call("GET", f"{path}/messages?in_doubt=true")).json["data"]
    assert len(doubtful) == 3
    assert (await call("POST", f"{path}/unconfirmed", {"action": "guess"})).status == 422
    decided = await call("POST", f"{path}/unconfirmed", {"action": "accept"})
    assert decided.json == {"ok": True, "messages": 3}
    assert (await call("GET", path)).json["status"] == "completed"


async def test_a_campaign_says_what_it_waits_for(api: Api, call: Caller) -> None:
    campaign_id = await started(call)
    held = {"held_at": 1, "held_why": "401"}
    await api.database.write(accounts.change, api.account.id, held)
    shown = (await call("GET", f"/api/campaigns/{campaign_id}")).json
    assert shown["waiting_for"]["cause"] == "account_held"
    admin = await api.caller("operator", admin=True)
    released = await admin("POST", f"/api/accounts/{api.account.id}/release")
    assert released.json["held_at"] is None
    assert (await call("GET", f"/api/campaigns/{campaign_id}")).json["waiting_for"] is None


async def test_events_tell_each_change_and_end_with_the_campaign(api: Api, call: Caller) -> None:
    campaign_id = await started(call)
    path = f"/api/campaigns/{campaign_id}"
    headers = {"Authorization": f"Bearer {call.key}"}
    async with api.session.get(f"{api.base}{path}/events", headers=headers) as stream:
        assert stream.content_type == "text/event-stream"
        assert await next_event(stream) == ("status", "sending")
        await call("POST", f"{path}/pause")
        assert await next_event(stream) == ("status", "paused")
        await call("POST", f"{path}/cancel")
        assert (await next_event(stream))[1] == "cancelled"
        while (event := await next_event(stream))[0] != "end":
            assert event == ("status", "cancelled")
        assert await stream.content.read() == b""


async def next_event(stream: Any) -> tuple[str, str | None]:
    name = (await stream.content.readline()).decode().removeprefix("event: ").strip()
    data = json.loads((await stream.content.readline()).decode().removeprefix("data: "))
    await stream.content.readline()
    return name, data.get("campaign", {}).get("status")


def put_in_doubt(connection: Connection, campaign_id: int) -> None:
    of_batch = batches.c.campaign_id == campaign_id
    connection.execute(update(batches).where(of_batch).values(status="unconfirmed", in_doubt=True))
    connection.execute(
        update(messages).where(messages.c.campaign_id == campaign_id).values(in_doubt=True)
    )
    connection.execute(
        update(campaigns)
        .where(campaigns.c.id == campaign_id)
        .values(unconfirmed=campaigns.c.queued)
    )
