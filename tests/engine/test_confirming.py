"""Doubt that ends by itself: the provider is asked after the quiet period."""

from __future__ import annotations

import pytest

from paceline.storage import accounts
from tests.acceptance.world import World, world


async def looks_up(w: World) -> None:
    changes = {"provider": "simulator", "options": {"looks_up": True}}
    await w.database.write(accounts.change, w.account_id, changes)


@pytest.mark.parametrize("fault", ["drop_after", "fail_after", "short_answer"])
async def test_what_was_accepted_without_an_answer_is_found_and_not_sent_again(
    database_url: str, fault: str
) -> None:
    async with world(
        database_url, controls={"next": [fault]}, SMS_BATCH_SIZE="5", CONFIRM_WINDOW_MS="200"
    ) as w:
        await looks_up(w)
        campaign_id = await w.started(20)
        metrics = (await w.completed(campaign_id))["metrics"]
        assert (metrics["sent"], metrics["unconfirmed"]) == (20, 0)
        assert w.provider().duplicates == 0
        assert all(m["provider_message_id"] for m in await w.messages(campaign_id))


async def test_what_was_dropped_before_it_was_accepted_is_sent_after_asking(
    database_url: str,
) -> None:
    async with world(
        database_url,
        controls={"next": ["drop_before"]},
        SMS_BATCH_SIZE="5",
        CONFIRM_WINDOW_MS="200",
    ) as w:
        await looks_up(w)
        campaign_id = await w.started(20)
        metrics = (await w.completed(campaign_id))["metrics"]
        assert (metrics["sent"], metrics["failed"]) == (20, 0)
        assert w.provider().duplicates == 0


async def test_a_provider_that_cannot_tell_just_now_is_asked_again(database_url: str) -> None:
    async with world(
        database_url,
        controls={"next": ["drop_after"], "lookup": False},
        SMS_BATCH_SIZE="5",
        CONFIRM_WINDOW_MS="200",
    ) as w:
        await looks_up(w)
        campaign_id = await w.started(5)
        await w.until(campaign_id, lambda status: status["metrics"]["unconfirmed"] == 5)
        await w.control(lookup=True)
        metrics = (await w.completed(campaign_id))["metrics"]
        assert (metrics["sent"], metrics["unconfirmed"]) == (5, 0)
        assert w.provider().duplicates == 0
