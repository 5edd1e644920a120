"""What a worker has to tell the database, and what it must not make of a database that is away."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paceline.clock import VirtualClock
from paceline.storage import accounts, outcomes, turns
from paceline.storage.database import DatabaseUnreachableError
from paceline.storage.wishes import Gone
from tests.acceptance.world import world

HORIZON_MS = 60_000


async def test_a_batch_in_doubt_is_not_sent_once_the_provider_has_forgotten_its_references(
    database_url: str,
) -> None:
    """However long it has waited at the gate for its permit."""
    clock = VirtualClock()
    async with world(
        database_url,
        clock=clock,
        controls={"next": ["drop_after"], "deduplicate": True},
        SMS_BATCH_SIZE="5",
    ) as w:
        options = {"provider": "simulator", "options": {"deduplicates": True}}
        account = await w.database.write(accounts.change, w.account_id, options)
        campaign_id = await w.started(5)
        assert await w.step() == 1
        assert (await w.status(campaign_id))["metrics"]["unconfirmed"] == 5
        rules = w.worker.rules
        clock.advance(1.0)
        reservation = await w.database.write(
            turns.reserve, want=1, lease_ms=10 * HORIZON_MS, pacing=rules.pacing
        )
        (batch,) = reservation.batches
        policy = replace(rules.policy_of(account), dedupe_horizon_ms=HORIZON_MS)
        clock.advance(HORIZON_MS / 1000)
        intent = await w.worker.dispatcher.intend(batch, 5, policy)
        assert intent == Gone("in doubt for longer than the provider remembers")


async def test_an_answer_is_written_down_when_the_database_is_back(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(database_url, SMS_BATCH_SIZE="5") as w:
        real = w.database.write
        refused: list[object] = []

        async def write(function, *args, **kwargs):
            if function is outcomes.record and len(refused) < 2:
                refused.append(function)
                raise DatabaseUnreachableError("away for a moment")
            return await real(function, *args, **kwargs)

        monkeypatch.setattr(w.database, "write", write)
        campaign_id = await w.started(5)
        status = await w.until(
            campaign_id, lambda s: s["metrics"]["sent"] or s["metrics"]["unconfirmed"]
        )
        assert (status["metrics"]["sent"], status["metrics"]["unconfirmed"]) == (5, 0)
        assert len(refused) == 2
        assert w.provider().calls == 1
