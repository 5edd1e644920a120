"""The original test plan, part one: our own rate limit is a passing failure.

Every test runs on both databases with the provider simulator over HTTP, and asks the provider's own
log whether anybody got a message twice.
"""

from __future__ import annotations

from typing import Any

import pytest

from paceline.clock import VirtualClock
from tests.acceptance.world import world

BACKOFF: dict[str, Any] = {"RATE_LIMIT_STRATEGY": "backoff", "SMS_BATCH_SIZE": "5"}
ONE_CALL_A_MINUTE: dict[str, Any] = {
    "RATE_LIMIT_TENANT_MAX": "1",
    "RATE_LIMIT_TENANT_WINDOW_MS": "60000",
    "RATE_LIMIT_MARGIN_MS": "20000",  # no busy machine uses its only permit too late
}


def denials(logged: list[Any]) -> list[dict[str, Any]]:
    return [event for event in logged if event["event"] == "rate_limit_exceeded"]


async def test_normal_flow_every_recipient_gets_exactly_one_message(database_url: str) -> None:
    async with world(database_url, SMS_BATCH_SIZE="7") as w:
        await w.audience(100)
        campaign_id = await w.draft("Hello {{first_name|there}}")
        assert await w.enqueue(campaign_id) == {
            "ok": True,
            "campaign_id": campaign_id,
            "created": 100,
            "batches": 15,
        }
        status = await w.completed(campaign_id)
        assert status["metrics"] == {
            "queued": 0,
            "sent": 100,
            "processed": 100,
            "failed": 0,
            "delivered": 0,
            "unconfirmed": 0,
        }
        seen = w.provider()
        assert (seen.accepted, seen.distinct, seen.duplicates) == (100, 100, 0)
        texts = {(m["to"], m["text"], m["status"]) for m in await w.messages(campaign_id)}
        assert ("+306910000042", "Hello Name42", "sent") in texts
        assert len(texts) == 100
        await w.assert_the_numbers_are_true()


async def test_rate_limit_hit_first_batch_sent_second_retried_after_its_backoff_then_sent(
    database_url: str, logged: list[Any]
) -> None:
    """Limit 1 per window; the window (2.9 s) is over before the first backoff (3 s) is."""
    clock = VirtualClock()
    limits: dict[str, Any] = {"RATE_LIMIT_TENANT_MAX": "1", "RATE_LIMIT_TENANT_WINDOW_MS": "2900"}
    async with world(database_url, clock=clock, **BACKOFF, **limits, QUEUE_BACKOFF_MS="3000") as w:
        campaign_id = await w.started(10)
        assert await w.step() == 2

        status = await w.status(campaign_id)
        assert status["metrics"]["sent"] == 5
        assert status["metrics"]["queued"] == 5
        assert status["metrics"]["failed"] == 0
        assert status["campaign"]["status"] == "sending"
        waiting = await w.messages(campaign_id, status="queued")
        assert {m["retry_count"] for m in waiting} == {1}

        (warning,) = denials(logged)
        assert warning["log_level"] == "warning"
        assert warning["tenant_id"] == w.call.tenant_id
        assert warning["traffic_account_id"] == w.account_id
        assert warning["tenant_remaining"] == 0
        assert warning["traffic_account_remaining"] == 100000 - 1

        clock.advance(2.999)
        assert await w.step() == 0, "the backoff is 3 s, not less"
        clock.advance(0.001)
        assert await w.step() == 1
        status = await w.status(campaign_id)
        assert status["campaign"]["status"] == "completed"
        assert status["metrics"]["sent"] == 10
        assert w.provider().duplicates == 0
        await w.assert_the_numbers_are_true()


async def test_still_denied_after_five_tries_fails_with_rate_limit_exceeded(
    database_url: str, logged: list[Any]
) -> None:
    """Denied at 0, 3, 9, 21 and 45 s: waits of 3, 6, 12 and 24 s, and then no more."""
    clock = VirtualClock()
    async with world(
        database_url,
        clock=clock,
        **BACKOFF,
        RATE_LIMIT_TENANT_MAX="1",
        RATE_LIMIT_TENANT_WINDOW_MS="3600000",
        QUEUE_BACKOFF_MS="3000",
    ) as w:
        campaign_id = await w.started(10)
        assert await w.step() == 2
        for tries, wait in enumerate([3, 6, 12, 24], start=1):
            queued = await w.messages(campaign_id, status="queued")
            assert {m["retry_count"] for m in queued} == {tries}
            assert len(queued) == 5
            clock.advance(wait - 0.001)
            assert await w.step() == 0
            clock.advance(0.001)
            assert await w.step() == 1

        status = await w.status(campaign_id)
        assert status["campaign"]["status"] == "completed"
        assert status["metrics"] == {
            "queued": 0,
            "sent": 5,
            "processed": 10,
            "failed": 5,
            "delivered": 0,
            "unconfirmed": 0,
        }
        failed = await w.messages(campaign_id, status="failed")
        assert {m["reason"] for m in failed} == {"rate_limit_exceeded"}
        assert {m["retry_count"] for m in failed} == {4}
        assert len(denials(logged)) == 5
        clock.advance(48)
        assert await w.step() == 0
        assert w.provider().accepted == 5
        await w.assert_the_numbers_are_true()


