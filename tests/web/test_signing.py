"""Who gets in, with what, and for how long."""

from __future__ import annotations

import asyncio
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Table, update
from yarl import URL

from paceline.domain.role import Role
from paceline.engine.signing_in import SigningIn, TooManyTriesError, WrongPasswordError
from paceline.storage import audit_log, users
from paceline.storage.schema import sessions, sign_in_links
from paceline.telemetry import mask
from paceline.web.visits import SESSION_COOKIE
from tests.web.visiting import PASSWORD, House, house

_TO = re.compile(r'name="to" value="([^"]*)"')


def _expire(connection: Connection, table: Table) -> None:
    connection.execute(update(table).values(expires_at=1))


async def test_who_is_not_signed_in_sees_only_the_way_in(home: House) -> None:
    async with home.reader(role=None) as nobody:
        for path in ("/", "/campaigns", "/campaigns/1", "/messages", "/accounts", "/queue"):
            looked = await nobody.get(path)
            assert (looked.status, looked.path) == (200, "/sign-in"), path
        assert "paceline login" in looked.text


async def test_a_link_signs_in_once_and_the_cookie_is_kept_from_scripts(home: House) -> None:
    async with home.reader(role=None) as first, home.reader(role=None) as second:
        secret = await home.database.write(users.make_link, first.tenant_id, Role.VIEWER)
        async with first.session.post(
            f"{home.base}/sign-in/{secret}", allow_redirects=False
        ) as answer:
            cookie = answer.headers["Set-Cookie"]
        assert answer.status == 303
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Secure" not in cookie
        assert (await first.get("/")).path == "/"
        for again in (
            await second.post(f"/sign-in/{secret}", csrf=""),
            await second.get(f"/sign-in/{secret}"),
        ):
            assert again.status == 410
            assert "has been used" in again.text
        assert (await second.get("/")).path == "/sign-in"


async def test_who_only_looks_at_a_link_does_not_use_it_up(home: House) -> None:
    async with home.reader(role=None) as preview, home.reader(role=None) as ana:
        secret = await home.database.write(users.make_link, ana.tenant_id, Role.SENDER)
        for _ in range(2):
            looked = await preview.get(f"/sign-in/{secret}")
            assert looked.status == 200
            assert "acme" in looked.text
            assert "Set-Cookie" not in looked.headers
        assert (await preview.get("/")).path == "/sign-in"
        assert (await ana.post(f"/sign-in/{secret}", csrf="")).path == "/"


async def test_no_other_site_can_press_the_button_of_a_link(home: House) -> None:
    async with home.reader(role=None) as ana:
        secret = await home.database.write(users.make_link, ana.tenant_id, Role.SENDER)
        pressed = await ana.post(f"/sign-in/{secret}", csrf="", Origin="https://evil.example")
        assert pressed.status == 403
        assert (await ana.post(f"/sign-in/{secret}", csrf="")).path == "/"


async def test_a_link_that_is_too_old_signs_nobody_in(home: House) -> None:
    async with home.reader(role=None) as ana:
        secret = await home.database.write(users.make_link, ana.tenant_id, Role.SENDER)
        await home.database.write(_expire, sign_in_links)
        assert (await ana.get(f"/sign-in/{secret}")).status == 410
        assert (await ana.post(f"/sign-in/{secret}", csrf="")).status == 410


async def test_the_secret_of_a_link_is_not_in_the_log(home: House, logged: list[Any]) -> None:
    async with home.reader(role=None) as ana:
        secret = await home.database.write(users.make_link, ana.tenant_id, Role.SENDER)
        await ana.get(f"/sign-in/{secret}")
    paths = [each["path"] for each in logged if each["event"] == "request"]
    assert [mask(None, "", {"path": each})["path"] for each in paths] == ["/sign-in/***"]


async def test_a_password_signs_in_and_goes_to_the_page_that_was_wanted(home: House) -> None:
    await home.user("ana")
    async with home.reader(role=None) as ana:
        form = {"login": "ana", "password": PASSWORD, "to": "/campaigns"}
        assert (await ana.post("/sign-in", form, csrf="")).path == "/campaigns"


async def test_whoever_mistypes_a_password_still_gets_to_the_page_that_was_wanted(
    home: House,
) -> None:
    await home.user("ana")
    async with home.reader(role=None) as ana:
        asked = await ana.get("/messages?campaign=1&status=failed")
        to = unescape(_TO.search(asked.text)[1])  # type: ignore[index]
        assert to == "/messages?campaign=1&status=failed"
        form = {"login": "ana", "password": "x", "to": to}
        wrong = await ana.post("/sign-in", form, csrf="")
        assert unescape(_TO.search(wrong.text)[1]) == to  # type: ignore[index]


