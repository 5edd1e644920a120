"""Promise 3, judged from the provider's side: no sliding window over its limit."""

from __future__ import annotations

import asyncio

from paceline.clock import SystemClock
from paceline.engine.worker import Worker
from paceline.storage import accounts, tenants
from tests.acceptance.world import world


async def test_two_tenants_and_two_workers_never_exceed_either_window(database_url: str) -> None:
    """Tenant 8 calls, account 12 calls per 400 ms; each tenant has a sender of its own, so that the
    provider can tell them apart.
    """
    async with world(
        database_url,
        SMS_BATCH_SIZE="1",
        RATE_LIMIT_TENANT_MAX="8",
        RATE_LIMIT_TENANT_WINDOW_MS="400",
        RATE_LIMIT_TRAFFIC_ACCOUNT_MAX="12",
        RATE_LIMIT_TRAFFIC_ACCOUNT_WINDOW_MS="400",
    ) as w:
        other = await w.database.write(tenants.keep, "bravo")
        _, key = await w.database.write(tenants.create_key, other.id, name="test")
        second = Worker(w.database, w.worker.rules, SystemClock())
        working = asyncio.create_task(second.run())
        campaigns = []
        for number, secret in enumerate([w.call.key, key]):
            w.call.key = secret
            await w.audience(60, first=1000 * number)
            made = await w.call(
                "POST",
                "/api/campaigns",
                {"name": "n", "text": "Hello {{first_name}}", "sender": f"Sender{number}"},
            )
            campaigns.append((secret, made.json["id"]))
        for secret, campaign_id in campaigns:
            w.call.key = secret
            await w.enqueue(campaign_id)
        for secret, campaign_id in campaigns:
            w.call.key = secret
            assert (await w.completed(campaign_id))["metrics"]["sent"] == 60
        second.stop()
        await working

        seen = w.provider(window_ms=400)
        assert (seen.accepted, seen.duplicates) == (120, 0)
        assert seen.max_in_window <= 12
        assert {name: sender.max_in_window <= 8 for name, sender in seen.senders.items()} == {
            "Sender0": True,
            "Sender1": True,
        }


async def test_a_limit_changed_at_run_time_holds_from_then_on(database_url: str) -> None:
    """Three calls an hour; raised, the rest goes out at once."""
    async with world(database_url, SMS_BATCH_SIZE="1") as w:
        await w.database.write(
            accounts.change, w.account_id, {"rate_max": 3, "rate_window_ms": 3_600_000}
        )
        campaign_id = await w.started(12)
        status = await w.until(
            campaign_id,
            lambda s: s["metrics"]["sent"] == 3 and s["campaign"]["waiting_for"] is not None,
        )
        assert status["campaign"]["waiting_for"]["cause"] == "account_limit"
        assert w.provider().calls == 3
        await w.database.write(accounts.change, w.account_id, {"rate_max": 1000})
        assert (await w.completed(campaign_id))["metrics"]["sent"] == 12


async def test_a_429_closes_the_account_until_its_retry_after(database_url: str) -> None:
    async with world(
        database_url, controls={"next": ["throttle"], "retry_after": 1}, SMS_BATCH_SIZE="5"
    ) as w:
        campaign_id = await w.started(10)
        await w.completed(campaign_id)
        times = [call.received_ns for call in w.simulator.log.call_records()]
        refused, after = times[0], [t for t in times if t > times[0] + 500_000_000]
        assert len(after) >= 1
        assert min(after) - refused >= 1_000_000_000
