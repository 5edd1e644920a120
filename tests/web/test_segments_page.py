"""Segments in the dashboard, on both databases: written, tried while one writes, kept."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape

import pytest

from paceline.domain.role import Role
from paceline.storage import contacts, segments, suppressions
from tests.web.forms import fields_of
from tests.web.test_pages import words
from tests.web.visiting import House, Looked, Reader, house

EVIL = "<script>alert(1)</script>"
HTMX = {"HX_Request": "true"}


@pytest.fixture
async def home(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as running:
        yield running


async def people(home: House, tenant_id: int) -> None:
    for n in range(12):
        await home.database.write(
            contacts.create,
            tenant_id,
            phone=f"+3069123456{n:02}",
            first_name=f"Ana{n}",
            attributes={"city": "Athens" if n else EVIL},
        )


async def preview(reader: Reader, written: str) -> Looked:
    return await reader.post("/contacts/segments/preview", {"filter": written}, **HTMX)


async def test_a_filter_shows_while_it_is_written_whom_it_means(home: House) -> None:
    async with home.reader(role=Role.VIEWER) as ana:
        await people(home, ana.tenant_id)
        await home.database.write(suppressions.add, ana.tenant_id, ["+306912345601"], "asked")
        seen = await preview(ana, 'city is "Athens"')
        assert "Contacts 10" in words(seen.text)
        assert "Suppressed, beside them 1" in words(seen.text)
        assert seen.text.count('<a href="/contacts/') == 10
        assert "<html" not in seen.text
        evil = await preview(ana, f'city is "{EVIL}"')
        assert EVIL in words(evil.text)
        assert EVIL not in evil.text
        nobody = await preview(ana, 'city is "athens"')
        assert "Nobody. Look at the spelling" in nobody.text
        assert "Write a filter" in (await preview(ana, "  ")).text


async def test_what_is_wrong_with_a_filter_is_said_at_its_place(home: House) -> None:
    async with home.reader() as ana:
        wrong = await preview(ana, f'city = "{EVIL}"')
        assert "at character 6:" in wrong.text
        assert "expected" in wrong.text
        assert "<code>city <mark>= &#34;&lt;script" in wrong.text
        assert EVIL not in wrong.text
        ended = await preview(ana, "city is")
        assert "<mark>…</mark>" in ended.text
        unknown = await preview(ana, "in list 77")
        assert "there is no list 77" in unknown.text
        for strange in ('city is "\\u0000"', "x" * 10_001, "(" * 9_000, '{"a":', "city is \x00"):
            assert (await preview(ana, strange)).status == 200
            form = {"name": "Strange", "filter": strange}
            assert (await ana.post("/contacts/segments/new", form)).status == 422


async def test_a_segment_is_made_changed_and_removed(home: House) -> None:
    async with home.reader(role=Role.MANAGER) as ana:
        assert "No segment yet" in (await ana.get("/contacts/segments")).text
        form = {"name": EVIL, "filter": 'city is "Athens"\r\nand   age above 30'}
        page = await ana.post("/contacts/segments/new", form)
        assert page.path == "/contacts/segments"
        assert EVIL not in page.text
        assert 'city is "Athens" and age above 30' in words(page.text)
        twice = await ana.post("/contacts/segments/new", form)
        assert twice.status == 409
        assert "age above 30" in twice.text, "what was written stays in the form"
        wrong = await ana.post("/contacts/segments/1", {"name": "A", "filter": "city is"})
        assert wrong.status == 422
        assert "at character" in wrong.text
        assert ">city is</textarea>" in wrong.text
        nameless = await ana.post("/contacts/segments/1", {"name": " ", "filter": "in list 1"})
        assert nameless.status == 422
        await ana.post("/contacts/segments/1", {"name": "Old", "filter": "age at least 60"})
        page = await ana.get("/contacts/segments/1")
        assert 'value="Old"' in page.text
        assert "age at least 60</textarea>" in page.text
        await ana.post("/contacts/segments/1/remove")
        assert (await ana.get("/contacts/segments/1")).status == 404


async def test_a_segment_that_a_campaign_waits_for_stays_and_the_page_says_why(
    home: House,
) -> None:
    async with home.reader() as ana:
        await people(home, ana.tenant_id)
        form = {"name": "Athens", "filter": 'city is "Athens"'}
        await ana.post("/contacts/segments/new", form)
        draft = {"audience": "segment", "segment": "1", "name": "Spring", "text": "Hello"}
        page = await ana.get("/campaigns/new")
        written = fields_of(page.text, "draft") | draft | {"do": "review"}
        assert (await ana.post("/campaigns/compose", written)).path == "/campaigns/1/edit"
        answer = await ana.post("/contacts/segments/1/remove")
    assert answer.status == 409
    assert "is the audience of campaign 1" in answer.text


async def test_the_page_says_how_a_filter_is_written_and_what_there_is(home: House) -> None:
    async with home.reader() as ana:
        await people(home, ana.tenant_id)
        await ana.post("/contacts/lists", {"name": f"VIP {EVIL}"})
        page = await ana.get("/contacts/segments/new")
    text = words(page.text)
    assert "last message more than 30 days ago" in text
    assert f"in list 1 VIP {EVIL}" in text
    assert 'data-insert="city"' in page.text
    assert EVIL not in page.text


async def test_every_filter_of_the_help_can_be_used(home: House) -> None:
    async with home.reader() as ana:
        page = await ana.get("/contacts/segments/new")
        shown = page.text.partition("<tbody>")[2].partition("</tbody>")[0]
        forms = [unescape(each) for each in re.findall(r"<code>(.*?)</code>", shown)]
        assert len(forms) > 20
        for written in forms:
            faults = set(
                re.findall(r'class="problem"><p>(.*?)</p>', (await preview(ana, written)).text)
            )
            assert faults <= {"there is no list 3", "there is no campaign 7"}, written


async def test_a_viewer_reads_and_cannot_change_and_no_form_is_forged(home: House) -> None:
    async with home.reader() as ana, home.reader(role=Role.SENDER) as bob:
        form = {"name": "Athens", "filter": 'city is "Athens"'}
        await ana.post("/contacts/segments/new", form)
        page = await bob.get("/contacts/segments/1")
        assert page.status == 200
        assert "readonly" in page.text
        assert "/remove" not in page.text
        assert ">Save<" not in page.text
        assert (await bob.get("/contacts/segments/new")).status == 403
        for path in ("new", "1", "1/remove"):
            assert (await bob.post(f"/contacts/segments/{path}", form)).status == 403, path
            forged = await ana.post(f"/contacts/segments/{path}", form, csrf="0" * 64)
            assert forged.status == 403, path
        assert (await bob.post("/contacts/segments/preview", form, csrf="")).status == 403
        assert len(await home.database.read(segments.page, ana.tenant_id)) == 1


async def test_the_segments_and_lists_of_another_tenant_do_not_exist(home: House) -> None:
    async with home.reader("acme") as ana, home.reader("rival", Role.MANAGER) as eve:
        await people(home, ana.tenant_id)
        await ana.post("/contacts/lists", {"name": "VIP"})
        form = {"name": "Athens", "filter": 'city is "Athens"'}
        await ana.post("/contacts/segments/new", form)
        assert (await eve.get("/contacts/segments/1")).status == 404
        for path in ("1", "1/remove"):
            assert (await eve.post(f"/contacts/segments/{path}", form)).status == 404
        assert "Athens" not in (await eve.get("/contacts/segments")).text
        assert "Contacts 0" in words((await preview(eve, 'city is "Athens"')).text)
        assert "there is no list 1" in (await preview(eve, "in list 1")).text
        named = await eve.post("/contacts/segments/new", {"name": "A", "filter": "in list 1"})
        assert named.status == 422
