"""What the pages show, to whom, and in which words."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest

from paceline.domain.role import Role
from paceline.engine.drafts import NewCampaign
from paceline.storage import contacts
from paceline.storage.database import DatabaseUnreachableError
from paceline.web.visits import POLICY
from tests.web.visiting import House, Reader, house

PAGES = (
    *("/", "/campaigns", "/messages", "/accounts", "/queue", "/settings"),
    *("/contacts", "/contacts/1", "/contacts/lists", "/contacts/segments", "/contacts/import"),
    *("/contacts/segments/new", "/contacts/suppressed", "/settings/keys", "/settings/prices"),
)


async def started(home: House, tenant_id: int, people: int = 3) -> int:
    """A campaign that is sending, and that no worker sends."""
    for each in range(people):
        await home.database.write(
            contacts.create,
            tenant_id,
            phone=f"+3069{each:08}",
            first_name=f"Ana{each}",
            last_name=None,
            attributes={},
        )
    new = NewCampaign(name="Spring & <sale>", text="Hello {{first_name}}")
    shown = await home.context.orders.create_campaign(tenant_id, new)
    await home.context.orders.enqueue(tenant_id, shown.campaign.id)
    return int(shown.campaign.id)


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_has_a_policy_and_nothing_that_it_forbids(home: House, path: str) -> None:
    async with home.reader() as ana:
        await started(home, ana.tenant_id)
        looked = await ana.get(path)
    assert looked.status == 200
    assert looked.headers["Content-Security-Policy"] == POLICY
    assert "'none'" in POLICY
    assert "unsafe" not in POLICY
    assert looked.headers["Cache-Control"] == "no-store"
    assert "<style" not in looked.text
    assert not re.search(r"\sstyle=|\son[a-z]+=|javascript:", looked.text)
    assert not re.search(r"<script(?! src=\"/static/)", looked.text)
    for address in re.findall(r'(?:src|href)="([^"]+)"', looked.text):
        assert address.startswith(("/", "#")), address


async def test_a_campaign_is_shown_with_figures_that_sum(home: House) -> None:
    async with home.reader() as ana:
        campaign = await started(home, ana.tenant_id)
        page = words((await ana.get(f"/campaigns/{campaign}")).text)
    assert "Spring & <sale>" in page
    assert "3 in all = 3 queued + 0 sent + 0 failed" in page


async def test_a_campaign_is_paused_resumed_and_cancelled_from_its_page(home: House) -> None:
    async with home.reader(role=Role.SENDER) as ana:
        campaign = await started(home, ana.tenant_id)
        for verb, status in (("pause", "paused"), ("resume", "sending"), ("cancel", "cancelled")):
            answer = await ana.post(f"/campaigns/{campaign}/{verb}")
            assert answer.status == 200
            shown = await home.context.orders.campaign(ana.tenant_id, campaign)
            assert shown.campaign.status == status
        again = await ana.post(f"/campaigns/{campaign}/resume")
    assert again.status == 409
    assert "this one is cancelled" in again.text


async def orders_of(reader: Reader, campaign: int) -> list[int]:
    paths = [f"/campaigns/{campaign}/{verb}" for verb in ("pause", "resume", "cancel", "start")]
    return [(await reader.post(path)).status for path in [*paths, "/accounts/tenant"]]


async def test_a_viewer_may_look_and_not_touch(home: House) -> None:
    async with home.reader(role=Role.VIEWER) as viewer:
        campaign = await started(home, viewer.tenant_id)
        assert set(await orders_of(viewer, campaign)) == {403}
        page = (await viewer.get(f"/campaigns/{campaign}")).text
        assert "/pause" not in page
        assert (await home.context.orders.campaign(viewer.tenant_id, campaign)).campaign.status == (
            "sending"
        )


async def test_the_things_of_another_tenant_do_not_exist(home: House) -> None:
    async with home.reader("acme") as ana, home.reader("rival") as eve:
        campaign = await started(home, ana.tenant_id)
        for path in ("/campaigns/1", "/messages/1", "/messages?campaign=1"):
            assert (await ana.get(path)).status == 200, path
            theirs, nothing = await eve.get(path), await eve.get(path.replace("1", "9"))
            assert theirs.status == nothing.status == 404
            assert words(theirs.text).replace("1", "9") == words(nothing.text).replace("1", "9")
        assert (await eve.post(f"/campaigns/{campaign}/cancel")).status == 404
        assert "Spring" not in (await eve.get("/campaigns")).text
        assert "Spring" not in (await eve.get("/")).text


async def test_a_message_tells_its_story_and_its_exact_text(home: House) -> None:
    async with home.reader() as ana:
        await started(home, ana.tenant_id, people=1)
        page = words((await ana.get("/messages/1")).text)
    assert "Hello Ana0" in page
    assert "Queued" in page


async def test_a_limit_is_changed_from_the_page_and_what_is_wrong_is_said(home: House) -> None:
    async with home.reader(role=Role.ADMIN) as ana:
        path = f"/accounts/{home.account.id}/limit"
        assert (await ana.post(path, {"rate_max": "7", "rate_window_ms": ""})).status == 200
        wrong = await ana.post(path, {"rate_max": "many", "rate_window_ms": "0"})
        page = (await ana.get("/accounts")).text
    assert 'value="7"' in page
    assert wrong.status == 422
    assert "rate_max" in wrong.text
    assert "rate_window_ms" in wrong.text


async def test_a_decision_about_a_single_message_that_is_none_changes_nothing(home: House) -> None:
    async with home.reader(role=Role.SENDER) as ana:
        sent = await home.context.orders.send(ana.tenant_id, to="+306912345678", text="Hello")
        for form in ({}, {"action": "eat"}):
            answer = await ana.post(f"/messages/{sent.id}/unconfirmed", form)
            assert answer.status == 422
            assert "must be one of" in answer.text


async def test_what_changes_nothing_about_a_user_is_refused(home: House) -> None:
    await home.user("bob")
    async with home.reader() as ana:
        for form in ({}, {"action": "eat"}):
            answer = await ana.post("/settings/users/1", form)
            assert answer.status == 422
            assert "say what is to be changed" in answer.text


async def test_a_choice_of_language_comes_back_to_the_page_with_its_filters(home: House) -> None:
    async with home.reader() as ana:
        page = await ana.get("/messages?status=failed")
        assert 'name="to" value="/messages?status=failed"' in page.text
        refused = await ana.post("/accounts/1/limit", {"rate_max": "x"}, Referer="/accounts")
        assert refused.status == 422
        assert 'name="to" value="/accounts"' in refused.text


async def test_older_changes_have_an_address_of_their_own(home: House) -> None:
    async with home.reader() as ana:
        for number in range(60):
            await ana.post("/contacts/suppressed", {"number": f"+3069{number:08}"})
        page = await ana.get("/settings")
        older = re.search(r'href="(/settings\?before=\d+)#audit"', page.text)
        assert older is not None
        whole, part = await ana.get(older[1]), await ana.get(older[1], **{"HX-Request": "true"})
    assert "<h1>Settings</h1>" in whole.text
    assert "<h1>" not in part.text
    assert part.text.count("suppression.add") == whole.text.count("suppression.add") > 0


async def test_a_search_by_number_heeds_the_other_filters(database_url: str) -> None:
    async with house(database_url) as home, home.reader() as ana:
        await started(home, ana.tenant_id)
        number = "/messages?number=%2B306900000001"
        assert "+306900000001</a>" in (await ana.get(number)).text
        assert "+306900000001</a>" in (await ana.get(f"{number}&status=queued")).text
        assert "+306900000001</a>" not in (await ana.get(f"{number}&status=failed")).text


async def test_without_its_database_a_page_says_so_and_is_a_page(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise DatabaseUnreachableError("away")

    async with home.reader() as ana:
        monkeypatch.setattr(home.database, "glance", away)
        page = await ana.get("/campaigns")
    assert page.status == 503
    assert "The database cannot be reached." in words(page.text)
    assert "<html" in page.text
