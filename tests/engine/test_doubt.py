"""What may have been accepted is never sent again by itself, and never called failed."""

from __future__ import annotations

import asyncio

import pytest

from paceline.clock import VirtualClock
from paceline.domain.verdict import Policy
from paceline.storage import accounts, doubt, outcomes, turns
from tests.acceptance.world import World, world


async def in_doubt(w: World, fault: str = "drop_after") -> int:
    """A campaign of two batches of 5, the first of which got no answer."""
    await w.control(next=[fault])
    campaign_id = await w.started(10)
    status = await w.until(
        campaign_id, lambda s: s["metrics"]["unconfirmed"] == 5 and s["metrics"]["sent"] == 5
    )
    assert status["campaign"]["status"] == "sending"
    assert status["campaign"]["waiting_for"]["cause"] == "decision"
    return campaign_id


async def decide(w: World, campaign_id: int, action: str) -> int:
    """An operator's decision; the status of the answer."""
    path = f"/api/campaigns/{campaign_id}/unconfirmed"
    return (await w.call("POST", path, {"action": action})).status


@pytest.mark.parametrize("fault", ["drop_after", "drop_before", "short_answer"])
async def test_no_usable_answer_leaves_the_batch_unconfirmed(database_url: str, fault: str) -> None:
    async with world(database_url, SMS_BATCH_SIZE="5", WORKER_CONCURRENCY="1") as w:
        campaign_id = await in_doubt(w, fault)
        doubtful = await w.messages(campaign_id, in_doubt="true")
        assert {m["status"] for m in doubtful} == {"queued"}
        assert w.provider().duplicates == 0
        await w.assert_the_numbers_are_true()


async def test_a_slow_answer_is_no_answer(database_url: str) -> None:
    async with world(
        database_url,
        controls={"next": ["slow"], "slow_ms": 1500},
        SMS_BATCH_SIZE="5",
        PROVIDER_TIMEOUT_MS="1000",
    ) as w:
        campaign_id = await w.started(5)
        await w.until(campaign_id, lambda s: s["metrics"]["unconfirmed"] == 5)
        assert w.provider().accepted == 5


async def test_accept_counts_them_as_sent_and_completes_the_campaign(database_url: str) -> None:
    async with world(database_url, SMS_BATCH_SIZE="5", WORKER_CONCURRENCY="1") as w:
        campaign_id = await in_doubt(w)
        assert await decide(w, campaign_id, "accept") == 200
        status = await w.status(campaign_id)
        assert status["campaign"]["status"] == "completed"
        assert status["metrics"]["sent"] == 10
        assert w.provider().accepted == 10


async def test_fail_counts_them_as_failed_with_their_reason(database_url: str) -> None:
    async with world(database_url, SMS_BATCH_SIZE="5", WORKER_CONCURRENCY="1") as w:
        campaign_id = await in_doubt(w, "drop_before")
        assert await decide(w, campaign_id, "fail") == 200
        status = await w.status(campaign_id)
        assert status["campaign"]["status"] == "completed"
        assert (status["metrics"]["sent"], status["metrics"]["failed"]) == (5, 5)
        failed = await w.messages(campaign_id, status="failed")
        assert {m["reason"] for m in failed} == {"given_up"}


async def test_resend_sends_again_and_only_because_an_operator_asked(database_url: str) -> None:
    async with world(database_url, SMS_BATCH_SIZE="5", WORKER_CONCURRENCY="1") as w:
        campaign_id = await in_doubt(w)
        assert await decide(w, campaign_id, "resend") == 200
        status = await w.completed(campaign_id)
        assert status["metrics"]["sent"] == 10
        assert w.provider().duplicates == 5, "the operator took that risk"
        await w.assert_the_numbers_are_true()


