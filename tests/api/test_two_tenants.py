"""What belongs to another tenant does not exist, for every call that the API's description has.

The calls are made out of ``/openapi.json``, so that a new one is asked for here by name. Each that
can name something is made by a tenant with the other one's ids: in an installation where the other
one has all that, and in one that is the same but for it. Nobody can tell the two apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from sqlalchemy import Connection, select

from paceline.api.app import create_app
from paceline.settings import load
from paceline.storage.database import Database
from paceline.storage.schema import metadata
from tests.api.belongings import Belongings, furnish
from tests.api.problem_documents import fault_of
from tests.api.serving import ACCOUNT, Answer, Api, Caller, serving
from tests.docs.examples import ROOT
from tests.postgres import PostgresServer

PLACES = {
    "account_id": "account_id",
    "campaign_id": "campaign_id",
    "contact_id": "contact_id",
    "contact_ids": "contact_id",
    "default_account_id": "account_id",
    "delivery_id": "delivery_id",
    "endpoint_id": "endpoint_id",
    "key_id": "key_id",
    "exclude_campaign_ids": "campaign_id",
    "import_id": "import_id",
    "list_id": "list_id",
    "message_id": "message_id",
    "number": "number",
    "phone": "phone",
    "segment_id": "segment_id",
    "tenant_id": "tenant_id",
    "traffic_account_id": "account_id",
}
"""Where a call names something → which of ``Belongings`` that is."""
OTHERWISE = {("PUT /api/campaigns/{campaign_id}", "campaign_id"): "draft_id"}
"""Call and place → the same, where it is another one."""
BODIES: dict[str, Any] = {
    "PATCH /api/accounts/{account_id}": {"rate_max": 1},
    "PATCH /api/campaigns/{campaign_id}": {"rate_max": 1},
    "PATCH /api/contacts/{contact_id}": {"first_name": "Eve"},
    "PATCH /api/lists/{list_id}": {"name": "Eve's"},
    "PATCH /api/segments/{segment_id}": {"name": "Eve's"},
    "PATCH /api/tenants/{tenant_id}": {"rate_max": 1},
    "PATCH /api/webhooks/endpoints/{endpoint_id}": {"disabled": True},
    "POST /api/accounts": {**ACCOUNT, "name": "Eve's"},
    "POST /api/accounts/{account_id}/numbers": {"number": "447400000009"},
    "POST /api/campaigns": {"name": "n", "text": "t"},
    "POST /api/campaigns/preview": {"text": "t"},
    "POST /api/campaigns/{campaign_id}/resend": {"reasons": ["cancelled"]},
    "POST /api/campaigns/{campaign_id}/enqueue": {},
    "POST /api/campaigns/{campaign_id}/schedule": {"scheduled_at": "2099-12-01T09:00:00Z"},
    "POST /api/campaigns/{campaign_id}/test": {"to": "+447911123454"},
    "POST /api/campaigns/{campaign_id}/unconfirmed": {"action": "fail"},
    "POST /api/contacts": {"phone": "+447911123450"},
    "POST /api/contacts/erase": {"phone": "+447911123454"},
    "POST /api/contacts/import": b"phone\n+447911123451\n",
    "POST /api/keys": {"name": "Eve's"},
    "POST /api/keys/{key_id}/rotate": {"grace_s": 60},
    "POST /api/contacts/person": {"phone": "+447911123455"},
    "POST /api/imports/{import_id}/undo": {},
    "POST /api/lists": {"name": "l"},
    "POST /api/lists/{list_id}/contacts": {},
    "POST /api/messages": {"to": "+447911123452", "text": "t"},
    "POST /api/messages/{message_id}/unconfirmed": {"action": "fail"},
    "POST /api/segments": {"name": "s", "filter": "city is missing"},
    "POST /api/segments/preview": {"filter": "city is missing"},
    "POST /api/suppressions": {"phones": ["+447911123453"]},
    "POST /api/tenants": {"name": "Eve's"},
    "POST /api/webhooks/endpoints": {"url": "https://eve.example.com/"},
    "POST /api/webhooks/endpoints/{endpoint_id}/replay": {},
    "PUT /api/campaigns/{campaign_id}": {"name": "n", "text": "t"},
    "PUT /api/prices": b"prefix,price,currency\n44,0.05,GBP\n",
}
"""A body for each call that takes one, without what is in ``PLACES``."""
NEEDED = {"contact_ids", "delivery_id", "tenant_id"}
"""Of ``PLACES``, what has to be in a body that can have it."""
NOBODYS = {"external_id"}
"""Fields with such a name that name nothing of ours."""
PUBLIC = {"GET /healthz", "GET /readyz"}
SHOWN_TO_ADMINS = {
    "DELETE /api/keys/{key_id}",
    "GET /api/accounts/{account_id}",
    "GET /api/audit",
    "GET /api/keys",
    "POST /api/keys",
    "POST /api/keys/{key_id}/rotate",
}
"""Beside the calls that are theirs alone; for all others an admin's key is a tenant's."""
OURS, THEIRS, OPERATOR = "acme", "beta", "operator"
"""Tenants; what the first two have has their name in it, and the third has an admin's key."""
PATIENCE = aiohttp.ClientTimeout(total=30)


