"""Who gets in, with what, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from paceline.domain.role import Role
from paceline.storage import users
from tests.web.visiting import PASSWORD, House


async def test_who_is_not_signed_in_sees_only_the_way_in(home: House) -> None:
    async with home.reader(role=None) as nobody:
        for path in ("/", "/campaigns", "/campaigns/1", "/messages", "/accounts", "/queue"):
            looked = await nobody.get(path)
            assert (looked.status, looked.path) == (200, "/sign-in"), path
        assert "paceline login" in looked.text


async def test_a_link_signs_in_once_and_the_cookie_is_kept_from_scripts(home: House) -> None:
    async with home.reader(role=None) as first, home.reader(role=None) as second:
        secret = await home.database.write(users.make_link, first.tenant_id, Role.VIEWER)
        async with first.session.get(
            f"{home.base}/sign-in/{secret}", allow_redirects=False
        ) as answer:
            cookie = answer.headers["Set-Cookie"]
        assert answer.status == 303
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert (await first.get("/")).path == "/"
        again = await second.get(f"/sign-in/{secret}")
        assert again.status == 410
        assert "has been used" in again.text
        assert (await second.get("/")).path == "/sign-in"


async def test_a_password_signs_in_and_goes_to_the_page_that_was_wanted(home: House) -> None:
    await home.user("ana")
    async with home.reader(role=None) as ana:
        form = {"login": "ana", "password": PASSWORD, "to": "/campaigns"}
        assert (await ana.post("/sign-in", form, csrf="")).path == "/campaigns"


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example"])
async def test_signing_in_leads_to_no_other_site(home: House, elsewhere: str) -> None:
    await home.user("ana")
    async with home.reader(role=None) as ana:
        form = {"login": "ana", "password": PASSWORD, "to": elsewhere}
        assert (await ana.post("/sign-in", form, csrf="")).path == "/"


async def test_a_wrong_password_and_an_unknown_login_are_answered_alike(home: House) -> None:
    await home.user("ana")
    async with home.reader(role=None) as somebody:
        wrong = await somebody.post("/sign-in", {"login": "ana", "password": "x"}, csrf="")
        unknown = await somebody.post("/sign-in", {"login": "bob", "password": "x"}, csrf="")
    assert wrong.status == unknown.status == 422
    assert wrong.text == unknown.text


async def test_who_guesses_has_to_wait_even_with_the_right_password(home: House) -> None:
    await home.user("ana")
    async with home.reader(role=None) as somebody:
        for _ in range(5):
            await somebody.post("/sign-in", {"login": "ana", "password": "x"}, csrf="")
        late = await somebody.post("/sign-in", {"login": "ana", "password": PASSWORD}, csrf="")
    assert late.status == 429
    assert 0 < int(late.headers["Retry-After"]) <= 60


async def test_who_signs_out_is_out(home: House) -> None:
    async with home.reader() as ana:
        assert (await ana.post("/sign-out")).path == "/sign-in"
        assert (await ana.get("/campaigns")).path == "/sign-in"


async def test_another_password_ends_every_session_of_a_user(home: House) -> None:
    user_id = await home.user("ana")
    async with home.reader(role=None) as ana:
        await ana.post("/sign-in", {"login": "ana", "password": PASSWORD}, csrf="")
        assert (await ana.get("/campaigns")).path == "/campaigns"
        await home.database.write(users.change, ana.tenant_id, user_id, {"password": "other"})
        assert (await ana.get("/campaigns")).path == "/sign-in"


@pytest.mark.parametrize(
    ("path", "forged"),
    [
        ("/sign-out", {"csrf": "0" * 64}),
        ("/preferences", {"csrf": "é"}),
        ("/sign-out", {"Origin": "https://evil.example"}),
        ("/sign-out", {"Sec_Fetch_Site": "cross-site"}),
    ],
)
async def test_a_form_that_no_page_of_the_session_sent_does_nothing(
    home: House, path: str, forged: Any
) -> None:
    async with home.reader() as ana:
        answer = await ana.post(path, **forged)
        assert answer.status == 403
        assert (await ana.get("/campaigns")).path == "/campaigns"