async def test_a_part_that_comes_too_late_leads_back_to_the_page_that_it_is_of(
    home: House,
) -> None:
    async with home.reader(role=None) as nobody:
        now = f"{home.base}/campaigns?status=sending"
        part = await nobody.get("/overview/now", **{"HX-Request": "true", "HX-Current-URL": now})
        elsewhere = await nobody.get(
            "/overview/now", **{"HX-Request": "true", "HX-Current-URL": "https://evil.example//x"}
        )
    assert part.status == elsewhere.status == 204
    assert part.headers["HX-Redirect"] == "/sign-in?to=/campaigns%3Fstatus%3Dsending"
    assert elsewhere.headers["HX-Redirect"] == "/sign-in"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
    ],
)
async def test_signing_in_leads_to_no_other_site(home: House, elsewhere: str) -> None:
    await home.user("ana")
    async with home.reader(role=None) as ana:
        form = {"login": "ana", "password": PASSWORD, "to": elsewhere}
        assert (await ana.post("/sign-in", form, csrf="")).path == "/"
        answer = await ana.post("/preferences", {"to": elsewhere}, HX_Request="true")
        assert answer.headers["HX-Redirect"] == "/"


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


async def test_guesses_that_are_made_at_once_count_each_other(home: House) -> None:
    await home.user("ana")
    async with home.reader(role=None) as somebody:
        form = {"login": "ana", "password": "x"}
        guesses = [somebody.post("/sign-in", form, csrf="") for _ in range(12)]
        statuses = [each.status for each in await asyncio.gather(*guesses)]
    assert sorted(statuses) == [422] * 5 + [429] * 7


async def test_who_signs_in_anew_gets_another_session_and_ends_the_one_before(
    home: House,
) -> None:
    await home.user("ana")
    async with home.reader(role=None) as ana:
        ana.session.cookie_jar.update_cookies({SESSION_COOKIE: "planted"}, URL(home.base))
        form = {"login": "ana", "password": PASSWORD}
        assert (await ana.post("/sign-in", form, csrf="")).path == "/"
        first = ana.session.cookie_jar.filter_cookies(URL(home.base))[SESSION_COOKIE].value
        assert first != "planted"
        await ana.post("/sign-in", form, csrf="")
        assert await home.database.read(users.signed_in, first) is None
        assert (await ana.get("/campaigns")).path == "/campaigns"


async def test_a_session_ends_by_itself(home: House) -> None:
    async with home.reader() as ana:
        await home.database.write(_expire, sessions)
        assert (await ana.get("/campaigns")).path == "/sign-in"


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


async def test_a_disabled_user_is_out_and_stays_out(home: House) -> None:
    user_id = await home.user("ana")
    form = {"login": "ana", "password": PASSWORD}
    async with home.reader(role=None) as ana, home.reader(role=Role.MANAGER) as boss:
        await ana.post("/sign-in", form, csrf="")
        assert (await ana.get("/campaigns")).path == "/campaigns"
        await boss.post(f"/settings/users/{user_id}", {"action": "disable"})
        assert (await ana.get("/campaigns")).path == "/sign-in"
        assert (await ana.post("/sign-in", form, csrf="")).status == 422


@pytest.mark.parametrize("change", [{"disabled_at": 1}, {"password": "other"}])
async def test_who_is_changed_while_their_password_is_checked_does_not_get_in(
    home: House, change: dict[str, Any]
) -> None:
    user_id = await home.user("ana")
    user = await home.database.read(users.by_login, "ana")
    assert user is not None
    await home.database.write(users.change, user.tenant_id, user_id, change)
    assert await home.database.write(users.sign_in, user_id, user.password) is None


