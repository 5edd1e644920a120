"""The page that describes the API, which needs nothing from elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import paceline.api
from tests.api.serving import Api, serving

STATIC = Path(paceline.api.__file__).with_name("static") / "docs"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(f"sqlite:///{tmp_path}/paceline.db") as running:
        yield running


def test_vendored_files_are_unchanged() -> None:
    vendored = json.loads((STATIC / "VENDORED.json").read_text())
    for name, digest in vendored["files"].items():
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest, name


async def test_the_page_needs_only_this_server(api: Api) -> None:
    page = await api.nobody("GET", "/docs")
    assert page.status == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "<style" not in page.text
    assert not re.search(r"<script(?! src=)", page.text)
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        if not address.startswith("data:"):
            assert address.startswith("/docs/static/")
            assert (await api.nobody("GET", address)).status == 200


async def test_every_route_is_described_with_its_problems(api: Api) -> None:
    described = (await api.nobody("GET", "/openapi.json")).json
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert "default" in operation["responses"], (method, path)
            assert path.startswith("/api/") == bool(operation.get("security")), path


@pytest.mark.browser
async def test_the_page_renders_under_its_policy(api: Api, chromium: str) -> None:
    from playwright.async_api import async_playwright

    requested: list[str] = []
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page()
        page.on("request", lambda request: requested.append(request.url))
        page.on(
            "console",
            lambda line: complaints.append(line.text) if line.type == "error" else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{api.base}/docs")
        await page.get_by_text("/api/campaigns/{campaign_id}/enqueue").first.wait_for()
        await page.locator(
            "#operations-campaigns-enqueue_api_campaigns__campaign_id__enqueue_post button"
        ).first.click()
        await page.get_by_text("Start a draft or scheduled campaign").first.wait_for()
        await browser.close()
    assert complaints == []
    assert [url for url in requested if not url.startswith((api.base, "data:"))] == []


async def test_the_description_is_the_same_whoever_asked_before(api: Api) -> None:
    first = await api.nobody("GET", "/openapi.json")
    again = await api.nobody("GET", "/openapi.json")
    assert "Needs the scope" in first.text
    assert again.text == first.text