@dataclass(frozen=True)
class Call:
    """One call of the description."""

    name: str
    """METHOD path"""
    places: Mapping[str, str]
    """What it can name → in its path, query or body."""
    has_body: bool
    is_list: bool
    """A list of what the tenant has."""
    is_guarded: bool


def calls_of(described: Any) -> list[Call]:
    """The calls of a description; those that take away come last, the deepest first."""
    calls = [
        _call(described, method.upper(), path, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    return sorted(calls, key=lambda each: (each.name.startswith("DELETE"), -len(each.name)))


def _call(described: Any, method: str, path: str, operation: Any) -> Call:
    places = {
        each["name"]: each["in"]
        for each in operation.get("parameters", [])
        if each["in"] == "path" or re.search(r"_ids?$", each["name"])
    }
    body = operation.get("requestBody", {})
    fields = described["components"]["schemas"].get(_schema(body), {}).get("properties", {})
    named = {name for name in fields if re.search(r"_ids?$", name)} - NOBODYS
    [answer] = [each for status, each in operation["responses"].items() if status[0] == "2"]
    return Call(
        f"{method} {path}",
        {**places, **dict.fromkeys(sorted(named), "body")},
        has_body=bool(body),
        is_list="{" not in path and _schema(answer).startswith("Page_"),
        is_guarded=bool(operation.get("security")),
    )


def _schema(described: Any) -> str:
    """The name of the schema of a body."""
    schema = described.get("content", {}).get("application/json", {}).get("schema", {})
    return str(schema.get("$ref", "")).rpartition("/")[2]


Asked = tuple[str, str, Any]
"""Method, path with query, body."""


def ask(call: Call, of: Belongings, *, theirs: Belongings, place: str = "") -> Asked:
    """A call about what ``of`` has, which at this place names what is ``theirs``."""
    method, path = call.name.split(" ")
    body = BODIES.get(call.name)
    for name, where in call.places.items():
        which = OTHERWISE.get((call.name, name), PLACES[name])
        value = getattr(theirs if name == place else of, which)
        if where == "path":
            path = path.replace(f"{{{name}}}", str(value))
        elif where == "query" and name == place:
            path += f"?{name}={value}"
        elif where == "body" and name in {place, *NEEDED}:
            body = {**(body or {}), name: [value] if name.endswith("s") else value}
    return method, path, body


async def answer_to(caller: Caller, asked: Asked) -> Answer:
    method, path, body = asked
    sent = {"data": body} if isinstance(body, bytes) else {"body": body}
    return await caller(method, path, timeout=PATIENCE, **sent)


async def status_of(caller: Caller, asked: Asked) -> int:
    """Without the rest of the answer, which of an event stream never ends."""
    method, path, body = asked
    sent = {"data": body} if isinstance(body, bytes) else {"json": body}
    headers = {"Authorization": f"Bearer {caller.key}"}
    async with caller.session.request(method, caller.base + path, headers=headers, **sent) as got:
        return got.status


@dataclass
class Observed:
    """What was asked and answered, in both installations."""

    refused: dict[tuple[str, str, str], tuple[Answer, Answer]] = field(default_factory=dict)
    """Call, place, who asked → the answers where the other tenant has it, and where nobody has."""
    touched: list[str] = field(default_factory=list)
    """Tables that all this has changed."""
    lists: dict[str, dict[str, str]] = field(default_factory=dict)
    """Call → tenant → what it sees."""
    keyless: dict[str, list[Answer]] = field(default_factory=dict)
    """Call → the answers without a key, and with one that is none."""
    owned: dict[str, int] = field(default_factory=dict)
    """Call → the status that who has it is answered."""


@dataclass
class World:
    """An installation with both tenants, and what they have."""

    api: Api
    operator: Caller
    ours: Caller
    theirs: Caller
    belongings: list[Belongings]
    """Ours, then theirs if they have any."""


async def world_of(api: Api, *, both: bool) -> World:
    operator = await api.caller(OPERATOR, admin=True)
    ours, theirs = await api.caller(OURS), await api.caller(THEIRS)
    world = World(api, operator, ours, theirs, [])
    for call, name, digit in [(ours, OURS, 1), (theirs, THEIRS, 2)][: 1 + both]:
        world.belongings.append(await furnish(call, operator, name=name, digit=digit))
    return world


async def observe(with_theirs: str, without: str) -> Observed:
    """Ask everything, in an installation on each of two databases."""
    observed = Observed()
    async with serving(with_theirs) as one, serving(without) as other:
        full, empty = await world_of(one, both=True), await world_of(other, both=False)
        calls = calls_of((await one.nobody("GET", "/openapi.json")).json)
        await _ask_for_theirs(observed, calls, full, empty)
        await _ask_for_lists(observed, calls, full)
        await _ask_without_a_key(observed, calls, full)
        await _ask_as_who_has_it(observed, calls, full)
    return observed


async def _ask_for_theirs(
    observed: Observed, calls: Iterable[Call], full: World, empty: World
) -> None:
    [ours, theirs], [same] = full.belongings, empty.belongings
    assert ours == same, "ids are given otherwise, so the answers cannot be compared"
    before = await full.api.database.read(content)
    for call in calls:
        for place in call.places:
            asked = ask(call, ours, theirs=theirs, place=place)
            observed.refused[call.name, place, OURS] = (
                await answer_to(full.ours, asked),
                await answer_to(empty.ours, asked),
            )
            if call.name not in ADMINS | SHOWN_TO_ADMINS:
                observed.refused[call.name, place, OPERATOR] = (
                    await answer_to(full.operator, asked),
                    await answer_to(empty.operator, asked),
                )
    after = await full.api.database.read(content)
    observed.touched = [name for name in before if before[name] != after[name]]


def content(connection: Connection) -> dict[str, list[str]]:
    """All rows of all tables, but for when a key was last used."""
    return {
        table.name: sorted(
            str(row)
            for row in connection.execute(
                select(*(each for each in table.columns if each.name != "last_used_at"))
            )
        )
        for table in metadata.sorted_tables
    }


async def _ask_for_lists(observed: Observed, calls: Iterable[Call], full: World) -> None:
    for call in calls:
        if call.is_list and call.name not in ADMINS:
            asked = ask(call, full.belongings[0], theirs=full.belongings[1])
            observed.lists[call.name] = {
                OURS: (await answer_to(full.ours, asked)).text,
                THEIRS: (await answer_to(full.theirs, asked)).text,
            }


async def _ask_without_a_key(observed: Observed, calls: Iterable[Call], full: World) -> None:
    [ours, theirs] = full.belongings
    wrong = Caller(full.api.session, full.api.base, f"{full.ours.key}x")
    for call in calls:
        if call.is_guarded:
            asked = ask(call, ours, theirs=theirs)
            observed.keyless[call.name] = [
                await answer_to(caller, asked) for caller in (full.api.nobody, wrong)
            ]


async def _ask_as_who_has_it(observed: Observed, calls: Iterable[Call], full: World) -> None:
    [ours, theirs] = full.belongings
    for call in calls:
        caller = full.operator if call.name in ADMINS else full.theirs
        observed.owned[call.name] = await status_of(caller, ask(call, theirs, theirs=ours))


ADMINS = set(
    re.findall(
        r"^\| `([A-Z]+ [^`]+)` \|.*\| admin \|$",
        (ROOT / "docs" / "api.md").read_text(),
        re.MULTILINE,
    )
)
"""Calls that are documented to need an admin's key."""


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def observed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Observed]:
    with ExitStack() as stack:
        urls = []
        for name in ("with", "without"):
            if request.param == "sqlite":
                urls.append(f"sqlite:///{tmp_path_factory.mktemp(name)}/paceline.db")
            else:
                server: PostgresServer = request.getfixturevalue("postgres_server")
                urls.append(server.create_database())
                stack.callback(server.drop_database, urls[-1])
        with ThreadPoolExecutor(1) as thread:  # the loops of other tests are not disturbed
            yield thread.submit(uvloop.run, observe(*urls)).result()


def test_every_call_is_asked_about(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/paceline.db")
    described = create_app(database, load({}), wake=lambda: None).openapi()
    database.close()
    calls = calls_of(described)
    assert len(calls) > 50
    names = {each.name for each in calls}
    assert [
        *(
            f"add {name!r} ({call.name}) to PLACES, or to NOBODYS"
            for call in calls
            for name in call.places
            if name not in PLACES
        ),
        *(
            f"add {each.name!r} to BODIES"
            for each in calls
            if each.has_body and each.name not in BODIES
        ),
        *(f"take {name!r} out of BODIES" for name in BODIES.keys() - names),
        *(
            f"{each.name} needs no key: add it to PUBLIC"
            for each in calls
            if not each.is_guarded and each.name not in PUBLIC
        ),
    ] == []


def test_what_another_tenant_has_is_answered_for_like_what_nobody_has(observed: Observed) -> None:
    assert len(observed.refused) > 80
    for where, (theirs, nobodys) in observed.refused.items():
        assert (theirs.status, theirs.text) == (nobodys.status, nobodys.text), where
        assert told(theirs) == told(nobodys), where


def told(answer: Answer) -> dict[str, str]:
    """Its headers, without what is another each time."""
    return {
        name: value
        for name, value in answer.headers.items()
        if name.lower() not in {"date", "x-request-id"}
    }


def test_what_another_tenant_has_is_not_there(observed: Observed) -> None:
    for (name, place, _), (answer, _) in observed.refused.items():
        in_path = f"{{{place}}}" in name
        expected = {403} if name in ADMINS else {404} if in_path else {404, 422}
        assert answer.status in expected, (name, place, answer.text)
        fault = fault_of(answer.status, headers_of(answer), answer.text.encode())
        assert fault is None, (name, place, fault)
        assert THEIRS not in answer.text, (name, place)


def headers_of(answer: Answer) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}


def test_asking_for_what_another_tenant_has_changes_nothing(observed: Observed) -> None:
    assert observed.touched == []


def test_who_has_it_can_have_it(observed: Observed) -> None:
    """Or the refusals above would prove nothing. 409: it is there, and in another state."""
    for name, status in observed.owned.items():
        assert status < 300 or status == 409, name


def test_lists_show_what_is_ours_and_nothing_of_theirs(observed: Observed) -> None:
    assert len(observed.lists) > 5
    for name, seen in observed.lists.items():
        for tenant, other in ((OURS, THEIRS), (THEIRS, OURS)):
            assert tenant in seen[tenant], name
            assert other not in seen[tenant], name


def test_nothing_that_is_guarded_answers_without_a_key(observed: Observed) -> None:
    assert len(observed.keyless) > 50
    for name, answers in observed.keyless.items():
        for answer in answers:
            assert (answer.status, answer.json["code"]) == (401, "unauthorized"), name
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="paceline"', name
            assert fault_of(401, headers_of(answer), answer.text.encode()) is None, name
