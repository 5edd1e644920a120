"""A new campaign for those whom one failed to reach, from its page."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from paceline.domain.role import Role
from paceline.storage import campaigns
from tests.web.forms import fields_of
from tests.web.test_pages import started, words
from tests.web.visiting import House, Reader, house


@pytest.fixture
async def home(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as running:
        yield running


async def cancelled(home: House, reader: Reader) -> int:
    campaign = await started(home, reader.tenant_id)
    await home.context.orders.cancel(reader.tenant_id, campaign)
    return campaign


async def test_the_failed_of_a_campaign_become_a_linked_draft_that_is_opened(home: House) -> None:
    async with home.reader(role=Role.SENDER) as ana:
        campaign = await cancelled(home, ana)
        page = (await ana.get(f"/campaigns/{campaign}")).text
        assert f'href="/campaigns/{campaign}/resend"' in page
        choice = await ana.get(f"/campaigns/{campaign}/resend")
        assert "Cancelled 3 messages" in words(choice.text)
        opened = await ana.post(f"/campaigns/{campaign}/resend", {"reason:cancelled": "on"})
        made = (await home.database.read(campaigns.page, ana.tenant_id))[0]
        assert opened.path == f"/campaigns/{made.id}/edit"
        assert (made.parent_id, made.parent_reasons) == (campaign, ["cancelled"])
        assert "To those whom this campaign failed to reach: Spring & <sale>" in words(opened.text)
        form = fields_of(opened.text, "draft")
        counted = await ana.post("/campaigns/compose/audience", form)
        assert "Would get it 3" in words(counted.text)
        reads = await ana.post("/campaigns/compose/text", form)
        assert "Hello Ana0" in words(reads.text)
        reviewed = await ana.post("/campaigns/compose", form | {"text": "Once more"})
        assert "Send now to 3 people" in words(reviewed.text)
        child = await home.database.read(campaigns.get, ana.tenant_id, made.id)
        assert (child.text, child.parent_id) == ("Once more", campaign)
        linked = (await ana.get(f"/campaigns/{made.id}")).text
        assert f'<a href="/campaigns/{campaign}">' in linked


async def test_reasons_that_somebody_wanted_so_are_not_chosen_by_themselves(home: House) -> None:
    async with home.reader() as ana:
        campaign = await cancelled(home, ana)
        page = (await ana.get(f"/campaigns/{campaign}/resend")).text
        box = re.search(r'<input type="checkbox" name="reason:cancelled"[^>]*>', page)
        assert box is not None
        assert "checked" not in box[0]
        refused = await ana.post(f"/campaigns/{campaign}/resend")
        assert refused.status == 422
        assert "name some" in refused.text
        never = await ana.post(f"/campaigns/{campaign}/resend", {"reason:opted_out": "on"})
        assert never.status == 422
        assert len(await home.database.read(campaigns.page, ana.tenant_id)) == 1


async def test_what_still_runs_is_not_sent_again(home: House) -> None:
    async with home.reader() as ana:
        campaign = await started(home, ana.tenant_id)
        assert "/resend" not in (await ana.get(f"/campaigns/{campaign}")).text
        for answer in (
            await ana.get(f"/campaigns/{campaign}/resend"),
            await ana.post(f"/campaigns/{campaign}/resend", {"reason:cancelled": "on"}),
        ):
            assert answer.status == 409
            assert "completed or cancelled" in answer.text


async def test_what_can_be_made_of_a_campaign_follows_what_becomes_of_it(home: House) -> None:
    async with home.reader() as ana, home.reader(role=Role.VIEWER) as viewer:
        campaign = await started(home, ana.tenant_id)
        path = f"/campaigns/{campaign}/next"
        assert words((await ana.get(path)).text) == ""
        await home.context.orders.cancel(ana.tenant_id, campaign)
        assert words((await ana.get(path)).text) == "Make a new one for the failed"
        assert words((await viewer.get(path)).text) == ""
