"""People at work in a real browser, with a real server, a worker and the provider simulator."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, expect

from paceline.domain.role import Role
from paceline.storage import users
from paceline.web.pages import campaigns as campaign_pages
from paceline.web.visits import Visit
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


async def slow(here: World, people: int) -> int:
    """A campaign that is sending one batch a second."""
    await here.audience(people)
    campaign = await here.draft()
    await here.call("PATCH", f"/api/campaigns/{campaign}", {"rate_max": 1})
    await here.enqueue(campaign)
    return campaign


async def test_a_campaign_is_watched_paused_resumed_and_seen_to_its_end(
    here: World, browser: Browser, complaints: Complaints
) -> None:
    campaign = await slow(here, 1000)
    _, page = await signed_in(browser, here, complaints)
    await page.get_by_role("link", name="Campaigns", exact=True).click()
    await page.get_by_role("link", name="Spring").click()
    # The focus stays where it is while figures come, so that the keyboard can be used.
    await page.locator("#do-pause").focus()
    before = await figure(page, "sent")
    await expect(page.locator("#sent")).not_to_have_text(str(before))
    await page.keyboard.press("Enter")
    await expect(page.locator("#live .badge").first).to_have_text("Paused")
    assert await figure(page, "processed") < 1000
    await page.get_by_label("Calls at most").fill("many")
    await page.get_by_role("button", name="Change").click()
    await expect(page.locator("#wrong-rate_max")).to_contain_text("whole number")
    await page.get_by_label("Calls at most").fill("")
    await page.get_by_role("button", name="Change").click()
    await expect(page.get_by_text("It holds from the next call on.")).to_be_visible()
    await page.get_by_role("button", name="Resume").click()
    await expect(page.locator("#live .badge").first).to_have_text("Completed")
    assert await figure(page, "sent") == 1000
    assert await figure(page, "processed") == 1000
    assert (await here.status(campaign))["metrics"]["sent"] == 1000
    assert [each for each in complaints.found if "422" not in each] == []


HIDE = """
(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}
"""


class Streams:
    """The dashboard's streams that the server has open."""

    def __init__(self) -> None:
        self.open = 0
        self._changed = asyncio.Condition()

    async def change(self, by: int) -> None:
        async with self._changed:
            self.open += by
            self._changed.notify_all()

    async def become(self, count: int) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.open == count)


@pytest.fixture
async def streams(monkeypatch: pytest.MonkeyPatch) -> Streams:
    found = Streams()
    events = campaign_pages._Campaigns._events

    async def noted(pages: Any, visit: Visit) -> AsyncIterator[str]:
        await found.change(1)
        try:
            async for each in events(pages, visit):
                yield each
        finally:
            await asyncio.shield(found.change(-1))

    monkeypatch.setattr(campaign_pages._Campaigns, "_events", noted)
    return found


async def test_a_tab_has_one_stream_none_while_it_is_hidden_and_catches_up(
    here: World, browser: Browser, complaints: Complaints, streams: Streams
) -> None:
    campaign = await slow(here, 5000)
    _, page = await signed_in(browser, here, complaints)
    await page.goto(f"{complaints.base}/campaigns/{campaign}")
    await streams.become(1)
    await page.evaluate(HIDE, True)
    await streams.become(0)
    await here.call("POST", f"/api/campaigns/{campaign}/pause")
    assert await page.locator("#live .badge").first.inner_text() == "Sending"
    await page.evaluate(HIDE, False)
    await expect(page.locator("#live .badge").first).to_have_text("Paused")
    await streams.become(1)
    await page.get_by_role("button", name="Resume").click()
    await expect(page.locator("#live .badge").first).to_have_text("Sending")
    await streams.become(1)
    await page.goto(f"{complaints.base}/campaigns")
    await streams.become(0)
    assert complaints.found == []


async def test_the_keys_of_the_dashboard_and_the_clock_of_its_charts(
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
    assert await page.evaluate("clock(false).format(0)") == "00:00", "charts are in another zone"
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
    await expect(page.locator("#live .badge").first).to_have_text("Completed")
    assert here.provider_numbers() == {"+306999999001", "+306999999002"}
    assert complaints.found == []


COLOURS: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PAGES = (
    *("/", "/campaigns", "/campaigns/new", "/campaigns/1", "/campaigns/1/resend"),
    *("/messages?campaign=1", "/messages/1", "/accounts", "/queue", "/nowhere"),
    *("/contacts", "/contacts/1", "/contacts/import", "/contacts/lists", "/contacts/suppressed"),
    *("/contacts/segments", "/contacts/segments/new"),
    *("/settings", "/settings/keys", "/settings/prices", "/sign-in"),
)


async def test_axe_finds_nothing_on_any_page_light_or_dark_wide_or_narrow(
    here: World, browser: Browser, complaints: Complaints
) -> None:
    await here.control(reject_share=0.1)
    campaign = await here.started(100)
    await here.completed(campaign)
    _, page = await signed_in(browser, here, complaints)
    for path in PAGES:
        await page.goto(f"{here.call.base}{path}")
        for width, height in (WIDE, NARROW):
            await page.set_viewport_size({"width": width, "height": height})
            for colours in COLOURS:
                await page.emulate_media(color_scheme=colours, reduced_motion="reduce")
                found = await axe_finds(page)
                assert found == [], f"{path}, {width} px, {colours}: {told(found)}"
            over = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert over <= 0, f"{path} is {over} px too wide for {width}"
    assert [each for each in complaints.found if "404" not in each] == []


async def test_a_link_from_the_terminal_takes_one_press_of_a_key(
    here: World, browser: Browser, complaints: Complaints
) -> None:
    secret = await here.database.write(users.make_link, here.call.tenant_id, Role.VIEWER)
    page = await browser.new_page()
    complaints.listen_to(page)
    await page.goto(f"{complaints.base}/sign-in/{secret}")
    await expect(page.get_by_role("button", name="Sign in")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    assert complaints.found == []
