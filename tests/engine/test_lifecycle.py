"""Pause, resume, cancel and schedule hold while workers are busy; opt-outs and stops too."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

from sqlalchemy import func, select

from paceline.clock import VirtualClock
from paceline.domain.message import BatchStatus
from paceline.storage import accounts
from paceline.storage.schema import batches
from tests.acceptance.world import World, world

SLOW: dict[str, Any] = {
    "SMS_BATCH_SIZE": "5",
    "RATE_LIMIT_TENANT_MAX": "5",
    "RATE_LIMIT_TENANT_WINDOW_MS": "100",
}


async def under_way(w: World, count: int = 500) -> int:
    campaign_id = await w.started(count)
    await w.until(campaign_id, lambda s: s["metrics"]["sent"] >= 20)
    return campaign_id


async def settled_calls(w: World, campaign_id: int) -> int:
    """What the provider has accepted once no call of a paused campaign is under way any more."""
    under_way = select(func.count()).where(
        batches.c.campaign_id == campaign_id, batches.c.status == BatchStatus.SUBMITTING
    )
    await w.until(campaign_id, lambda _: not w.database.read_now(lambda c: c.scalar(under_way)))
    assert w.provider().accepted == (await w.status(campaign_id))["metrics"]["sent"]
    return w.provider().accepted


async def test_pause_lets_calls_finish_and_starts_none_until_resume(database_url: str) -> None:
    async with world(database_url, **SLOW) as w:
        campaign_id = await under_way(w)
        answer = await w.call("POST", f"/api/campaigns/{campaign_id}/pause")
        assert answer.json["status"] == "paused"
        before = await settled_calls(w, campaign_id)
        await asyncio.sleep(0.35)  # three windows in which it would have gone on
        assert w.provider().accepted == before
        assert (await w.status(campaign_id))["campaign"]["waiting_for"]["cause"] == "paused"
        again = await w.enqueue(campaign_id)
        assert (again["created"], again["batches"]) == (0, 0)
        status = await w.completed(campaign_id)
        assert status["metrics"]["sent"] == 500
        assert w.provider().duplicates == 0


async def test_cancel_fails_the_rest_and_keeps_what_was_sent(database_url: str) -> None:
    async with world(database_url, **SLOW) as w:
        campaign_id = await under_way(w)
        answer = await w.call("POST", f"/api/campaigns/{campaign_id}/cancel")
        assert answer.json["status"] == "cancelled"
        await w.until(campaign_id, lambda s: s["metrics"]["queued"] == 0)
        metrics = (await w.status(campaign_id))["metrics"]
        assert metrics["sent"] == w.provider().accepted
        assert metrics["sent"] + metrics["failed"] == 500
        cancelled = await w.messages(campaign_id, status="failed", reason="cancelled")
        assert len(cancelled) == metrics["failed"]
        refused = await w.call("POST", f"/api/campaigns/{campaign_id}/resume")
        assert refused.status == 409
        assert "cancelled" in refused.json["detail"]
        assert "paused" in refused.json["detail"]
        await w.assert_the_numbers_are_true()


async def test_pauses_and_resumes_in_quick_succession_lose_and_repeat_nothing(
    database_url: str,
) -> None:
    async with world(database_url, SMS_BATCH_SIZE="5", controls={"latency_ms": 3}) as w:
        campaign_id = await w.started(1000)
        for _ in range(15):
            await w.call("POST", f"/api/campaigns/{campaign_id}/pause")
            await w.call("POST", f"/api/campaigns/{campaign_id}/resume")
        status = await w.completed(campaign_id)
        assert status["metrics"]["sent"] == 1000
        seen = w.provider()
        assert (seen.accepted, seen.duplicates) == (1000, 0)
        assert {m["retry_count"] for m in await w.messages(campaign_id)} == {0}
        await w.assert_the_numbers_are_true()


async def test_nobody_who_opted_out_is_in_a_call_made_after_that(database_url: str) -> None:
    async with world(database_url, **SLOW) as w:
        campaign_id = await under_way(w)
        last = [f"+3069{10_000_000 + n}" for n in range(450, 500)]
        answer = await w.call(
            "POST", "/api/suppressions", {"phones": last, "reason": "asked on the phone"}
        )
        assert answer.json["added"] == 50
        status = await w.completed(campaign_id)
        assert (status["metrics"]["sent"], status["metrics"]["failed"]) == (450, 50)
        dropped = await w.messages(campaign_id, status="failed")
        assert {(m["to"], m["reason"]) for m in dropped} == {(to, "opted_out") for to in last}
        assert w.provider().accepted == 450


async def test_a_batch_that_opt_outs_empty_is_done_without_a_call(database_url: str) -> None:
    clock = VirtualClock()
    async with world(database_url, clock=clock, SMS_BATCH_SIZE="5") as w:
        campaign_id = await w.started(5)
        everybody = [f"+3069{10_000_000 + n}" for n in range(5)]
        await w.call("POST", "/api/suppressions", {"phones": everybody, "reason": "stop"})
        assert await w.step() == 1
        status = await w.status(campaign_id)
        assert status["campaign"]["status"] == "completed"
        assert status["metrics"]["failed"] == 5
        assert w.provider().calls == 0


async def test_a_scheduled_campaign_starts_by_itself_and_not_before(database_url: str) -> None:
    clock = VirtualClock()
    async with world(database_url, clock=clock) as w:
        await w.audience(5)
        campaign_id = await w.draft()
        start = dt.datetime.fromtimestamp(clock.now_ms() / 1000 + 3600, tz=dt.UTC)
        answer = await w.call(
            "POST",
            f"/api/campaigns/{campaign_id}/schedule",
            {"scheduled_at": start.isoformat()},
        )
        assert answer.json["status"] == "scheduled", answer.text
        clock.advance(3599.9)
        await w.worker.chores.round()
        assert (await w.status(campaign_id))["campaign"]["status"] == "scheduled"
        clock.advance(0.2)
        await w.worker.chores.round()
        assert await w.step() == 1
        assert (await w.status(campaign_id))["campaign"]["status"] == "completed"


async def test_a_scheduled_campaign_without_anybody_fails_at_its_time(database_url: str) -> None:
    clock = VirtualClock()
    async with world(database_url, clock=clock) as w:
        campaign_id = await w.draft("Hello")
        start = dt.datetime.fromtimestamp(clock.now_ms() / 1000 + 60, tz=dt.UTC)
        await w.call(
            "POST",
            f"/api/campaigns/{campaign_id}/schedule",
            {"scheduled_at": start.isoformat()},
        )
        clock.advance(61)
        await w.worker.chores.round()
        assert (await w.status(campaign_id))["campaign"]["status"] == "failed"


async def test_a_refusal_holds_the_account_and_release_lets_it_go_on(database_url: str) -> None:
    async with world(database_url, controls={"next": ["unauthorized"]}, SMS_BATCH_SIZE="5") as w:
        campaign_id = await w.started(20)
        status = await w.until(
            campaign_id,
            lambda s: (s["campaign"]["waiting_for"] or {}).get("cause") == "account_held",
        )
        assert status["metrics"]["failed"] == 0
        await w.database.write(accounts.release, w.account_id)
        w.worker.wake()
        status = await w.completed(campaign_id)
        assert status["metrics"]["sent"] == 20
        assert {m["retry_count"] for m in await w.messages(campaign_id)} == {0}


async def test_an_outage_spends_one_try_per_probe_and_fails_nothing(database_url: str) -> None:
    """50 batches wait, the provider is down for a while: the breaker probes with fresh ones."""
    async with world(
        database_url,
        controls={"fail_before_share": 1},
        SMS_BATCH_SIZE="2",
        QUEUE_BACKOFF_MS="50",
        WORKER_CONCURRENCY="2",
    ) as w:
        campaign_id = await w.started(100)
        await w.until(campaign_id, lambda _: w.provider().calls >= 6)
        await w.control(fail_before_share=0)
        status = await w.completed(campaign_id)
        assert (status["metrics"]["sent"], status["metrics"]["failed"]) == (100, 0)
        assert w.provider().duplicates == 0
        counts = [m["retry_count"] for m in await w.messages(campaign_id)]
        assert max(counts) <= 2, "the failed tries are spread over many batches"


async def test_stopping_finishes_the_calls_that_are_under_way(database_url: str) -> None:
    async with world(database_url, controls={"latency_ms": 300}, SMS_BATCH_SIZE="5") as w:
        campaign_id = await w.started(500)
        await w.until(campaign_id, lambda _: w.provider().calls >= 10)
        w.worker.stop()
        await w.until(campaign_id, lambda s: s["metrics"]["sent"] == w.provider().accepted)
        status = await w.status(campaign_id)
        assert status["metrics"]["unconfirmed"] == 0
        assert status["metrics"]["queued"] > 0
        assert status["campaign"]["status"] == "sending"


async def test_single_messages_go_ahead_of_campaigns(database_url: str) -> None:
    async with world(database_url, **SLOW) as w:
        campaign_id = await under_way(w)
        answer = await w.call("POST", "/api/messages", {"to": "+306999999999", "text": "Code 1"})
        assert answer.status == 201, answer.text
        message_id = answer.json["id"]
        await w.until(campaign_id, lambda _: "+306999999999" in w.provider_numbers())
        single = await w.call("GET", f"/api/messages/{message_id}")
        assert single.json["campaign_id"] is None
        assert (await w.status(campaign_id))["metrics"]["queued"] > 0
