"""Files of contacts in the dashboard, on both databases: tried, imported, mended, taken back."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from benchmarks import sheet_files
from paceline.api.edge import MAX_BODY
from paceline.domain.role import Role
from paceline.storage import contacts, import_history, lists
from tests.web.test_pages import words
from tests.web.visiting import House, Looked, house

EVIL = "<script>alert(1)</script>"
HTMX: Any = {"HX-Request": "true"}
FILE = (
    "Handy,Vorname,Town\n"
    '+306912345678,Anna,"=HYPERLINK(""x"")"\n'
    f"12,{EVIL},Bonn\n"
    "+30 691 234 5678,Again,Athens\n"
).encode()
READ_BY = {"column:0": "phone", "column:1": "first_name", "column:2": "city"}


@pytest.fixture
async def home(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as running:
        yield running


def offered(page: Looked) -> dict[str, str]:
    """The fields of a preview, as its form would send them."""
    found = re.findall(r'name="((?:column:|shown_)[^"]*)" value="([^"]*)"', page.text)
    return {unescape(name): unescape(value) for name, value in found}


async def test_a_file_is_looked_at_mapped_imported_mended_and_taken_back(home: House) -> None:
    async with home.reader(role=Role.MANAGER) as ana:
        first = await ana.upload("/contacts/preview", FILE, "people.csv", **HTMX)
        assert first.status == 422
        assert "<html" not in first.text, "the form keeps its file: only what is under it changes"
        assert "phone is missing" in words(first.text) or "phone: is missing" in words(first.text)
        fields = offered(first)
        assert fields == {
            "shown_file": "people.csv",
            "shown_sheet": "",
            "column:0": "handy",
            "column:1": "vorname",
            "column:2": "town",
        }
        form = fields | READ_BY | {"new_list": "Spring"}
        second = await ana.upload("/contacts/preview", FILE, "people.csv", form, **HTMX)
        assert second.status == 200
        assert "1 new, 0 brought up to date, 1 repeated, 1 not taken" in words(second.text)
        assert offered(second)["column:2"] == "city"
        assert await home.database.read(contacts.page, ana.tenant_id) == []
        assert await home.database.read(lists.page, ana.tenant_id) == []

        done = await ana.upload("/contacts/import", FILE, "people.csv", form)
        assert done.path == "/contacts/imports/1"
        assert EVIL not in done.text
        assert "Spring" in words((await ana.get("/contacts/lists")).text)
        (anna,) = await home.database.read(contacts.page, ana.tenant_id)
        assert (anna.first_name, anna.attributes["city"]) == ("Anna", '=HYPERLINK("x")')

        rejected = await ana.get("/contacts/imports/1/rejected")
        header, *rows = csv.reader(io.StringIO(rejected.text))
        assert header == ["row", "column", "reason", "Handy", "Vorname", "Town"]
        assert [row[0] for row in rows] == ["3", "4"]
        assert rows[0][4] == EVIL

        assert "Undo this import" in done.text
        undone = await ana.post("/contacts/imports/1/undo")
        assert "1 removed" in words(undone.text)
        assert await home.database.read(contacts.page, ana.tenant_id) == []
        again = await ana.post("/contacts/imports/1/undo")
        assert again.status == 409
        page = await ana.get("/contacts/imports/1")
        assert "Undo this import" not in page.text


async def test_an_import_leads_to_its_page_also_for_htmx(home: House) -> None:
    async with home.reader() as ana:
        answer = await ana.upload("/contacts/import", b"phone\n+306912345678\n", "a.csv", **HTMX)
    assert answer.status == 204
    assert answer.headers["HX-Redirect"] == "/contacts/imports/1"


async def test_what_is_wrong_comes_back_beside_the_form_and_no_list_is_left_behind(
    home: House,
) -> None:
    async with home.reader() as ana:
        await ana.post("/contacts/lists", {"name": "Taken"})
        good = b"phone\n+306912345678\n"
        for file, form, status in (
            (b"%PDF-1.4", {"new_list": "New"}, 422),
            (b"", {"new_list": "New"}, 422),
            (b"name\nAnna\n", {"new_list": "New"}, 422),
            (good, {"new_list": "Taken"}, 409),
            (good, {"new_list": "x" * 201}, 422),
            (good, {"country": "XX"}, 422),
            (good, {"list": "99"}, 404),
            (good, {"sheet": "A", "shown_file": "a.csv"}, 422),
            (good, {"column:0": "city", "shown_file": "a.csv"}, 422),
            (good, {"column:0": "", "shown_file": "a.csv"}, 422),
            (good, {"column:0": "A b", "shown_file": "a.csv"}, 422),
        ):
            part = await ana.upload("/contacts/import", file, "a.csv", form, **HTMX)
            assert part.status == status, (file, form)
            assert 'role="alert"' in part.text
            assert "<html" not in part.text
            page = await ana.upload("/contacts/import", file, "a.csv", form)
            assert page.status == status, (file, form)
        assert (await ana.post("/contacts/import", {})).status == 422
        assert await home.database.read(contacts.page, ana.tenant_id) == []
        (only,) = await home.database.read(lists.page, ana.tenant_id)
        assert only.name == "Taken"


async def test_columns_that_were_chosen_for_another_file_do_not_count(home: House) -> None:
    form = {"shown_file": "other.csv", "shown_sheet": "", "column:0": "city"}
    async with home.reader() as ana:
        page = await ana.upload(
            "/contacts/preview", b"phone\n+306912345678\n", "this.csv", form, **HTMX
        )
    assert page.status == 200
    assert offered(page) == {
        "shown_file": "this.csv",
        "shown_sheet": "",
        "column:0": "phone",
    }


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
async def test_a_sheet_of_a_workbook_can_be_chosen(home: House, kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"book.{kind}"
    rows: list[sheet_files.Row] = [("phone", "city"), ("+306912345678", "Athens")]
    if kind == "xlsx":
        sheet_files.write_xlsx(file, rows, sheets=("People", "Empty & <b>"))
    else:
        sheet_files.write_ods(file, rows, sheets=("People", "Empty & <b>"))
    book = file.read_bytes()
    async with home.reader() as ana:
        first = await ana.upload("/contacts/preview", book, file.name, **HTMX)
        assert first.status == 200
        options = re.findall(r"<option value=\"([^\"]*)\" (\w*)>([^<]*)", first.text)
        assert [(value, unescape(shown)) for value, _, shown in options] == [
            ("", "People"),
            ("Empty &amp; &lt;b&gt;", "Empty & <b>"),
        ]
        other = offered(first) | {"sheet": "Empty & <b>"}
        second = await ana.upload("/contacts/preview", book, file.name, other, **HTMX)
        assert second.status == 422, "there is nothing on it"
        assert "no column" not in second.text, "the columns of the first sheet do not count"
        chosen = offered(first) | {"sheet": ""}
        assert (await ana.upload("/contacts/import", book, file.name, chosen)).status == 200
        assert len(await home.database.read(contacts.page, ana.tenant_id)) == 1


async def test_a_file_may_be_larger_than_other_forms(home: House) -> None:
    rows = "".join(f"+3069{n:08},{'x' * 200}\n" for n in range(6_000))
    file = f"phone,note\n{rows}".encode()
    assert len(file) > MAX_BODY
    async with home.reader() as ana:
        page = await ana.upload("/contacts/preview", file, "large.csv")
        assert page.status == 200
        assert "6,000 new" in words(page.text)
        elsewhere = await ana.upload("/contacts/lists", file, "large.csv")
        assert elsewhere.status == 413


async def test_headers_and_names_of_files_are_only_text(home: House) -> None:
    file = f'phone,{EVIL},a\'b&c,"say ""hi""\nthere"\n+306912345678,x,y,z\n'.encode()
    async with home.reader() as ana:
        page = await ana.upload("/contacts/preview", file, f"{EVIL}.csv")
        assert page.status == 200
        assert EVIL not in page.text
        assert EVIL in words(page.text)
        fields = offered(page) | {"column:1": "note", "column:3": "said"}
        done = await ana.upload("/contacts/import", file, f"{EVIL}.csv", fields)
        assert done.path == "/contacts/imports/1"
        assert EVIL not in done.text
        (one,) = await home.database.read(contacts.page, ana.tenant_id)
    assert one.attributes == {"note": "x", "a_b_c": "y", "said": "z"}


async def test_a_viewer_and_another_tenant_cannot_import_or_look_or_undo(home: House) -> None:
    file = b"phone\n+306912345678\n"
    async with (
        home.reader("acme") as ana,
        home.reader("rival", Role.MANAGER) as eve,
        home.reader("acme", Role.SENDER) as bob,
    ):
        await ana.post("/contacts/lists", {"name": "VIP"})
        await ana.upload("/contacts/import", file, "a.csv")
        for path in ("/contacts/import", "/contacts/preview"):
            assert (await bob.upload(path, file, "a.csv")).status == 403
            assert (await ana.upload(path, file, "a.csv", {"csrf": "0" * 64})).status == 403
            assert (await eve.upload(path, file, "a.csv", {"list": "1"})).status == 404
        for reader, status in ((bob, 403), (eve, 404)):
            assert (await reader.get("/contacts/imports/1")).status == status
            assert (await reader.get("/contacts/imports/1/rejected")).status == status
            assert (await reader.post("/contacts/imports/1/undo")).status == status
        assert "a.csv" not in (await eve.get("/contacts/import")).text
        assert (await ana.post("/contacts/imports/1/undo", csrf="0" * 64)).status == 403
        made = await home.database.read(import_history.get, ana.tenant_id, 1)
        assert made.undone_at is None
        assert await home.database.read(contacts.page, eve.tenant_id) == []


async def test_imports_are_turned_over_page_by_page(home: House) -> None:
    async with home.reader() as ana:
        for n in range(26):
            await ana.upload("/contacts/import", b"phone\n+306912345678\n", f"file{n}.csv")
        first = await ana.get("/contacts/import")
        assert "file25.csv" in first.text
        assert "file0.csv" not in first.text
        assert "/contacts/import?before=2" in first.text
        more = await ana.get("/contacts/import?before=2", **HTMX)
        assert "file0.csv" in more.text
        assert "<html" not in more.text
