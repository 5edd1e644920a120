"""A marketer's and an operator's afternoon, in a real browser from one end to the other."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from paceline.simulator.window import NS_PER_MS, busiest_window
from tests.acceptance.world import PATIENCE_S, World, world
from tests.web.browsing import Complaints, chromium_at, signed_in

pytestmark = [pytest.mark.browser]
PEOPLE = 5_000
BATCH = 50
PACED: Any = {
    "SMS_BATCH_SIZE": str(BATCH),
    "RATE_LIMIT_TENANT_MAX": "5",
    "RATE_LIMIT_MARGIN_MS": "250",
}
LONG_MS = PATIENCE_S * 1000


async def figure(page: Page, name: str) -> int:
    return int((await page.locator(f"#{name}").inner_text()).replace(",", ""))


async def at_least(page: Page, number: int, *names: str) -> None:
    """Wait until the page shows these figures, at one time, to be so many together.

    The page is not loaded again.
    """
    reached = """([number, names]) => names
        .map((name) => Number(document.getElementById(name).textContent.replace(/,/g, "")))
        .reduce((sum, each) => sum + each) >= number"""
    await page.wait_for_function(reached, arg=[number, names], timeout=LONG_MS)


@pytest.mark.timeout(180)
async def test_a_file_becomes_a_campaign_that_is_watched_and_told_what_to_do_until_its_end(
    tmp_path: Path, chromium: str
) -> None:
    """No complaint in the console, none of the policy, and nobody else is asked for anything."""
    async with (
        world(f"sqlite:///{tmp_path}/paceline.db", **PACED) as here,
        chromium_at(chromium) as browser,
    ):
        complaints = Complaints(here.call.base)
        _, page = await signed_in(browser, here, complaints)
        await import_people(page, tmp_path / "people.csv")
        await make_and_send(page)

        await at_least(page, 200, "processed")
        await page.get_by_role("button", name="Pause").click()
        await expect(page.locator("#live .badge").first).to_have_text("Paused")
        await page.get_by_role("button", name="Resume").click()
        await expect(page.locator("#live .badge").first).to_have_text("Sending")

        before = here.simulator.log.calls
        second = await page.context.new_page()
        complaints.listen_to(second)
        await second.goto(f"{here.call.base}/accounts")
        await second.locator("#limit-tenant-rate_max").fill("40")
        await second.locator("#tenant").get_by_role("button", name="Change").click()
        await expect(second.locator("#now")).to_contain_text("of 40 calls")
        await second.close()
        await expect(page.locator("#live .limits")).to_contain_text("of 40 calls")

        await here.control(drop_after_share=1)
        await at_least(page, 1, "unconfirmed")
        await here.control(drop_after_share=0)  # more calls may have come to nothing by now
        await at_least(page, PEOPLE, "processed", "unconfirmed")
        in_doubt = await figure(page, "unconfirmed")
        assert in_doubt % BATCH == 0
        assert await figure(page, "sent") == PEOPLE - in_doubt
        await page.get_by_role("button", name="Count as sent").click()
        await expect(page.locator("#live .badge").first).to_have_text("Completed")
        figures = [await figure(page, name) for name in ("sent", "failed", "processed", "queued")]
        assert figures == [PEOPLE, 0, PEOPLE, 0]

        slow, quick = await rates_of(here, before)
        assert slow <= 5 < quick <= 40
        assert here.provider().accepted == PEOPLE
        assert here.provider().duplicates == 0
        await find_a_story(page)
        assert complaints.found == []


async def import_people(page: Page, file: Path) -> None:
    rows = [f"+3069{10_000_000 + number},Name{number}" for number in range(PEOPLE)]
    head, bad = "phone,first_name", ["12,Too short", "nobody,No number"]
    await asyncio.to_thread(file.write_text, "\n".join([head, *rows, *bad]))
    await page.get_by_role("link", name="Contacts", exact=True).click()
    await page.get_by_role("link", name="Import", exact=True).first.click()
    await page.get_by_label("File").set_input_files(file)
    await expect(page.locator("#preview")).to_contain_text("5,000 new")
    await page.get_by_role("button", name="Import", exact=True).click()
    await expect(page.get_by_role("heading", name="people.csv")).to_be_visible()
    await expect(page.get_by_role("region", name="Rows not taken")).to_contain_text("5003")


async def make_and_send(page: Page) -> None:
    await page.get_by_role("link", name="Campaigns", exact=True).click()
    await page.get_by_role("link", name="New campaign").first.click()
    await expect(page.locator("#eligible")).to_have_text("5,000")
    await page.get_by_label("Name of the campaign").fill("Spring")
    await page.locator("#text").fill("Hello ")
    await page.get_by_role("button", name="first_name").click()
    await expect(page.locator(".phone .bubble")).to_have_text("Hello Name0")
    await page.get_by_role("button", name="Review").click()
    await expect(page.locator("#people")).to_have_text("5,000")
    await page.get_by_role("button", name="Send now to 5,000 people").click()
    await expect(page.locator("#live .badge").first).to_have_text("Sending")


async def rates_of(here: World, before: int) -> tuple[int, int]:
    """The most calls that the provider saw in a second before the limit was changed, and after."""
    received = here.simulator.log.received
    window = 1000 * NS_PER_MS
    return busiest_window(received[:before], window), busiest_window(received[before:], window)


async def find_a_story(page: Page) -> None:
    await page.get_by_role("link", name="Messages", exact=True).click()
    await page.get_by_label("Number").fill("+306910000042")
    await page.get_by_role("button", name="Search").click()
    await page.get_by_role("link", name="+306910000042").click()
    await expect(page.locator("blockquote")).to_have_text("Hello Name42")
    story = page.locator(".timeline")
    await expect(story).to_contain_text("Queued")
    await expect(story).to_contain_text(re.compile(r"Try: (Answered|No answer)"))
    await expect(story).to_contain_text("Sent")
