"""API keys and prices in the dashboard, on both databases."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from paceline.domain.role import Role
from paceline.domain.scope import Scope
from paceline.storage import audit_log, prices, tenants
from tests.web.test_pages import words
from tests.web.visiting import House, Reader, house

EVIL = "<script>alert(1)</script>"
HTMX: Any = {"HX_Request": "true"}
SEND = {"name": "shop", "scope:send": "on"}


@pytest.fixture
async def home(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as running:
        yield running


def secret_in(text: str) -> str:
    found = re.findall(r'id="secret" readonly value="([^"]+)"', text)
    assert len(found) == 1
    return str(found[0])


async def opens(home: House, reader: Reader, secret: str) -> bool:
    """Whether the API lets a key in."""
    headers = {"Authorization": f"Bearer {secret}"}
    async with reader.session.get(f"{home.base}/api/campaigns", headers=headers) as answer:
        assert answer.status in {200, 401}
        return answer.status == 200


async def keys(home: House, tenant_id: int) -> list[Any]:
    return await home.database.read(tenants.keys_of, tenant_id)


async def test_a_key_is_shown_once_opens_is_renewed_and_revoked(
    home: House, logged: list[Any]
) -> None:
    async with home.reader(role=Role.MANAGER) as ana:
        form = {"name": EVIL, "scope:read": "on", "expires": "2099-01-31"}
        made = await ana.post("/settings/keys", form)
        assert made.path == "/settings/keys"
        first = secret_in(made.text)
        assert first.startswith("pl_")
        assert EVIL not in made.text
        assert await opens(home, ana, first)
        page = await ana.get("/settings/keys")
        assert first not in page.text
        assert first[:11] in page.text
        assert EVIL in words(page.text)
        assert "dashboard link" in page.text, "who made it"
        assert "2099" in page.text

        renewed = await ana.post("/settings/keys/1/rotate", {"grace": "3600"}, **HTMX)
        assert "<html" not in renewed.text
        second = secret_in(renewed.text)
        assert await opens(home, ana, first)
        assert await opens(home, ana, second)
        at_once = await ana.post("/settings/keys/2/rotate", {"grace": "0"})
        third = secret_in(at_once.text)

        revoked = await ana.post("/settings/keys/3/revoke", **HTMX)
        assert third not in revoked.text
        assert (await ana.post("/settings/keys/3/revoke")).status == 404
        rows = await keys(home, ana.tenant_id)
        assert [row.revoked_at is not None for row in rows] == [False, True, True]
        assert {row.made_by for row in rows} == {"dashboard link"}
        told = await home.database.read(audit_log.page, ana.tenant_id)
    assert {"key.add", "key.rotate", "key.revoke"} <= {row.action for row in told}
    for secret in (first, second, third):
        assert secret not in str(logged)
        assert secret not in str(told)


async def test_nobody_gives_or_renews_more_than_their_role_has(home: House) -> None:
    everything = {f"scope:{scope}": "on" for scope in Scope}
    async with home.reader(role=Role.ADMIN) as root, home.reader(role=Role.MANAGER) as ana:
        assert "scope:admin" not in (await ana.get("/settings/keys")).text
        refused = await ana.post("/settings/keys", {"name": "all", **everything})
        assert refused.status == 403
        assert "more rights" in refused.text
        assert "/sign-out" in refused.text, "beside the form"
        made = await root.post("/settings/keys", {"name": "all", **everything})
        assert made.status == 200
        for path in ("rotate", "revoke"):
            answer = await ana.post(f"/settings/keys/1/{path}", {"grace": "3600"})
            assert answer.status == 403, path
        (row,) = await keys(home, root.tenant_id)
        assert row.revoked_at is None
        assert row.expires_at is None
        assert set(row.scopes) == set(Scope)


async def test_what_is_wrong_is_said_beside_the_form_which_keeps_what_was_written(
    home: House,
) -> None:
    async with home.reader() as ana:
        for form, said in (
            ({"name": "shop"}, "scopes"),
            ({"name": " ", "scope:send": "on"}, "name"),
            ({"name": "x" * 101, "scope:send": "on"}, "name"),
            ({"name": "a\x00b", "scope:send": "on"}, "control character"),
            (SEND | {"expires": "2001-01-01"}, "in the past"),
            (SEND | {"expires": "soon"}, "expires"),
            ({"name": "t", "scope:manage": "on", "test": "on"}, "a test key cannot have manage"),
        ):
            answer = await ana.post("/settings/keys", form)
            assert answer.status == 422, form
            assert said in words(answer.text)
        assert 'name="scope:manage" checked' in answer.text
        await ana.post("/settings/keys", SEND)
        for grace in ("", "-1", "1", "9" * 30):
            answer = await ana.post("/settings/keys/1/rotate", {"grace": grace})
            assert answer.status == 422, grace
        assert len(await keys(home, ana.tenant_id)) == 1


async def test_a_test_key_is_told_from_a_live_one(home: House) -> None:
    async with home.reader() as ana:
        made = await ana.post("/settings/keys", SEND | {"test": "on"})
        assert secret_in(made.text).startswith("pt_")
        assert "Test" in words(made.text)
        (row,) = await keys(home, ana.tenant_id)
        assert row.test


async def test_keys_are_for_managers_of_the_tenant_and_no_form_is_forged(home: House) -> None:
    paths = ("/settings/keys", "/settings/keys/1/rotate", "/settings/keys/1/revoke")
    form = SEND | {"grace": "3600"}
    async with (
        home.reader("acme") as ana,
        home.reader("acme", Role.SENDER) as bob,
        home.reader("rival", Role.MANAGER) as eve,
    ):
        await ana.post("/settings/keys", SEND)
        assert (await bob.get("/settings/keys")).status == 403
        assert "/settings/keys" not in (await bob.get("/settings")).text
        assert "/settings/keys" in (await ana.get("/settings")).text
        for path in paths:
            assert (await bob.post(path, form)).status == 403, path
            assert (await ana.post(path, form, csrf="0" * 64)).status == 403, path
        for path in paths[1:]:
            assert (await eve.post(path, form)).status == 404, path
        assert "shop" not in words((await eve.get("/settings/keys")).text).replace("web shop", "")
        (row,) = await keys(home, ana.tenant_id)
        assert row.revoked_at is None


async def test_prices_are_replaced_by_a_file_or_not_at_all(home: House) -> None:
    async with home.reader() as root:
        assert "No prices yet" in (await root.get("/settings/prices")).text
        good = b"prefix,price,currency\n30,0.0425,EUR\n44,0.031,GBP\n"
        page = await root.upload("/settings/prices", good, "prices.csv")
        assert page.path == "/settings/prices"
        assert "+30 0.0425 EUR" in words(page.text)
        bad = f"prefix,price,currency\n30,0.05,EUR\n{EVIL},1,EUR\n49,much,EUR\n".encode()
        wrong = await root.upload("/settings/prices", bad, "prices.csv")
        assert wrong.status == 422
        assert "Row 3" in words(wrong.text)
        assert "Row 4" in words(wrong.text)
        assert EVIL not in wrong.text
        for nothing in (b"", b"\x00\xff", b"prefix,price\n"):
            assert (await root.upload("/settings/prices", nothing, "p.csv")).status == 422
        assert (await root.post("/settings/prices", {})).status == 422
        kept = await home.database.read(prices.page, root.tenant_id, limit=9)
    assert [each.prefix for each in kept] == ["30", "44"]


async def test_prices_are_the_tenants_and_for_administrators(home: House) -> None:
    file = b"prefix,price,currency\n30,0.0425,EUR\n"
    async with (
        home.reader("acme") as root,
        home.reader("rival") as other,
        home.reader("acme", Role.MANAGER) as ana,
    ):
        await root.upload("/settings/prices", file, "p.csv")
        assert "0.0425" not in (await other.get("/settings/prices")).text.partition("<pre>")[0]
        assert (await ana.get("/settings/prices")).status == 403
        assert (await ana.upload("/settings/prices", file, "p.csv")).status == 403
        assert "/settings/prices" not in (await ana.get("/settings")).text
        forged = await root.upload("/settings/prices", b"", "p.csv", {"csrf": "0" * 64})
        assert forged.status == 403
        assert len(await home.database.read(prices.page, root.tenant_id, limit=9)) == 1
