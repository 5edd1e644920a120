"""A key does what its scopes say: of every route, by the API's description."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from paceline.api.app import create_app
from paceline.domain.scope import Scope
from paceline.settings import load
from paceline.storage.database import Database
from tests.api.problem_documents import fault_of
from tests.api.serving import Api, serving
from tests.api.test_two_tenants import BODIES
from tests.docs.examples import ROOT


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """On one database: scopes are looked at before any."""
    async with serving(f"sqlite:///{tmp_path}/paceline.db") as running:
        yield running


PUBLIC = {"GET /healthz", "GET /readyz"}


def described(folder: Path) -> dict[str, tuple[str, ...]]:
    """Call → the scopes of which it needs one, as the description has it."""
    database = Database(f"sqlite:///{folder}/paceline.db")
    paths = create_app(database, load({}), wake=lambda: None).openapi()["paths"]
    database.close()
    return {
        f"{method.upper()} {path}": tuple(
            scope for each in operation.get("security", ()) for scope in each["HTTPBearer"]
        )
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


def test_every_guarded_route_names_its_scope(tmp_path: Path) -> None:
    calls = described(tmp_path)
    assert len(calls) > 50
    assert [name for name, scopes in calls.items() if not scopes and name not in PUBLIC] == []


def test_the_table_of_the_api_names_the_scopes_of_the_routes(tmp_path: Path) -> None:
    rows = re.findall(
        r"^\| `([A-Z]+ [^`]+)` \|.*\| ([^|]+) \|$",
        (ROOT / "docs" / "api.md").read_text(),
        re.MULTILINE,
    )
    written = {name: () if cell == "no key" else tuple(cell.split(" or ")) for name, cell in rows}
    assert written == described(tmp_path)


async def test_without_its_scope_every_route_is_refused_before_anything_else(
    api: Api, tmp_path: Path
) -> None:
    """With all the other scopes, of things that do not exist: 403, not 404 or 422."""
    calls = described(tmp_path)
    callers = {
        needed: await api.caller("acme", scopes=[s for s in Scope if s not in needed])
        for needed in set(calls.values())
        if needed
    }
    for name, needed in calls.items():
        if not needed:
            continue
        method, path = name.split(" ")
        body = BODIES.get(name)
        sent: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"body": body}
        answer = await callers[needed](method, re.sub(r"{\w+}", "999", path), **sent)
        assert (answer.status, answer.json["code"]) == (403, "scope_missing"), (name, answer.text)
        assert " or ".join(needed) in answer.json["detail"], name
        headers = {key.lower(): value for key, value in answer.headers.items()}
        assert fault_of(403, headers, answer.text.encode()) is None, name


async def test_one_scope_is_enough_for_what_it_names_and_for_nothing_else(api: Api) -> None:
    for scope in Scope:
        call = await api.caller("acme", scopes=[scope])
        asked = {
            Scope.READ: await call("GET", "/api/campaigns"),
            Scope.SEND: await call("POST", "/api/messages", {"to": "+447911123456", "text": "t"}),
            Scope.MANAGE: await call("POST", "/api/lists", {"name": scope}),
            Scope.ADMIN: await call("GET", "/api/tenants"),
        }
        assert {each for each, answer in asked.items() if answer.status < 300} == {scope}
        assert {answer.status for each, answer in asked.items() if each is not scope} == {403}


async def test_an_admin_reads_the_accounts_that_it_manages_without_the_scope_read(api: Api) -> None:
    call = await api.caller("operator", scopes=[Scope.ADMIN])
    listed = await call("GET", "/api/accounts")
    assert (listed.status, listed.json["data"][0]["has_key"]) == (200, True)
    assert (await call("GET", "/api/contacts")).status == 403