async def test_under_pace_the_same_limit_fails_nothing_and_costs_no_try(
    database_url: str, logged: list[Any]
) -> None:
    async with world(
        database_url,
        SMS_BATCH_SIZE="5",
        RATE_LIMIT_TENANT_MAX="1",
        RATE_LIMIT_TENANT_WINDOW_MS="300",
    ) as w:
        campaign_id = await w.started(20)
        status = await w.completed(campaign_id)
        assert status["metrics"]["sent"] == 20
        assert status["metrics"]["failed"] == 0
        messages = await w.messages(campaign_id)
        assert {m["retry_count"] for m in messages} == {0}
        assert denials(logged) == []
        seen = w.provider(window_ms=300)
        assert seen.max_in_window == 1
        assert (seen.accepted, seen.duplicates) == (20, 0)


async def test_while_pacing_the_status_says_what_it_waits_for_and_until_when(
    database_url: str,
) -> None:
    async with world(database_url, SMS_BATCH_SIZE="5", **ONE_CALL_A_MINUTE) as w:
        campaign_id = await w.started(10)
        status = await w.until(campaign_id, lambda s: s["metrics"]["sent"] == 5)
        waits = status["campaign"]["waiting_for"]
        assert waits["cause"] == "tenant_limit"
        assert waits["until"].endswith("Z")


async def test_retry_disabled_fails_a_denied_batch_at_once(
    database_url: str, logged: list[Any]
) -> None:
    async with world(
        database_url, **BACKOFF, **ONE_CALL_A_MINUTE, RATE_LIMIT_RETRY_ENABLED="false"
    ) as w:
        campaign_id = await w.started(10)
        status = await w.completed(campaign_id)
        assert status["metrics"]["sent"] == 5
        assert status["metrics"]["failed"] == 5
        failed = await w.messages(campaign_id, status="failed", reason="rate_limit_exceeded")
        assert {m["retry_count"] for m in failed} == {0}
        assert len(failed) == 5
        assert len(denials(logged)) == 1


async def test_backoff_on_real_time_sends_everything_in_the_end(database_url: str) -> None:
    async with world(
        database_url,
        SMS_BATCH_SIZE="5",
        RATE_LIMIT_STRATEGY="backoff",
        RATE_LIMIT_TENANT_MAX="1",
        RATE_LIMIT_TENANT_WINDOW_MS="50",
        QUEUE_BACKOFF_MS="120",
        WORKER_CONCURRENCY="2",
    ) as w:
        campaign_id = await w.started(15)
        status = await w.completed(campaign_id)
        assert status["metrics"]["sent"] == 15
        assert w.provider().duplicates == 0


@pytest.mark.parametrize(
    ("faults", "calls"),
    [
        (["throttle"], 3),
        (["fail_before"], 3),
        (["throttle", "fail_before", "throttle"], 5),
    ],
    ids=["429", "500", "a row of them"],
)
async def test_idempotency_nobody_gets_a_second_message_after_any_retry(
    database_url: str, faults: list[str], calls: int
) -> None:
    async with world(
        database_url, controls={"next": faults, "retry_after": 0}, SMS_BATCH_SIZE="5"
    ) as w:
        campaign_id = await w.started(10)
        status = await w.completed(campaign_id)
        assert status["metrics"]["sent"] == 10
        seen = w.provider()
        assert (seen.accepted, seen.distinct, seen.duplicates) == (10, 10, 0)
        assert seen.calls == calls
        await w.assert_the_numbers_are_true()


async def test_a_provider_that_fails_for_ever_fails_a_batch_after_its_fifth_try(
    database_url: str,
) -> None:
    """Alone on its account, so that the breaker's probes are all its own."""
    clock = VirtualClock()
    async with world(
        database_url,
        clock=clock,
        controls={"fail_before_share": 1},
        SMS_BATCH_SIZE="5",
        QUEUE_BACKOFF_MS="3000",
    ) as w:
        campaign_id = await w.started(5)
        assert await w.step() == 1
        for wait in [3, 6, 12, 24]:
            clock.advance(wait - 0.001)
            assert await w.step() == 0
            clock.advance(0.001)
            assert await w.step() == 1
        status = await w.status(campaign_id)
        assert status["campaign"]["status"] == "completed"
        assert status["metrics"]["failed"] == 5
        (reason,) = {m["reason"] for m in await w.messages(campaign_id)}
        assert reason == "attempts_exhausted"
        assert w.provider().calls == 5