async def test_one_changes_ones_own_password_and_is_signed_out_everywhere_else(
    home: House,
) -> None:
    await home.user("ana")
    form = {"login": "ana", "password": PASSWORD}
    new = {"old": PASSWORD, "new": "a better one 2", "again": "a better one 2"}
    async with home.reader(role=None) as here, home.reader(role=None) as there:
        for each in (here, there):
            await each.post("/sign-in", form, csrf="")
        changed = await here.post("/settings/password", new)
        assert (changed.status, changed.path) == (200, "/settings/password")
        assert "signed out" in changed.text
        assert (await here.post("/sign-out")).path == "/sign-in"
        assert (await there.get("/campaigns")).path == "/sign-in"
        assert (await there.post("/sign-in", form, csrf="")).status == 422
        better = {"login": "ana", "password": "a better one 2"}
        assert (await there.post("/sign-in", better, csrf="")).path == "/"
    tenant_id = here.tenant_id
    assert (await home.database.read(audit_log.page, tenant_id))[0].action == "user.password"


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"old": "not it, really"}, "not your old password"),
        ({"new": "short", "again": "short"}, "10 to 200 characters"),
        ({"again": "something else"}, "written in two ways"),
    ],
)
async def test_what_is_wrong_with_another_password_is_said_and_nothing_is_changed(
    home: House, form: dict[str, str], said: str
) -> None:
    await home.user("ana")
    good = {"old": PASSWORD, "new": "a better one 2", "again": "a better one 2"}
    async with home.reader(role=None) as ana:
        await ana.post("/sign-in", {"login": "ana", "password": PASSWORD}, csrf="")
        answer = await ana.post("/settings/password", good | form)
        assert answer.status == 422
        assert said in answer.text
        assert (await ana.get("/campaigns")).path == "/campaigns"
        again = await ana.post("/sign-in", {"login": "ana", "password": PASSWORD}, csrf="")
        assert again.path == "/"


async def test_whoever_finds_an_open_browser_cannot_guess_the_password_or_go_without(
    home: House,
) -> None:
    user_id = await home.user("boss", Role.MANAGER)
    guess = {"old": "not it, really", "new": "a better one 2", "again": "a better one 2"}
    async with home.reader(role=None) as boss:
        await boss.post("/sign-in", {"login": "boss", "password": PASSWORD}, csrf="")
        without = await boss.post(f"/settings/users/{user_id}", {"password": "a better one 2"})
        assert without.status == 409
        statuses = [(await boss.post("/settings/password", guess)).status for _ in range(6)]
        assert statuses == [422] * 5 + [429]


async def test_who_came_by_a_link_has_no_password_to_change(home: House) -> None:
    new = {"old": "", "new": "a better one 2", "again": "a better one 2"}
    async with home.reader() as ana:
        assert "link from the terminal" in (await ana.get("/settings/password")).text
        assert (await ana.post("/settings/password", new)).status == 409


async def test_users_of_another_tenant_do_not_exist(home: House) -> None:
    user_id = await home.user("ana", tenant="acme")
    async with home.reader("rival", role=Role.MANAGER) as eve:
        assert f"/settings/users/{user_id}" not in (await eve.get("/settings")).text
        change = {"action": "disable", "password": "a better one 2"}
        theirs = await eve.post(f"/settings/users/{user_id}", change)
        nobody = await eve.post(f"/settings/users/{user_id + 1}", change)
    assert theirs.status == nobody.status == 404
    async with home.reader(role=None) as ana:
        form = {"login": "ana", "password": PASSWORD}
        assert (await ana.post("/sign-in", form, csrf="")).path == "/"


async def test_nobody_makes_a_user_who_may_more_than_they(home: House) -> None:
    admin = await home.user("admin", Role.ADMIN)
    form = {"login": "eve", "password": PASSWORD, "role": "admin"}
    async with home.reader(role=Role.MANAGER) as boss:
        assert (await boss.post("/settings/users", form)).status == 409
        assert (await boss.post(f"/settings/users/{admin}", {"action": "disable"})).status == 409
    async with home.reader(role=Role.SENDER) as sender:
        assert (await sender.post("/settings/users", form)).status == 403


