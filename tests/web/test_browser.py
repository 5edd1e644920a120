"""People at work in a real browser, with a real server, a worker and the provider simulator."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.acceptance.world import World, world
from tests.web.browsing import (
    NARROW,
    WIDE,
    Complaints,
    axe_finds,
    chromium_at,
    signed_in,
    told,
)

pytestmark = [pytest.mark.browser]

SLOW: Any = {"SMS_BATCH_SIZE": "50", "RATE_LIMIT_TRAFFIC_ACCOUNT_MAX": "10"}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(f"sqlite:///{tmp_path}/paceline.db", **SLOW) as running:
        yield running


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with chromium_at(chromium) as opened:
        yield opened


@pytest.fixture
def complaints(here: World) -> Complaints:
    return Complaints(here.call.base)


async def figure(page: Page, name: str) -> int:
    text = await page.locator(f"#{name}").inner_text()
    return int(text.replace(",", ""))


async def test_a_campaign_is_watched_paused_resumed_and_seen_to_its_end(
    here: World, browser: Browser, complaints: Complaints
) -> None:
    campaign = await here.started(1000)
    _, page = await signed_in(browser, here, complaints)
    await page.get_by_role("link", name="Campaigns", exact=True).click()
    await page.get_by_role("link", name="Spring").click()
    await page.get_by_role("button", name="Pause").click()
    await expect(page.locator("#live .badge").first).to_have_text("Paused")
    paused_at = await figure(page, "processed")
    assert paused_at < 1000
    await page.get_by_role("button", name="Resume").click()
    await expect(page.locator("#live .badge").first).to_have_text("Completed", timeout=30_000)
    assert await figure(page, "sent") == 1000
    assert await figure(page, "processed") == 1000
    assert (await here.status(campaign))["metrics"]["sent"] == 1000
    assert complaints.found == []


async def test_the_keys_of_the_dashboard(
    here: World, browser: Browser, complaints: Complaints
) -> None:
    _, page = await signed_in(browser, here, complaints)
    await page.keyboard.press("?")
    await expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.keyboard.press("g")
    await page.keyboard.press("c")
    await expect(page.get_by_role("heading", name="Campaigns")).to_be_visible()
    await page.keyboard.press("g")
    await page.keyboard.press("m")
    await expect(page.get_by_role("heading", name="Messages")).to_be_visible()
    await page.keyboard.press("/")
    await expect(page.locator("#number")).to_be_focused()
    assert complaints.found == []


async def test_a_campaign_is_made_reviewed_changed_and_sent_on_one_page(
    here: World, browser: Browser, complaints: Complaints, tmp_path: Path
) -> None:
    file = tmp_path / "guests.csv"
    file.write_text("phone,first_name\n+306999999001,Ana\n+306999999002,Bob\nnobody,Eve\n")
    _, page = await signed_in(browser, here, complaints)
    await page.goto(f"{here.call.base}/campaigns/new")
    await page.get_by_label("Name of the campaign").fill("Party")
    await page.locator("#text").fill("Hello ")
    await page.get_by_role("button", name="first_name").click()
    await page.locator("#file").set_input_files(file)
    await expect(page.locator("#audience-file")).to_be_checked()
    await page.get_by_role("button", name="Import the file").click()
    await expect(page.locator("#eligible")).to_have_text("2")
    await expect(page.locator(".phone .bubble")).to_have_text("Hello Ana")
    await page.get_by_role("button", name="Review").click()
    await expect(page).to_have_url(re.compile(r"/campaigns/1/edit$"))
    await expect(page.locator("#people")).to_have_text("2")
    await expect(page.locator("#review")).to_be_focused()
    assert await axe_finds(page) == []
    await page.locator("#text").fill("Hello to all of you")
    await expect(page.locator("#review")).to_be_hidden()  # it is not what is written any more
    await page.get_by_role("button", name="Review").click()
    await expect(page.locator("#review blockquote")).to_have_text("Hello to all of you")
    await page.get_by_role("button", name="Send now to 2 people").click()
    await expect(page.locator("#live .badge").first).to_have_text("Completed", timeout=30_000)
    assert here.provider_numbers() == {"+306999999001", "+306999999002"}
    assert complaints.found == []


PAGES = (
    "/",
    "/campaigns",
    "/campaigns/new",
    "/campaigns/1",
    "/messages?campaign=1",
    "/messages/1",
    "/accounts",
    "/queue",
    "/settings",
)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_axe_finds_nothing_on_any_page(
    here: World, browser: Browser, complaints: Complaints, size: tuple[int, int], dark: bool
) -> None:
    await here.control(reject_share=0.1)
    campaign = await here.started(100)
    await here.completed(campaign)
    _, page = await signed_in(browser, here, complaints, size=size, dark=dark)
    for path in PAGES:
        await page.goto(f"{here.call.base}{path}")
        found = await axe_finds(page)
        assert found == [], f"{path}: {told(found)}"
        wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{path} is {wide} px too wide"
    assert complaints.found == []
