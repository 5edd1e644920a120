"""The API under requests that its own description makes; ``python -m tests.fire`` fires longer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.serving import Api, Caller, serving
from tests.fire import ENDING_LIKE_AN_ID, fire, in_a_thread

PHASES = ("examples", "coverage", "fuzzing", "stateful")
"""Of schemathesis."""


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(f"sqlite:///{tmp_path}/paceline.db") as running:
        yield running


def only(*phases: str) -> dict[str, Any]:
    return {name: {"enabled": name in phases} for name in PHASES}


def errors(logged: list[Any]) -> list[Any]:
    return [each for each in logged if each["log_level"] in {"error", "critical"}]


def test_no_request_at_the_boundaries_of_what_is_described_breaks_a_promise(
    postgres_url: str, logged: list[Any]
) -> None:
    with in_a_thread(postgres_url, admin=True) as (base, key):
        fired = fire(base, key, seed=1, examples=1, deterministic=True, phases=only("coverage"))
    assert fired.broken == {}
    assert fired.requests > 1500
    assert errors(logged) == []


def test_no_request_like_those_described_breaks_a_promise(
    tmp_path: Path, logged: list[Any]
) -> None:
    with in_a_thread(f"sqlite:///{tmp_path}/paceline.db", admin=False) as (base, key):
        phases = only("examples", "fuzzing")
        fired = fire(base, key, seed=1, examples=5, deterministic=True, phases=phases)
    assert fired.broken == {}
    assert fired.requests > 250
    assert errors(logged) == []


async def test_the_description_refers_only_to_what_it_has(api: Api) -> None:
    described = (await api.nobody("GET", "/openapi.json")).json
    references = set(_references(described))
    assert "#/components/schemas/ProblemDocument" in references
    for reference in references:
        found = described
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for each in node.values():
            yield from _references(each)
    elif isinstance(node, list):
        for each in node:
            yield from _references(each)


async def test_a_method_that_is_refused_is_told_all_that_are_not(api: Api, call: Caller) -> None:
    """The framework alone names those of one route."""
    described = (await api.nobody("GET", "/openapi.json")).json["paths"]
    for path, methods in described.items():
        if path in {name.split()[1] for name in ENDING_LIKE_AN_ID}:
            continue  # an id could stand where its path ends
        address = path.replace("{", "").replace("}", "")
        refused = next(each for each in ("PUT", "PATCH", "DELETE") if each.lower() not in methods)
        answer = await call(refused, address)
        assert answer.status == 405, path
        assert answer.headers["Allow"].split(", ") == sorted(map(str.upper, methods)), path


async def test_the_events_are_described_as_a_stream(api: Api) -> None:
    described = (await api.nobody("GET", "/openapi.json")).json["paths"]
    events = described["/api/campaigns/{campaign_id}/events"]["get"]
    assert list(events["responses"]["200"]["content"]) == ["text/event-stream"]


async def test_what_postgres_cannot_hold_is_refused(postgres_url: str) -> None:
    """Its text and its JSON have no NUL."""
    async with serving(postgres_url) as api:
        admin = await api.caller("operator", admin=True)
        account = f"/api/accounts/{api.account.id}"
        for answer, field in [
            (await admin("DELETE", f"{account}/numbers/1%002"), "number"),
            (await admin("PATCH", account, {"options": {"\0": 1}}), "options"),
        ]:
            assert answer.status == 422, answer.text
            assert answer.json["errors"][0]["field"].startswith(field)


async def test_the_examples_of_the_description_can_be_used(api: Api, call: Caller) -> None:
    described = (await api.nobody("GET", "/openapi.json")).json
    schemas = described["components"]["schemas"]

    def example(schema: str, field: str) -> Any:
        of = schemas[schema]["properties"][field]
        return (of.get("examples") or of["anyOf"][0]["examples"])[0]

    imported = described["paths"]["/api/contacts/import"]["post"]["requestBody"]["content"]
    for path, body, status in [
        ("/api/contacts", {"phone": example("NewContact", "phone")}, 201),
        ("/api/suppressions", {"phones": example("NewSuppressions", "phones")}, 200),
        ("/api/messages", {"to": example("NewMessage", "to"), "text": "Hi"}, 201),
        (
            "/api/campaigns",
            {"name": "n", "text": "t", "scheduled_at": example("NewCampaign", "scheduled_at")},
            201,
        ),
    ]:
        answer = await call("POST", path, body)
        assert answer.status == status, answer.text
    answer = await call("POST", "/api/contacts/import", data=imported["text/csv"]["example"])
    assert (answer.status, answer.json["invalid"], answer.json["updated"]) == (200, 0, 1)