async def test_cancelling_keeps_what_is_in_doubt_and_fails_the_rest(database_url: str) -> None:
    async with world(
        database_url,
        controls={"next": ["drop_after"]},
        SMS_BATCH_SIZE="5",
        RATE_LIMIT_TENANT_MAX="1",
        RATE_LIMIT_TENANT_WINDOW_MS="60000",
        RATE_LIMIT_MARGIN_MS="20000",  # no busy machine uses its only permit too late
    ) as w:
        campaign_id = await w.started(20)
        await w.until(campaign_id, lambda s: s["metrics"]["unconfirmed"] == 5)
        answer = await w.call("POST", f"/api/campaigns/{campaign_id}/cancel")
        assert answer.status == 200, answer.text
        status = await w.until(campaign_id, lambda s: s["metrics"]["failed"] == 15)
        assert (status["metrics"]["queued"], status["metrics"]["unconfirmed"]) == (5, 5)
        assert await decide(w, campaign_id, "resend") == 409
        assert await decide(w, campaign_id, "accept") == 200
        status = await w.status(campaign_id)
        assert status["campaign"]["status"] == "cancelled"
        assert (status["metrics"]["sent"], status["metrics"]["queued"]) == (5, 0)
        await w.assert_the_numbers_are_true()


async def test_a_server_error_is_in_doubt_where_the_account_says_hold(database_url: str) -> None:
    async with world(database_url, SMS_BATCH_SIZE="5") as w:
        await w.database.write(accounts.change, w.account_id, {"server_error": "hold"})
        await w.control(next=["fail_after"])
        campaign_id = await w.started(5)
        await w.until(campaign_id, lambda s: s["metrics"]["unconfirmed"] == 5)
        assert (w.provider().accepted, w.provider().calls) == (5, 1)


async def test_with_unconfirmed_policy_resend_no_answer_is_tried_again(database_url: str) -> None:
    async with world(
        database_url,
        controls={"next": ["drop_before"]},
        SMS_BATCH_SIZE="5",
        UNCONFIRMED_POLICY="resend",
    ) as w:
        campaign_id = await w.started(5)
        status = await w.completed(campaign_id)
        assert status["metrics"]["sent"] == 5
        assert w.provider().calls == 2
        await w.assert_the_numbers_are_true()


async def test_a_provider_that_deduplicates_is_asked_again_under_the_same_reference(
    database_url: str,
) -> None:
    async with world(
        database_url,
        controls={"next": ["drop_after", "fail_after"], "deduplicate": True},
        SMS_BATCH_SIZE="5",
    ) as w:
        options = {"deduplicates": True}
        await w.database.write(
            accounts.change, w.account_id, {"provider": "simulator", "options": options}
        )
        campaign_id = await w.started(5)
        metrics = (await w.completed(campaign_id))["metrics"]
        assert (metrics["sent"], metrics["unconfirmed"]) == (5, 0)
        seen = w.provider()
        assert (seen.accepted, seen.duplicates, seen.calls) == (5, 0, 3)


async def test_a_worker_that_stalls_past_its_lease_leaves_doubt_and_its_late_answer_settles_it(
    database_url: str,
) -> None:
    """The lease runs out under a virtual clock while the call is still under way."""
    clock = VirtualClock()
    async with world(
        database_url,
        clock=clock,
        controls={"next": ["slow"], "slow_ms": 1500},
        SMS_BATCH_SIZE="5",
        PROVIDER_TIMEOUT_MS="10000",
    ) as w:
        campaign_id = await w.started(5)
        stepping = asyncio.create_task(w.step())
        await w.until(campaign_id, lambda _: bool(w.provider().calls))
        clock.advance(11.1)
        (batch_id,) = await w.database.read(doubt.expired)
        expired = await w.database.write(outcomes.expire, batch_id, lambda _: Policy())
        assert expired == "unconfirmed"
        metrics = (await w.status(campaign_id))["metrics"]
        assert (metrics["queued"], metrics["unconfirmed"]) == (5, 5)
        assert await w.step() == 0, "what is unconfirmed is not handed out again"
        await stepping
        status = await w.completed(campaign_id)
        assert status["metrics"]["sent"] == 5
        assert w.provider().duplicates == 0


async def test_a_reservation_that_runs_out_is_queued_again_without_a_try(
    database_url: str,
) -> None:
    clock = VirtualClock()
    async with world(database_url, clock=clock, SMS_BATCH_SIZE="5") as w:
        campaign_id = await w.started(5)
        reservation = await w.database.write(
            turns.reserve, want=1, lease_ms=1000, pacing=w.worker.rules.pacing
        )
        assert len(reservation.batches) == 1
        clock.advance(1.0)
        await w.worker.chores.take_back_expired()
        assert await w.step() == 1
        assert (await w.completed(campaign_id))["metrics"]["sent"] == 5
        assert {m["retry_count"] for m in await w.messages(campaign_id)} == {0}
