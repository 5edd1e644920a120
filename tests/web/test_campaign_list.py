"""The list of campaigns: found by name and status, page by page."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape

import pytest

from paceline.engine.drafts import NewCampaign
from tests.web.test_pages import words
from tests.web.visiting import House, Reader, house


@pytest.fixture
async def home(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as running:
        yield running


async def named(home: House, reader: Reader, *names: str) -> None:
    for name in names:
        new = NewCampaign(name=name, text="Hello")
        await home.context.orders.create_campaign(reader.tenant_id, new)


def names_in(html: str) -> list[str]:
    return [unescape(name) for name in re.findall(r'<a href="/campaigns/\d+">([^<]+)</a>', html)]


async def test_campaigns_are_searched_by_a_piece_of_their_name(home: House) -> None:
    async with home.reader() as ana, home.reader("rival") as eve:
        await named(home, ana, "Spring sale", "Summer", "Άνοιξη", '100% "off"')
        await named(home, eve, "Spring of theirs")
        assert names_in((await ana.get("/campaigns?name=SPRING")).text) == ["Spring sale"]
        assert names_in((await ana.get("/campaigns?name=ΆΝΟΙΞΗ")).text) == ["Άνοιξη"]
        percent = (await ana.get('/campaigns?name=%25+"')).text
        assert names_in(percent) == ['100% "off"']
        assert 'value="% &#34;"' in percent  # what was looked for stays in its field
        assert names_in((await ana.get("/campaigns?name=s&status=draft")).text) == [
            "Summer",
            "Spring sale",
        ]
        nothing = words((await ana.get("/campaigns?name=s&status=paused")).text)
        assert "No campaign is like that." in nothing
        assert "All campaigns" in nothing
        assert names_in((await eve.get("/campaigns?name=")).text) == ["Spring of theirs"]


async def test_show_more_goes_on_with_the_same_search(home: House) -> None:
    async with home.reader() as ana:
        await named(home, ana, *(f"Spring & {number:02}" for number in range(30)), "Other")
        first = (await ana.get("/campaigns?name=spring+%26&status=draft")).text
        assert names_in(first) == [f"Spring & {number:02}" for number in range(29, 4, -1)]
        more = re.search(r'hx-get="([^"]+)"', first)
        assert more is not None
        rest = (await ana.get(unescape(more[1]), **{"HX-Request": "true"})).text
        assert "<html" not in rest
        assert names_in(rest) == [f"Spring & {number:02}" for number in range(4, -1, -1)]
        assert "Show more" not in rest


async def test_the_search_field_is_the_first_that_the_slash_key_finds(home: House) -> None:
    async with home.reader() as ana:
        page = (await ana.get("/campaigns")).text
    form = page[page.index('role="search"') :]
    first = re.search(r"<(?:input|select)[^>]*>", form)
    assert first is not None
    assert 'id="name"' in first[0]
