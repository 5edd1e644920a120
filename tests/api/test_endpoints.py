"""Webhook endpoints over HTTP: made, changed, tried, replayed; each tenant sees its own."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from paceline.clock import iso
from paceline.domain.webhook_event import MESSAGE_EVENTS, WANTED_BY_DEFAULT
from paceline.storage import webhook_endpoints
from paceline.storage.schema import audit_log, webhook_deliveries
from paceline.storage.schema import webhook_endpoints as endpoints_table
from tests.api.serving import Api, Caller, serving

PATH = "/api/webhooks/endpoints"
URL = "https://user:password@example.com/hooks?for=us"


async def made(call: Caller, **body: Any) -> Any:
    answer = await call("POST", PATH, {"url": URL, **body})
    assert answer.status == 201, answer.text
    return answer.json


async def audited(api: Api) -> list[Any]:
    """What the audit log says of endpoints."""
    query = select(audit_log).where(audit_log.c.action.startswith("webhook_endpoint."))
    return await api.database.read(lambda c: list(c.execute(query.order_by(audit_log.c.id))))


async def test_an_endpoint_is_made_and_its_secret_shown_once(api: Api, call: Caller) -> None:
    endpoint = await made(call)
    secret = endpoint.pop("secret")
    assert secret.startswith("whsec_")
    assert endpoint["url"] == URL
    assert set(endpoint["events"]) == set(WANTED_BY_DEFAULT)
    assert not set(endpoint["events"]) & MESSAGE_EVENTS
    path = f"{PATH}/{endpoint['id']}"
    assert (await call("GET", path)).json == endpoint
    assert (await call("GET", PATH)).json == {"data": [endpoint], "next_cursor": None}
    row = await api.database.read(webhook_endpoints.get, call.tenant_id, endpoint["id"])
    assert secret not in row.secret, "it is stored sealed"


async def test_an_endpoint_is_changed_disabled_and_removed(api: Api, call: Caller) -> None:
    endpoint_id = (await made(call))["id"]
    path = f"{PATH}/{endpoint_id}"
    changed = await call(
        "PATCH", path, {"url": "https://example.org", "events": ["message.sent", "message.sent"]}
    )
    assert changed.json["url"] == "https://example.org"
    assert changed.json["events"] == ["message.sent"]
    disabled = await call("PATCH", path, {"disabled": True})
    assert disabled.json["disabled_at"] is not None
    assert disabled.json["disabled_why"] == "Disabled by its tenant."
    assert (await call("PATCH", path, {"disabled": True})).json == disabled.json
    enabled = await call("PATCH", path, {"disabled": False})
    assert (enabled.json["disabled_at"], enabled.json["disabled_why"]) == (None, None)
    assert (await call("DELETE", path)).status == 204
    assert (await call("GET", path)).status == 404
    rows = await audited(api)
    assert [row.action for row in rows] == [
        "webhook_endpoint.add",
        *["webhook_endpoint.change"] * 4,  # disabling it again was none; removing it disables it
        "webhook_endpoint.remove",
    ]
    assert {row.subject for row in rows} == {f"webhook endpoint {endpoint_id}"}
    assert all(row.actor.startswith("key ") for row in rows)
    assert not any("example" in str(row.detail) for row in rows), "a URL may hold a password"


@pytest.mark.parametrize(
    ("body", "field", "why"),
    [
        ({"url": "http://example.com"}, "url", "https://"),
        ({"url": "https://127.0.0.1/"}, "url", "private"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "url", "private"),
        ({"url": "example.com"}, "url", "not the URL"),
        ({}, "url", "required"),
        ({"url": URL, "events": []}, "events", "at least 1"),
        ({"url": URL, "events": ["campaign.eaten"]}, "events[0]", "campaign.completed"),
        ({"url": URL, "events": ["endpoint.test"]}, "events", "endpoint.test"),
        ({"url": URL, "secret": "mine"}, "secret", "not permitted"),
    ],
)
async def test_what_cannot_be_used_is_named(
    api: Api, call: Caller, body: Any, field: str, why: str
) -> None:
    answer = await call("POST", PATH, body)
    assert answer.status == 422, answer.text
    (fault,) = answer.json["errors"]
    assert fault["field"] == field
    assert why in fault["reason"]
    assert (await call("GET", PATH)).json["data"] == []


async def test_the_development_switch_lets_an_endpoint_be_at_home(database_url: str) -> None:
    async with serving(database_url, PACELINE_WEBHOOK_ALLOW_PRIVATE="true") as api:
        call = await api.caller("acme")
        assert (await made(call, url="http://localhost:9000/"))["url"] == "http://localhost:9000/"


async def test_a_tenant_has_a_limited_number_of_endpoints(
    api: Api, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_endpoints, "MOST", 2)
    for _ in range(2):
        await made(call)
    refused = await call("POST", PATH, {"url": URL})
    assert refused.status == 409, refused.text
    other = await api.caller("other")
    await made(other)


async def test_other_tenants_endpoints_do_not_exist(api: Api, call: Caller) -> None:
    path = f"{PATH}/{(await made(call))['id']}"
    other = await api.caller("other")
    calls = [
        ("GET", path, None),
        ("PATCH", path, {"disabled": True}),
        ("DELETE", path, None),
        ("POST", f"{path}/test", None),
        ("GET", f"{path}/deliveries", None),
        ("POST", f"{path}/replay", {"delivery_id": 1}),
        ("POST", f"{path}/replay", {"since": "2020-01-01T00:00:00Z"}),
    ]
    for method, where, body in calls:
        assert (await other(method, where, body)).status == 404, (method, where)
    assert (await other("GET", PATH)).json["data"] == []
    assert (await call("GET", path)).json["disabled_at"] is None


async def test_a_test_is_queued_and_listed(api: Api, call: Caller) -> None:
    path = f"{PATH}/{(await made(call))['id']}"
    queued = [(await call("POST", f"{path}/test")).json["delivery_id"] for _ in range(3)]
    first = (await call("GET", f"{path}/deliveries?limit=2")).json
    assert [each["id"] for each in first["data"]] == queued[:0:-1]
    rest = (await call("GET", f"{path}/deliveries?limit=2&cursor={first['next_cursor']}")).json
    (delivery,) = rest["data"]
    assert rest["next_cursor"] is None
    assert delivery["event_id"].startswith("evt_")
    assert delivery["due_at"] == delivery["created_at"]
    assert {name: delivery[name] for name in ("id", "type", "status", "tries", "error")} == {
        "id": queued[0],
        "type": "endpoint.test",
        "status": "pending",
        "tries": 0,
        "error": None,
    }


async def end(api: Api, delivery_id: int, status: str, tries: int) -> None:
    values = {"status": status, "tries": tries, "due_at": None, "error": "HTTP 500"}
    await api.database.write(
        lambda c: c.execute(
            update(webhook_deliveries).where(webhook_deliveries.c.id == delivery_id).values(values)
        )
    )


async def statuses(call: Caller, path: str) -> dict[int, str]:
    listed = (await call("GET", f"{path}/deliveries")).json["data"]
    assert all((each["due_at"] is None) == (each["status"] != "pending") for each in listed)
    return {each["id"]: each["status"] for each in listed}


async def test_what_failed_is_replayed_since_a_moment_and_all_of_it_on_request(
    api: Api, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paceline.storage.webhook_deliveries.REPLAY_AT_ONCE", 1)
    path = f"{PATH}/{(await made(call))['id']}"
    ids = [(await call("POST", f"{path}/test")).json["delivery_id"] for _ in range(3)]
    await end(api, ids[0], "failed", 12)
    await end(api, ids[1], "delivered", 1)
    await end(api, ids[2], "failed", 12)
    later = {"since": "2100-01-01T00:00:00+01:00"}
    assert (await call("POST", f"{path}/replay", later)).json == {"replayed": 0}
    since = {"since": "2020-01-01T00:00:00Z"}
    assert (await call("POST", f"{path}/replay", since)).json == {"replayed": 2}
    assert list((await statuses(call, path)).values()) == ["pending", "delivered", "pending"]
    everything = since | {"delivered_too": True}
    assert (await call("POST", f"{path}/replay", everything)).json == {"replayed": 1}
    assert set((await statuses(call, path)).values()) == {"pending"}
    assert (await audited(api))[-1].action == "webhook_endpoint.replay"


async def test_one_delivery_is_replayed_whatever_became_of_it(api: Api, call: Caller) -> None:
    path = f"{PATH}/{(await made(call))['id']}"
    delivery_id = (await call("POST", f"{path}/test")).json["delivery_id"]
    await end(api, delivery_id, "delivered", 1)
    answer = await call("POST", f"{path}/replay", {"delivery_id": delivery_id})
    assert (answer.status, answer.json) == (202, {"replayed": 1})
    (replayed,) = (await call("GET", f"{path}/deliveries")).json["data"]
    assert (replayed["status"], replayed["tries"], replayed["error"]) == ("pending", 0, None)
    elsewhere = f"{PATH}/{(await made(call))['id']}"
    missing = await call("POST", f"{elsewhere}/replay", {"delivery_id": delivery_id})
    assert missing.status == 404


@pytest.mark.parametrize(
    "body", [{}, {"delivery_id": 1, "since": "2020-01-01T00:00:00Z"}, {"since": "2020-01-01T00:00"}]
)
async def test_a_replay_says_what(api: Api, call: Caller, body: Any) -> None:
    path = f"{PATH}/{(await made(call))['id']}"
    assert (await call("POST", f"{path}/replay", body)).status == 422


async def test_nothing_is_queued_for_a_disabled_endpoint(api: Api, call: Caller) -> None:
    path = f"{PATH}/{(await made(call))['id']}"
    delivery_id = (await call("POST", f"{path}/test")).json["delivery_id"]
    await call("PATCH", path, {"disabled": True})
    assert (await call("POST", f"{path}/test")).status == 409
    for body in ({"delivery_id": delivery_id}, {"since": "2020-01-01T00:00:00Z"}):
        assert (await call("POST", f"{path}/replay", body)).status == 409


async def test_times_are_shown_as_everywhere(api: Api, call: Caller) -> None:
    endpoint = await made(call)
    row = await api.database.read(lambda c: c.execute(select(endpoints_table)).one())
    assert endpoint["created_at"] == iso(row.created_at)
