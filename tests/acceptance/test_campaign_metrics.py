"""The original test plan, part two: `sent` means sent, `processed` = sent + failed."""

from __future__ import annotations

import asyncio

from tests.acceptance.world import World, world


async def poll_hard(w: World, campaign_id: int) -> int:
    """Read the status as often as possible until the campaign is over; how often."""
    reads = 0
    while True:
        status = await w.status(campaign_id)
        campaign, metrics = status["campaign"], status["metrics"]
        reads += 1
        for name in ("sent", "failed", "processed", "delivered"):
            assert campaign[name] == metrics[name]
        assert metrics["processed"] == metrics["sent"] + metrics["failed"]
        assert metrics["queued"] + metrics["processed"] == campaign["total"]
        over = campaign["status"] == "completed"
        assert over == (metrics["queued"] == 0 and not campaign["launching"])
        if over:
            return reads


async def test_5000_sent_and_100_failed_read_5000_100_5100_in_campaign_and_metrics(
    database_url: str,
) -> None:
    rejected = [f"+3069{10_000_000 + n}" for n in range(0, 5100, 51)]
    assert len(rejected) == 100
    async with world(database_url, controls={"reject_destinations": rejected}) as w:
        campaign_id = await w.started(5100)
        status = await w.completed(campaign_id)
        campaign, metrics = status["campaign"], status["metrics"]
        assert (campaign["sent"], campaign["failed"], campaign["processed"]) == (5000, 100, 5100)
        assert (metrics["sent"], metrics["failed"], metrics["processed"]) == (5000, 100, 5100)
        assert metrics["queued"] == 0
        assert campaign["total"] == 5100
        failed = await w.messages(campaign_id, status="failed")
        assert sorted(m["to"] for m in failed) == sorted(rejected)
        assert {m["reason"] for m in failed} == {"rejected"}
        assert w.provider().accepted == 5000
        await w.assert_the_numbers_are_true()


async def test_campaign_and_metrics_agree_and_add_up_at_every_moment_while_sending(
    database_url: str,
) -> None:
    """Four readers poll as hard as they can during the whole run."""
    async with world(
        database_url,
        controls={"reject_share": 0.1, "latency_ms": 5, "next": ["ok", "throttle", "fail_before"]},
        SMS_BATCH_SIZE="10",
    ) as w:
        campaign_id = await w.started(3000)
        reads = await asyncio.gather(*(poll_hard(w, campaign_id) for _ in range(4)))
        assert sum(reads) > 40, "too few reads to mean anything"
        metrics = (await w.status(campaign_id))["metrics"]
        assert metrics["failed"] > 0
        assert metrics["sent"] == w.provider().accepted
        await w.assert_the_numbers_are_true()


async def test_sent_counts_only_messages_whose_status_is_sent(database_url: str) -> None:
    async with world(database_url, controls={"reject_share": 0.3}, SMS_BATCH_SIZE="10") as w:
        campaign_id = await w.started(200)
        metrics = (await w.completed(campaign_id))["metrics"]
        sent = await w.messages(campaign_id, status="sent")
        failed = await w.messages(campaign_id, status="failed")
        assert metrics["sent"] == len(sent) == w.provider().accepted
        assert metrics["failed"] == len(failed) > 0
        assert metrics["processed"] == len(sent) + len(failed) == 200


async def test_sending_while_anything_is_queued_and_completed_after(database_url: str) -> None:
    async with world(
        database_url,
        SMS_BATCH_SIZE="5",
        RATE_LIMIT_TENANT_MAX="1",
        RATE_LIMIT_TENANT_WINDOW_MS="200",
    ) as w:
        campaign_id = await w.started(15)
        half = await w.until(campaign_id, lambda s: s["metrics"]["sent"] >= 5)
        assert half["metrics"]["queued"] > 0
        assert half["campaign"]["status"] == "sending"
        done = await w.completed(campaign_id)
        assert done["metrics"]["queued"] == 0
