"""A real browser that looks at the dashboard, and everything that it complains of."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from paceline.domain.role import Role
from paceline.storage import users
from tests.acceptance.world import World

AXE = Path(__file__).with_name("vendor") / "axe.min.js"
expect.set_options(timeout=30_000)  # of a machine that has other work too
WIDE, NARROW = (1280, 900), (390, 844)
_RUN_AXE = """
async () => {
  const found = await axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]});
  return found.violations.map((each) => ({
    id: each.id, help: each.help,
    nodes: each.nodes.map((node) => node.html.slice(0, 200)).slice(0, 3),
  }));
}
"""


@dataclass
class Complaints:
    """What a page must not do: complain in the console, break its policy, or ask another host."""

    base: str
    found: list[str] = field(default_factory=list)

    def listen_to(self, page: Page) -> None:
        page.on("request", lambda request: self._asked(request.url))
        page.on("pageerror", lambda error: self.found.append(f"error: {error}"))
        page.on(
            "console",
            lambda line: (
                self.found.append(f"console: {line.text}")
                if line.type in {"error", "warning"}
                else None
            ),
        )

    def _asked(self, url: str) -> None:
        if not url.startswith((self.base, "data:", "blob:")):
            self.found.append(f"asks for {url}")


@asynccontextmanager
async def chromium_at(path: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


async def signed_in(
    browser: Browser,
    world: World,
    complaints: Complaints,
    *,
    role: Role = Role.ADMIN,
    size: tuple[int, int] = WIDE,
    dark: bool = False,
) -> tuple[BrowserContext, Page]:
    """A window of somebody who has signed in by the link from the terminal."""
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        locale="en-GB",
        timezone_id="Asia/Tokyo",  # not the tenant's
    )
    page = await context.new_page()
    complaints.listen_to(page)
    secret = await world.database.write(users.make_link, world.call.tenant_id, role)
    await context.request.post(f"{complaints.base}/sign-in/{secret}")
    await page.goto(complaints.base)
    return context, page


async def axe_finds(page: Page) -> list[Any]:
    """What axe has to say about a page; it is given to the page by the browser, past its policy."""
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    return list(await page.evaluate(_RUN_AXE))


def told(found: list[Any]) -> str:
    return json.dumps(found, indent=1)