@pytest.mark.parametrize(
    ("path", "forged"),
    [
        ("/sign-out", {"csrf": "0" * 64}),
        ("/preferences", {"csrf": "é"}),
        ("/sign-out", {"Origin": "https://evil.example"}),
        ("/sign-out", {"Origin": "null"}),
        ("/sign-out", {"Origin": "http://["}),
        ("/settings/password", {"csrf": ""}),
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


@pytest.mark.parametrize("headers", [{}, {"X-Forwarded-Proto": "https"}])
async def test_behind_https_the_cookie_is_kept_from_plain_http_and_the_proxy_may_rename_us(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    public: Any = {} if headers else {"PACELINE_PUBLIC_URL": "https://sms.example"}
    async with house(f"sqlite:///{tmp_path}/paceline.db", **public) as home:
        await home.user("ana")
        async with home.reader(role=None) as ana:
            origin = {} if headers else {"Origin": "https://sms.example"}
            async with ana.session.post(
                f"{home.base}/sign-in",
                data={"login": "ana", "password": PASSWORD},
                headers=headers | origin,
                allow_redirects=False,
            ) as answer:
                assert answer.status == 303
                assert "Secure" in answer.headers["Set-Cookie"]


LOOKS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("GET", "/", {}),
    ("GET", "/sign-in", {}),
    ("GET", "/sign-in/wrong", {}),
    ("GET", "/campaigns/99", {}),
    ("GET", "/campaigns/99999999999999999999", {}),
    ("GET", "/messages?campaign=99999999999999999999", {}),
    ("GET", "/no/such/page", {"Accept": "text/html"}),
    ("GET", "/no/such/page", {}),
    ("GET", "/sign-out", {}),
    ("POST", "/sign-out", {}),
    ("GET", "/campaigns/1/events", {}),
    ("GET", "/static/paceline.css", {}),
    ("GET", "/static/no.css", {}),
    ("GET", "/api/campaigns", {}),
)


@pytest.mark.parametrize("role", [None, Role.VIEWER])
async def test_every_answer_forbids_frames_foreign_content_and_guesses_of_its_type(
    home: House, role: Role | None
) -> None:
    async with home.reader(role=role) as ana:
        for method, path, headers in LOOKS:
            async with ana.session.request(
                method, home.base + path, headers=headers, allow_redirects=False
            ) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert answer.status < 500, path
            assert "default-src 'none'" in policy, path
            assert "frame-ancestors 'none'" in policy, path
            assert answer.headers["X-Content-Type-Options"] == "nosniff", path
            assert answer.headers["Referrer-Policy"] in {"same-origin", "no-referrer"}, path


async def test_a_browser_is_told_in_words_that_there_is_no_such_page(home: House) -> None:
    async with home.reader() as ana, home.reader(role=None) as nobody:
        for each in (ana, nobody):
            page = await each.get("/no/such/page", Accept="text/html")
            assert page.status == 404
            assert "There is no such page here." in page.text
        program = await ana.get("/no/such/page")
    assert program.headers["Content-Type"] == "application/problem+json"


class Guesser:
    """Somebody who tries passwords, on a clock of the test's own."""

    def __init__(self, home: House) -> None:
        self.at = 0.0
        self.signing_in = SigningIn(home.database, lambda: self.at)

    async def __call__(self, login: str, address: str) -> type[Exception]:
        try:
            await self.signing_in.proven(login, "x", address=address)
        except (WrongPasswordError, TooManyTriesError) as error:
            return type(error)
        raise AssertionError(login)


@pytest.fixture
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paceline.engine.signing_in._matches", lambda *_: False)


async def test_a_login_and_an_address_wait_each_and_only_for_a_minute(
    home: House, quick_hashes: None
) -> None:
    guess = Guesser(home)
    for number in range(5):
        assert await guess("ana", f"10.0.0.{number}") is WrongPasswordError
    assert await guess("ana", "10.0.0.9") is TooManyTriesError
    for number in range(5):
        assert await guess(f"bob{number}", "10.0.0.10") is WrongPasswordError
    assert await guess("eve", "10.0.0.10") is TooManyTriesError
    assert await guess("eve", "10.0.0.11") is WrongPasswordError
    guess.at = 60.0
    assert await guess("ana", "10.0.0.10") is WrongPasswordError


async def test_all_addresses_of_an_ipv6_network_are_one(home: House, quick_hashes: None) -> None:
    guess = Guesser(home)
    for number in range(5):
        assert await guess(f"bob{number}", f"2001:db8::{number}") is WrongPasswordError
    assert await guess("eve", "2001:db8::ffff") is TooManyTriesError
    assert await guess("eve", "2001:db8:0:1::1") is WrongPasswordError
    assert await guess("eve", "::ffff:10.0.0.1") is WrongPasswordError


async def test_what_is_remembered_of_guesses_is_bounded_however_long_their_logins(
    home: House, quick_hashes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paceline.engine.signing_in._REMEMBERED", 10)
    guess = Guesser(home)
    for number in range(30):
        await guess(f"bob{number}" * (10_000 if number % 2 else 1), f"10.0.0.{number}")
    remembered = guess.signing_in._tries._failures
    assert len(remembered) == 10
    assert max(map(len, remembered)) <= 100
