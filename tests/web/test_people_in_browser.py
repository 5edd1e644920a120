"""What only a browser shows of contacts, segments and keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.acceptance.world import World, world
from tests.web.browsing import NARROW, Complaints, axe_finds, chromium_at, signed_in, told

pytestmark = [pytest.mark.browser]
FILE: Any = {
    "name": "people.csv",
    "mimeType": "text/csv",
    "buffer": b'"The ""mobile"" number",Town\n+306912345678,Athens\n12,Bonn\n',
}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(f"sqlite:///{tmp_path}/paceline.db") as running:
        yield running


async def assert_well(page: Page) -> None:
    """Nothing is hard to use on it, and it is not wider than the screen."""
    found = await axe_finds(page)
    assert found == [], f"{page.url}: {told(found)}"
    wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, f"{page.url} is {wide} px too wide"


async def test_a_file_is_chosen_once_a_filter_tells_while_it_is_written_and_a_key_is_shown_once(
    here: World, chromium: str
) -> None:
    complaints = Complaints(here.call.base)
    async with chromium_at(chromium) as browser:
        _, page = await signed_in(browser, here, complaints, size=NARROW, dark=True)

        await page.goto(f"{here.call.base}/contacts/import")
        await page.get_by_label("File").set_input_files(FILE)
        await expect(page.get_by_role("alert")).to_contain_text("phone: is missing")
        await page.get_by_label('The "mobile" number').fill("phone")
        await page.get_by_label("or on a new list").fill("Spring")
        await page.get_by_role("button", name="Look at it first").click()
        await expect(page.locator("#preview")).to_contain_text("1 new")
        await assert_well(page)
        await page.get_by_role("button", name="Import", exact=True).click()
        await expect(page.get_by_role("heading", name="people.csv")).to_be_visible()
        await assert_well(page)

        await page.goto(f"{here.call.base}/contacts/segments/new")
        await page.get_by_label("Whom it means").fill('town = "Athens"')
        await expect(page.locator("#seen mark")).to_have_text('= "Athens"')
        await page.get_by_label("Whom it means").fill('town is "Athens"')
        await expect(page.locator("#seen")).to_contain_text("+306912345678")
        await assert_well(page)

        await page.goto(f"{here.call.base}/settings/keys")
        await page.get_by_label("What it is for").fill("shop")
        await page.get_by_role("button", name="Make the key").click()
        secret = await page.locator("#secret").input_value()
        assert secret.startswith("pl_")
        assert secret not in page.url
        await assert_well(page)
        await page.reload()
        await expect(page.locator("#keys-part")).to_contain_text(secret[:11])
        assert secret not in await page.content()

        for path in ("/contacts", "/contacts/1", "/contacts/lists", "/contacts/suppressed"):
            await page.goto(f"{here.call.base}{path}")
            for each in await page.locator("main summary").all():
                await each.click()
            await assert_well(page)
    assert [each for each in complaints.found if "422" not in each] == []
