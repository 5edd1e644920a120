"""What every route promises: keys, problem documents, headers, idempotency, health."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from sqlalchemy import func, select

from paceline import telemetry
from paceline.api import edge
from paceline.storage import tenants
from paceline.storage.schema import campaigns, messages
from tests.api.serving import Api, Caller, serving
from tests.loop_time import jump

MESSAGE = {"to": "+447911123456", "text": "Hi"}


async def test_nothing_under_api_answers_without_a_key(api: Api, call: Caller) -> None:
    described = (await api.nobody("GET", "/openapi.json")).json
    routes = [
        (method.upper(), path.replace("{", "").replace("}", ""))
        for path, methods in described["paths"].items()
        for method in methods
        if path.startswith("/api/")
    ]
    assert len(routes) > 30
    for method, path in [*routes, ("GET", "/api"), ("GET", "/api/nothing")]:
        answer = await api.nobody(method, path)
        assert answer.status == 401, path
        assert answer.json["code"] == "unauthorized"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    for key in ("wrong", str(call.key)[:11] + "x", "é"):
        assert (await Caller(api.session, api.base, key)("GET", "/api/lists")).status == 401


async def test_a_revoked_key_is_dead_within_the_time_it_is_known_for(
    api: Api, call: Caller
) -> None:
    key = (await api.database.read(tenants.keys_of, call.tenant_id))[0]
    assert (await call("GET", "/api/lists")).status == 200
    await api.database.write(tenants.revoke_key, call.tenant_id, key.id)
    jump(edge.KNOWN_S)
    assert (await call("GET", "/api/lists")).status == 401


async def test_operators_routes_need_an_admin(api: Api, call: Caller) -> None:
    admin = await api.caller("operator", admin=True)
    for method, path, body in [
        ("GET", f"/api/tenants/{call.tenant_id}", None),
        ("PATCH", f"/api/tenants/{call.tenant_id}", {"rate_max": 5}),
        ("PATCH", f"/api/accounts/{api.account.id}", {"rate_max": 7}),
        ("POST", f"/api/accounts/{api.account.id}/release", None),
    ]:
        assert (await call(method, path, body)).status == 403
        assert (await admin(method, path, body)).status == 200
        assert (await admin(method, path.replace("/1", "/999"), body)).status == 404


async def test_limits_change_at_run_time_and_a_null_is_the_default(api: Api) -> None:
    admin = await api.caller("operator", admin=True)
    path = f"/api/accounts/{api.account.id}"
    changed = (await admin("PATCH", path, {"rate_max": 7, "rate_window_ms": 500})).json
    assert (changed["rate_max"], changed["rate_window_ms"]) == (7, 500)
    assert (await admin("PATCH", path, {"rate_max": None})).json["rate_max"] is None
    assert (await admin("GET", path)).json["rate_window_ms"] == 500
    for bad in ({"rate_max": 0}, {"rate_window_ms": 86_400_001}, {"rate_max": "7"}, {"grants": ""}):
        assert (await admin("PATCH", path, bad)).status == 422
    assert (await admin("PATCH", path, {"sender": "much too long"})).status == 422


async def test_no_account_shows_its_key(api: Api, call: Caller) -> None:
    admin = await api.caller("operator", admin=True)
    for answer in (
        await admin("GET", "/api/accounts"),
        await admin("GET", f"/api/accounts/{api.account.id}"),
        await call("GET", "/api/accounts"),
        await call("GET", f"/api/accounts/{api.account.id}"),
    ):
        assert answer.status == 200
        assert "provider-secret" not in answer.text
        assert "api_key" not in answer.text
    assert api.account.webhook_token not in (await call("GET", "/api/accounts")).text


async def test_errors_are_problem_documents(api: Api, call: Caller) -> None:
    base = {"Content-Type": "application/json"}
    for answer, status, code in [
        (await call("GET", "/api/nothing"), 404, "not_found"),
        (await api.nobody("GET", "/nothing"), 404, "not_found"),
        (await call("DELETE", "/api/campaigns"), 405, "method_not_allowed"),
        (await call("GET", "/api/campaigns/x"), 422, "invalid"),
        (await call("GET", "/api/campaigns/1_0"), 422, "invalid"),
        (await call("GET", f"/api/campaigns/{2**63}"), 422, "invalid"),
        (await call("POST", "/api/lists", data=b"{", headers=base), 400, "malformed_json"),
        (await call("POST", "/api/lists", data=b"[]", headers=base), 422, "invalid"),
        (await call("POST", "/api/lists", data=b'{"name":"a"}'), 415, "unsupported_media_type"),
        (await call("POST", "/api/lists"), 422, "invalid"),
        (
            await call("POST", "/api/lists", data=io.BytesIO(b" " * 1_100_000), headers=base),
            413,
            "request_entity_too_large",
        ),
    ]:
        assert answer.status == status, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json["code"] == code
        assert answer.json.keys() == {"type", "title", "status", "detail", "code", "errors"}
        assert answer.json["status"] == status
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Request-Id"]


async def test_a_bug_is_a_plain_500(
    call: Caller, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: Any, **_kwargs: Any) -> None:
        raise ZeroDivisionError("secret internals")

    monkeypatch.setattr("paceline.storage.lists.page", broken)
    answer = await call("GET", "/api/lists")
    assert (answer.status, answer.json["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    failures = [each for each in logged if each["event"] == "request_failed"]
    assert [each["request_id"] for each in failures] == [answer.headers["X-Request-Id"]]


@pytest.fixture
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.usefixtures("_restored_logging")
async def test_the_log_has_neither_numbers_nor_queries(call: Caller) -> None:
    stream = io.StringIO()
    telemetry.configure("info", "json", stream)
    await call("GET", "/api/contacts?phone=%2B447911123456")
    await call("DELETE", "/api/suppressions/+447911123456")
    await call("GET", "/api/lists")  # the lines of the two before are written by now
    assert "7911" not in stream.getvalue()
    assert "?" not in stream.getvalue()


async def test_a_repeated_request_has_its_effect_once(api: Api, call: Caller) -> None:
    headers = {"Idempotency-Key": "abc"}
    answers = await asyncio.gather(
        *(call("POST", "/api/messages", MESSAGE, headers=headers) for _ in range(5))
    )
    assert {each.status for each in answers} == {201}
    assert len({each.text for each in answers}) == 1
    assert sum("Idempotency-Replayed" in each.headers for each in answers) == 4
    count = select(func.count()).select_from(messages)
    assert await api.database.read(lambda c: c.execute(count).scalar_one()) == 1
    other = await call("POST", "/api/messages", {**MESSAGE, "text": "Ho"}, headers=headers)
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    elsewhere = await call("POST", "/api/lists", {"name": "x"}, headers=headers)
    assert elsewhere.json["code"] == "idempotency_key_reused"
    stranger = await api.caller("stranger")
    theirs = await stranger("POST", "/api/messages", MESSAGE, headers=headers)
    assert theirs.json["id"] != answers[0].json["id"]


async def test_a_failed_request_leaves_its_key_free(api: Api, call: Caller) -> None:
    draft = {"name": "n", "text": "t"}
    campaign = (await call("POST", "/api/campaigns", draft, headers={"Idempotency-Key": "c"})).json
    path = f"/api/campaigns/{campaign['id']}/enqueue"
    key = {"Idempotency-Key": "start"}
    assert (await call("POST", path, headers=key)).status == 422
    file = b"phone\n+306912345678\n"
    again = [
        await call("POST", "/api/contacts/import", data=file, headers={"Idempotency-Key": "i"})
        for _ in range(2)
    ]
    assert again[0].json == again[1].json
    assert again[1].json["imported"] == 1
    first = await call("POST", path, headers=key)
    assert first.json["created"] == 1
    assert (await call("POST", path, headers=key)).text == first.text
    count = select(func.count()).select_from(campaigns)
    assert await api.database.read(lambda c: c.execute(count).scalar_one()) == 1
    assert (await call("POST", path, headers={"Idempotency-Key": "é"})).status == 422


async def test_health(api: Api) -> None:
    assert (await api.nobody("GET", "/healthz")).json == {"ok": True}
    ready = await api.nobody("GET", "/readyz")
    assert ready.json == {
        "ok": True,
        "parts": {"database": "ok", "schema": "ok", "worker": "ok"},
    }
    api.worker.append("The worker has stopped.")
    answer = await api.nobody("GET", "/readyz")
    assert (answer.status, answer.json["code"]) == (503, "not_ready")
    assert answer.json["errors"] == [{"field": "worker", "reason": "The worker has stopped."}]
    assert (await api.nobody("GET", "/healthz")).status == 200


async def test_without_a_database_the_answer_is_503(postgres_url: str, postgres_server) -> None:
    async with serving(postgres_url) as api:
        call = await api.caller("acme")
        assert (await call("GET", "/api/lists")).status == 200
        postgres_server.drop_database(postgres_url)
        token = api.account.webhook_token
        for caller, method, path in [
            (call, "GET", "/api/lists"),
            (api.nobody, "GET", "/readyz"),
            (api.nobody, "POST", f"/webhooks/mitto/{token}/dlr"),
        ]:
            answer = await caller(method, path, {} if method == "POST" else None)
            assert (answer.status, answer.json["code"]) == (503, "database_unreachable")
            assert answer.headers["Retry-After"]
            assert "test_" not in answer.text
