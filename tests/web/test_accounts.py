"""Providers and limits: how they are, what is used, what is changed, what is done about doubt."""

from __future__ import annotations

import re
from typing import Any

import pytest

from paceline.domain.role import Role
from paceline.storage import accounts, tenants
from paceline.storage.database import now
from tests.web.test_overview import fill_window
from tests.web.test_pages import words
from tests.web.visiting import House, house


def field(html: str, name: str) -> str:
    found = re.search(rf'<input id="{name}"[^>]*>', html)
    assert found is not None, name
    return found[0]


async def limit_of(home: House, key: str, tenant_id: int) -> tuple[Any, Any]:
    row = await (
        home.database.read(tenants.get, tenant_id)
        if key == "tenant"
        else home.database.read(accounts.get, home.account.id)
    )
    return row.rate_max, row.rate_window_ms


KEYS = ("tenant", "1")
PATHS = {"tenant": "/accounts/tenant", "1": "/accounts/1/limit"}


@pytest.mark.parametrize("key", KEYS)
async def test_a_limit_is_changed_and_given_back_to_the_settings(home: House, key: str) -> None:
    async with home.reader(role=Role.ADMIN) as ana:
        given = {"rate_max": "7", "rate_window_ms": "2000"}
        assert (await ana.post(PATHS[key], given)).path == "/accounts"
        assert await limit_of(home, key, ana.tenant_id) == (7, 2000)
        assert "of 7 calls in 2 seconds" in words((await ana.get("/accounts/now")).text)
        await ana.post(PATHS[key], {"rate_max": "", "rate_window_ms": ""})
        assert await limit_of(home, key, ana.tenant_id) == (None, None)
        page = (await ana.get("/accounts")).text
        default = {"tenant": "50", "1": "100"}[key]
        assert f'placeholder="{default}"' in field(page, f"limit-{key}-rate_max")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("rate_max", "0"),
        ("rate_max", "1000001"),
        ("rate_max", "1.5"),
        ("rate_max", "-1"),
        ("rate_max", "many"),
        ("rate_window_ms", "86400001"),
        ("rate_window_ms", "&lt;b&gt;"),
    ],
)
async def test_a_limit_that_cannot_be_is_kept_as_it_was_typed_and_changes_nothing(
    home: House, key: str, name: str, wrong: str
) -> None:
    async with home.reader(role=Role.ADMIN) as ana:
        given = {"rate_max": "7", "rate_window_ms": "2000", name: wrong}
        refused = await ana.post(PATHS[key], given)
        assert refused.status == 422
        for each, typed in given.items():
            assert f'value="{typed.replace("&", "&amp;")}"' in field(
                refused.text, f"limit-{key}-{each}"
            )
        assert 'aria-invalid="true"' in field(refused.text, f"limit-{key}-{name}")
        told = re.search(rf'id="limit-{key}-{name}-wrong">([^<]*)<', refused.text)
        assert told is not None
        assert "a whole number from 1 to" in told[1]
        other = next(each for each in KEYS if each != key)
        assert "aria-invalid" not in field(refused.text, f"limit-{other}-{name}")
        assert await limit_of(home, key, ana.tenant_id) == (None, None)


async def test_only_administrators_change_limits_and_release_accounts(home: House) -> None:
    async with home.reader(role=Role.MANAGER) as ana:
        for path in (*PATHS.values(), "/accounts/1/release"):
            assert (await ana.post(path, {"rate_max": "7"})).status == 403
        page = (await ana.get("/accounts")).text
    assert "limit-tenant-rate_max" not in page
    assert "Administrators change it." in page


async def test_what_is_used_now_stands_against_each_limit(database_url: str) -> None:
    async with house(database_url, RATE_LIMIT_TRAFFIC_ACCOUNT_WINDOW_MS="60000") as home:
        await home.database.write(fill_window, home.account.id, 40)
        for role in (Role.VIEWER, Role.ADMIN):
            async with home.reader(role=role) as ana:
                now_used = (await ana.get("/accounts/now")).text
            assert "40 of 100 calls in" in words(now_used)
            assert "0 of 50 calls in 1 second" in words(now_used)
            assert '<meter min="0" max="100" value="40"' in now_used


async def test_the_health_of_an_account_is_said_with_what_ends_it(home: House) -> None:
    async with home.reader(role=Role.ADMIN) as ana:

        async def after(**values: Any) -> str:
            await home.database.write(accounts.change, home.account.id, values)
            return words((await ana.get("/accounts/now")).text)

        assert "Well" in await after()
        assert "Being tried" in await after(failures=1)
        closed_until = await home.database.read(now) + 20_000
        closed = await after(closed_until=closed_until, closed_why="503")
        assert "Closed for 20 seconds 503. It is tried again by itself." in closed
        held = await after(held_at=1, held_why="401")
        assert "Held 401. Nothing goes out through it until" in held
        assert (await ana.post("/accounts/1/release")).path == "/accounts"
        assert "Well" in words((await ana.get("/accounts/now")).text)


async def test_a_test_message_is_sent_through_the_account(home: House) -> None:
    async with home.reader(role=Role.SENDER) as ana:
        sent = await ana.post("/accounts/1/test", {"to": "+306912345678", "text": "Hi there"})
        assert re.fullmatch(r"/messages/\d+", sent.path)
        assert "Hi there" in sent.text
    async with home.reader(role=Role.VIEWER) as viewer:
        assert (await viewer.post("/accounts/1/test", {"to": "+306912345678"})).status == 403


async def test_a_test_to_no_number_keeps_what_was_typed_and_says_what_is_wrong(home: House) -> None:
    async with home.reader(role=Role.SENDER) as ana:
        refused = await ana.post("/accounts/1/test", {"to": "12", "text": "Hi there"})
    assert refused.status == 422
    assert 'value="12"' in field(refused.text, "test-1-to")
    assert 'aria-invalid="true"' in field(refused.text, "test-1-to")
    assert 'value="Hi there"' in field(refused.text, "test-1-text")
    assert '<details id="test-1" open>' in refused.text


async def test_what_is_done_about_doubt_is_said_for_each_account(home: House) -> None:
    async with home.reader(role=Role.VIEWER) as ana:
        page = words((await ana.get("/accounts")).text)
        assert "no answer may have been accepted: unconfirmed" in page
        await home.database.write(accounts.change, home.account.id, {"server_error": "retry"})
        assert "taken for not accepted (server_error=retry)" in words(
            (await ana.get("/accounts")).text
        )


async def test_an_account_of_another_tenant_is_not_shown(home: House) -> None:
    async with home.reader(role=Role.MANAGER) as ana:
        rival = await home.database.write(tenants.keep, "rival")
        await home.database.write(accounts.change, home.account.id, {"tenant_id": rival.id})
        page = (await ana.get("/accounts")).text
        sent = await ana.post("/accounts/1/test", {"to": "+306912345678"})
    assert "account-1" not in page
    assert "No traffic account yet." in page
    assert sent.status == 422
    assert "traffic_account_id" in words(sent.text)
