"""Contacts in the dashboard, on both databases: found, looked at, suppressed, erased, exported."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from paceline.domain.role import Role
from paceline.storage import contacts, lists, suppressions, tenants
from tests.web.test_pages import started, words
from tests.web.visiting import House, house

EVIL = "<script>alert(1)</script>"
ANNA, BERT = "+306912345678", "+306912345679"
MANAGING: tuple[tuple[str, dict[str, str]], ...] = (
    ("/contacts/suppressed", {"number": ANNA}),
    ("/contacts/suppressed/end", {"number": ANNA}),
    ("/contacts/person", {"number": ANNA}),
    ("/contacts/erase", {"number": ANNA}),
    ("/contacts/lists", {"name": "VIP"}),
    ("/contacts/lists/1", {"name": "VIP"}),
    ("/contacts/lists/1/remove", {}),
)


@pytest.fixture
async def home(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as running:
        yield running


async def contact(home: House, tenant_id: int, phone: str = ANNA, **values: Any) -> int:
    row = await home.database.write(contacts.create, tenant_id, phone=phone, **values)
    return int(row.id)


async def test_a_contact_is_found_by_number_and_by_name_and_its_page_says_all(home: House) -> None:
    async with home.reader() as ana:
        anna = await contact(
            home, ana.tenant_id, first_name=EVIL, last_name="Berg", attributes={"city": EVIL}
        )
        await contact(home, ana.tenant_id, BERT, first_name="Bert")
        made = await home.database.write(lists.create, ana.tenant_id, name="VIP & more")
        await home.database.write(lists.add, ana.tenant_id, made.id, [anna])
        for search in ("%2B306912345678", "berg", "BERG", "%3Cscript"):
            page = await ana.get(f"/contacts?q={search}")
            assert f'href="/contacts/{anna}"' in page.text, search
            assert "Bert" not in page.text
        assert "Nobody is called so" in (await ana.get("/contacts?q=zoe")).text
        assert "cannot be read" in (await ana.get("/contacts?q=12")).text
        assert BERT not in (await ana.get(f"/contacts?list={made.id}")).text
        page = await ana.get(f"/contacts/{anna}")
    assert EVIL in words(page.text)
    assert EVIL not in page.text
    assert "VIP & more" in words(page.text)
    assert "not suppressed" in page.text


async def test_the_page_of_a_contact_shows_what_was_sent_to_them(home: House) -> None:
    async with home.reader() as ana:
        campaign = await started(home, ana.tenant_id, people=1)
        found = await home.database.read(contacts.page, ana.tenant_id)
        page = await ana.get(f"/contacts/{found[0].id}")
    assert "Hello Ana0" in page.text
    assert 'href="/messages/1"' in page.text
    assert f'href="/campaigns/{campaign}"' in page.text


async def test_the_book_is_turned_over_page_by_page(home: House) -> None:
    async with home.reader() as ana:
        for n in range(51):
            await contact(home, ana.tenant_id, f"+3069123{n:05}")
        first = await ana.get("/contacts")
        more = await ana.get("/contacts?list=&after=50", **{"HX-Request": "true"})
    assert "/contacts?list=&amp;after=50" in first.text
    assert "+306912300050" not in first.text
    assert "+306912300050" in more.text
    assert "<html" not in more.text


async def test_a_number_is_suppressed_found_and_let_go_again(home: House) -> None:
    async with home.reader(role=Role.MANAGER) as ana:
        anna = await contact(home, ana.tenant_id)
        form = {"number": "6912 345678", "reason": EVIL, "contact": str(anna)}
        assert (await ana.post("/contacts/suppressed", {"number": "12"})).status == 422
        answer = await ana.post("/contacts/suppressed", form | {"number": ANNA})
        assert answer.path == f"/contacts/{anna}"
        assert EVIL in words(answer.text)
        assert EVIL not in answer.text
        assert "Suppressed" in words((await ana.get("/contacts")).text)
        found = await ana.get("/contacts/suppressed?number=%2B306912345678")
        assert EVIL in words(found.text)
        other = await ana.get("/contacts/suppressed?number=%2B306912345679")
        assert "is not suppressed" in other.text
        answer = await ana.post("/contacts/suppressed/end", {"number": ANNA})
        assert answer.path == "/contacts/suppressed"
        assert not await home.database.read(suppressions.exists, ana.tenant_id, ANNA)
        assert (await ana.post("/contacts/suppressed/end", {"number": ANNA})).status == 404


async def test_suppressed_numbers_are_turned_over_page_by_page(home: House) -> None:
    numbers = [f"+3069123{n:05}" for n in range(51)]
    async with home.reader() as ana:
        await home.database.write(suppressions.add, ana.tenant_id, numbers, "asked")
        first = await ana.get("/contacts/suppressed")
        after = numbers[49].replace("+", "%2B")
        assert f"after={after}" in first.text
        assert numbers[50] not in first.text
        assert numbers[50] in (await ana.get(f"/contacts/suppressed?after={after}")).text


async def test_a_persons_data_are_what_the_api_answers(home: House) -> None:
    async with home.reader(role=Role.MANAGER) as ana:
        await started(home, ana.tenant_id, people=1)
        number = "+306900000000"
        await home.database.write(suppressions.add, ana.tenant_id, [number], "asked")
        _, key = await home.database.write(tenants.create_key, ana.tenant_id, name="test")
        file = await ana.post("/contacts/person", {"number": number})
        async with ana.session.post(
            f"{home.base}/api/contacts/person",
            json={"phone": number},
            headers={"Authorization": f"Bearer {key}"},
        ) as answer:
            assert json.loads(file.text) == await answer.json()
    assert file.headers["Content-Disposition"].startswith("attachment")
    assert len(json.loads(file.text)["messages"]) == 1


async def test_an_erased_person_is_gone_and_stays_suppressed(home: House) -> None:
    async with home.reader(role=Role.MANAGER) as ana:
        anna = await contact(home, ana.tenant_id, first_name="Anna")
        page = await ana.get(f"/contacts/{anna}")
        assert "This cannot be undone" in page.text
        erased = await ana.post("/contacts/erase", {"number": ANNA})
        assert "The person is erased" in erased.text
        assert (await ana.get(f"/contacts/{anna}")).status == 404
        assert "Anna" not in (await ana.get("/contacts?q=anna")).text.replace("anna", "")
        again = await ana.upload("/contacts/import", f"phone\n{ANNA}\n".encode(), "again.csv")
        assert "was erased" in again.text


async def test_contacts_go_out_as_files_that_no_spreadsheet_takes_for_formulas(home: House) -> None:
    async with home.reader(role=Role.VIEWER) as ana:
        anna = await contact(
            home, ana.tenant_id, first_name="=1+1", last_name=EVIL, attributes={"note": "@SUM(A1)"}
        )
        await contact(home, ana.tenant_id, BERT)
        made = await home.database.write(lists.create, ana.tenant_id, name="VIP")
        await home.database.write(lists.add, ana.tenant_id, made.id, [anna])
        everybody = await ana.get("/contacts/export?format=csv")
        listed = await ana.get(f"/contacts/export?format=jsonl&list={made.id}")
        assert (await ana.get("/contacts/export?format=xml")).status == 422
    rows = list(csv.reader(io.StringIO(everybody.text)))
    assert rows[0] == ["phone", "first_name", "last_name", "note"]
    assert rows[1] == [ANNA, "'=1+1", EVIL, "'@SUM(A1)"]
    assert len(rows) == 3
    assert everybody.headers["Content-Type"].startswith("text/csv")
    assert 'filename="contacts.csv"' in everybody.headers["Content-Disposition"]
    assert everybody.headers["X-Content-Type-Options"] == "nosniff"
    assert [json.loads(line)["phone"] for line in listed.text.splitlines()] == [ANNA]


async def test_lists_are_made_renamed_and_removed(home: House) -> None:
    async with home.reader(role=Role.MANAGER) as ana:
        anna = await contact(home, ana.tenant_id)
        assert "No list yet" in (await ana.get("/contacts/lists")).text
        page = await ana.post("/contacts/lists", {"name": EVIL})
        assert EVIL in words(page.text)
        assert EVIL not in page.text
        (made,) = await home.database.read(lists.page, ana.tenant_id)
        await home.database.write(lists.add, ana.tenant_id, made.id, [anna])
        twice = await ana.post("/contacts/lists", {"name": EVIL})
        assert twice.status == 409
        assert "already" in twice.text
        for wrong in ("", " ", "x" * 201, "a\x00b", "a\nb"):
            assert (await ana.post("/contacts/lists", {"name": wrong})).status == 422, wrong
            assert (await ana.post(f"/contacts/lists/{made.id}", {"name": wrong})).status == 422
        page = await ana.post(f"/contacts/lists/{made.id}", {"name": "VIP"})
        assert page.path == "/contacts/lists"
        assert "VIP 1 " in words(page.text)
        await ana.post(f"/contacts/lists/{made.id}/remove")
        assert await home.database.read(lists.page, ana.tenant_id) == []
        assert len(await home.database.read(contacts.page, ana.tenant_id)) == 1


async def test_a_list_that_a_segment_names_stays_and_the_page_says_why(home: House) -> None:
    async with home.reader(role=Role.MANAGER) as ana:
        await ana.post("/contacts/lists", {"name": "VIP"})
        await ana.post("/contacts/segments/new", {"name": "Not VIP", "filter": "not in list 1"})
        answer = await ana.post("/contacts/lists/1/remove")
    assert answer.status == 409
    assert "The segment “Not VIP” names the list" in answer.text


async def test_a_viewer_looks_and_has_nothing_to_press(home: House) -> None:
    async with home.reader(role=Role.SENDER) as viewer:
        anna = await contact(home, viewer.tenant_id)
        await home.database.write(lists.create, viewer.tenant_id, name="VIP")
        for path in ("/contacts", f"/contacts/{anna}", "/contacts/lists", "/contacts/suppressed"):
            page = await viewer.get(path)
            assert page.status == 200, path
            posted = set(_actions(page.text)) - {"/preferences", "/sign-out"}
            assert posted == set(), path
        for path, form in MANAGING:
            assert (await viewer.post(path, form)).status == 403, path
        for path in ("/contacts/import", "/contacts/imports/1"):
            assert (await viewer.get(path)).status == 403, path


async def test_no_form_of_another_site_does_anything(home: House) -> None:
    async with home.reader() as ana:
        await contact(home, ana.tenant_id)
        for path, form in MANAGING:
            assert (await ana.post(path, form, csrf="0" * 64)).status == 403, path
            forged = await ana.post(path, form, Origin="https://evil.example")
            assert forged.status == 403, path
        assert len(await home.database.read(contacts.page, ana.tenant_id)) == 1
        assert await home.database.read(lists.page, ana.tenant_id) == []


async def test_the_people_and_lists_of_another_tenant_do_not_exist(home: House) -> None:
    async with home.reader("acme") as ana, home.reader("rival", Role.MANAGER) as eve:
        anna = await contact(home, ana.tenant_id, first_name="Anna")
        made = await home.database.write(lists.create, ana.tenant_id, name="VIP")
        await home.database.write(suppressions.add, ana.tenant_id, [ANNA], "asked")
        for path in (
            f"/contacts/{anna}",
            f"/contacts?list={made.id}",
            f"/contacts/export?list={made.id}",
            "/contacts/99999999999999999999999",
        ):
            assert (await eve.get(path)).status == 404, path
        for path in (f"/contacts/lists/{made.id}", f"/contacts/lists/{made.id}/remove"):
            assert (await eve.post(path, {"name": "Mine"})).status == 404, path
        assert (await eve.post("/contacts/suppressed/end", {"number": ANNA})).status == 404
        for path in ("/contacts?q=anna", "/contacts?q=%2B306912345678", "/contacts/lists"):
            page = words((await eve.get(path)).text)
            assert "Anna" not in page
            assert "VIP" not in page
        assert ANNA not in (await eve.get("/contacts/suppressed")).text
        assert ANNA not in (await eve.get("/contacts/export")).text
        nothing = await eve.post("/contacts/person", {"number": ANNA})
        assert json.loads(nothing.text)["contact"] is None
        assert json.loads(nothing.text)["suppression"] is None


async def test_whatever_is_searched_is_answered(home: House) -> None:
    strange = ("a%00b", "%ED%A0%80", "%25", "_", "'; --", "9" * 30, "%F0%9F", "x" * 5_000)
    places = ("contacts?q", "contacts?after", "contacts/suppressed?number")
    more = ("contacts/suppressed?after", "contacts/lists?after", "contacts/segments?after")
    async with home.reader() as ana:
        await contact(home, ana.tenant_id, first_name="Anna")
        for place in (*places, *more):
            for each in strange:
                answer = await ana.get(f"/{place}={each}")
                assert answer.status == 200, (place, each)
                assert "Anna" not in answer.text or "after" in place


async def test_the_sub_navigation_says_where_one_is(home: House) -> None:
    async with home.reader(role=Role.MANAGER) as ana:
        for path in ("", "/lists", "/segments", "/import", "/suppressed"):
            page = await ana.get(f"/contacts{path}")
            nav = page.text.partition('<nav class="subnav"')[2].partition("</nav>")[0]
            assert nav.count("aria-current") == 1
            assert f'href="/contacts{path}" aria-current="page"' in nav


def _actions(html: str) -> list[str]:
    return re.findall(r'method="post" action="([^"]+)"', html)
