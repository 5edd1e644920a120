"""Delivery receipts over the real webhook: late, early, twice, out of order, failed."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from paceline.storage import accounts
from paceline.storage.schema import traffic_accounts
from tests.acceptance.world import World, world


async def webhook(w: World, provider: str = "mitto") -> str:
    token = await w.database.read(
        lambda connection: connection.execute(
            select(traffic_accounts.c.webhook_token).where(traffic_accounts.c.id == w.account_id)
        ).scalar_one()
    )
    return f"{w.call.base}/webhooks/{provider}/{token}/dlr"


@pytest.mark.parametrize(
    "manner",
    [
        {"delay_ms": 20},
        {"before_answer": True},
        {"duplicate_share": 1, "shuffle": True, "intermediate": True},
    ],
    ids=["late", "early", "twice and shuffled"],
)
async def test_every_delivered_receipt_is_counted_once(
    database_url: str, manner: dict[str, Any]
) -> None:
    async with world(database_url, SMS_BATCH_SIZE="20") as w:
        await w.control(receipts={"url": await webhook(w), **manner})
        campaign_id = await w.started(100)
        status = await w.until(campaign_id, lambda s: s["metrics"]["delivered"] == 100)
        assert status["metrics"]["sent"] == 100
        messages = await w.messages(campaign_id)
        assert {(m["status"], m["delivery"]) for m in messages} == {("sent", "delivered")}
        await w.assert_the_numbers_are_true()


async def test_a_failure_receipt_moves_sent_to_failed_and_processed_stays(
    database_url: str,
) -> None:
    async with world(database_url, SMS_BATCH_SIZE="20") as w:
        await w.control(receipts={"url": await webhook(w), "fail_share": 1})
        campaign_id = await w.started(40)
        status = await w.until(campaign_id, lambda s: s["metrics"]["failed"] == 40)
        assert status["metrics"]["processed"] == 40
        assert status["campaign"]["status"] == "completed"
        assert {m["reason"] for m in await w.messages(campaign_id)} <= {"undelivered", "expired"}
        await w.assert_the_numbers_are_true()


async def test_a_receipt_that_echoes_our_reference_ends_a_doubt(database_url: str) -> None:
    """The provider accepted and the answer was lost: its receipt is the proof."""
    async with world(database_url, SMS_BATCH_SIZE="5") as w:
        await w.database.write(accounts.change, w.account_id, {"provider": "simulator"})
        url = await webhook(w, "simulator")
        await w.control(
            next=["drop_after"],
            receipts={"url": url, "delay_ms": 50, "echo_reference": True},
        )
        campaign_id = await w.started(5)
        status = await w.completed(campaign_id)
        assert (status["metrics"]["sent"], status["metrics"]["delivered"]) == (5, 5)
        assert status["metrics"]["unconfirmed"] == 0
        assert w.provider().calls == 1
        await w.assert_the_numbers_are_true()
