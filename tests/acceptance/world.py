"""Everything a campaign needs, for real: an API over HTTP, a worker, and the provider simulator.

The simulator's own log is the judge of what was sent, never our tables.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from paceline.api.app import create_app
from paceline.cli.serving import add_dashboard
from paceline.clock import Clock, SystemClock, VirtualClock
from paceline.engine.rules import Rules
from paceline.engine.worker import Worker
from paceline.settings import load
from paceline.simulator import Simulator, Summary, running, summarise
from paceline.storage import accounts, audit, tenants, turns
from paceline.storage.database import Database
from tests.api.serving import Caller, listening
from tests.migrated import opened

PATIENCE_S = 60.0
FAST = {
    "RATE_LIMIT_TENANT_MAX": "100000",
    "RATE_LIMIT_TRAFFIC_ACCOUNT_MAX": "100000",
    "PACELINE_API_RATE_MAX": "0",
    "QUEUE_BACKOFF_MS": "40",
    "PROVIDER_TIMEOUT_MS": "2000",
    "PACELINE_LEASE_SLACK_MS": "1000",
}
"""Limits out of the way and short waits; each test sets what it is about."""


@dataclass
class World:
    """One tenant's view, the provider's, and ours."""

    call: Caller
    database: Database
    worker: Worker
    clock: Clock
    simulator: Simulator
    provider_url: str
    account_id: int

    async def control(self, **controls: Any) -> None:
        """Change the provider's behaviour."""
        async with self.call.session.patch(f"{self.provider_url}/control", json=controls) as answer:
            assert answer.status == 200, await answer.text()

    def provider(self, window_ms: int = 1000) -> Summary:
        """What the provider saw."""
        return summarise(self.simulator.log, window_ms)

    def provider_numbers(self) -> set[str]:
        """Whom the provider has accepted a message for."""
        log = self.simulator.log
        return {each.destination for each in log.acceptances()}

    async def audience(self, count: int, first: int = 0) -> None:
        """Import `count` contacts from a CSV file, as a user would."""
        rows = [f"+3069{10_000_000 + first + n},Name{first + n}" for n in range(count)]
        body = "\n".join(["phone,first_name", *rows])
        answer = await self.call("POST", "/api/contacts/import", data=body.encode())
        assert answer.status == 200, answer.text
        assert answer.json["imported"] == count

    async def draft(self, text: str = "Hello {{first_name}}") -> int:
        answer = await self.call("POST", "/api/campaigns", {"name": "Spring", "text": text})
        assert answer.status == 201, answer.text
        assert answer.json["status"] == "draft"
        return int(answer.json["id"])

    async def enqueue(self, campaign_id: int) -> dict[str, Any]:
        answer = await self.call("POST", f"/api/campaigns/{campaign_id}/enqueue")
        assert answer.status == 200, answer.text
        return dict(answer.json)

    async def started(self, count: int) -> int:
        """A campaign to `count` people, on its way."""
        await self.audience(count)
        campaign_id = await self.draft()
        await self.enqueue(campaign_id)
        return campaign_id

    async def status(self, campaign_id: int) -> dict[str, Any]:
        answer = await self.call("GET", f"/api/campaigns/{campaign_id}/status")
        assert answer.status == 200, answer.text
        return dict(answer.json)

    async def messages(self, campaign_id: int, **query: str) -> list[dict[str, Any]]:
        """All messages of a campaign, page by page."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            params = {"limit": "500", **query, **({"cursor": cursor} if cursor else {})}
            answer = await self.call("GET", f"/api/campaigns/{campaign_id}/messages", params=params)
            assert answer.status == 200, answer.text
            found += answer.json["data"]
            cursor = answer.json["next_cursor"]
            if cursor is None:
                return found

    async def until(
        self, campaign_id: int, holds: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        """Poll the status until `holds` does."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            status = await self.status(campaign_id)
            if holds(status):
                return status
            assert time.monotonic() < deadline, f"still {status} after {PATIENCE_S:g} s"
            await asyncio.sleep(0.01)

    async def completed(self, campaign_id: int) -> dict[str, Any]:
        return await self.until(campaign_id, lambda s: s["campaign"]["status"] == "completed")

    async def step(self) -> int:
        """Without the worker's loop: dispatch what is due at this moment; how many batches."""
        reservation = await self.database.write(
            turns.reserve,
            want=1000,
            lease_ms=self.worker.rules.lease_ms,
            pacing=self.worker.rules.pacing,
        )
        await asyncio.gather(
            *(self.worker.dispatcher.dispatch(batch) for batch in reservation.batches)
        )
        return len(reservation.batches)

    async def assert_the_numbers_are_true(self) -> None:
        assert await self.database.read(audit.differences) == []


@asynccontextmanager
async def world(
    database_url: str,
    *,
    controls: dict[str, Any] | None = None,
    clock: VirtualClock | None = None,
    **environ: str,
) -> AsyncIterator[World]:
    """A running world; under a virtual clock the worker's loop stands still, see `World.step`."""
    settings = load({"PACELINE_DEFAULT_COUNTRY": "GR", **FAST, **environ})
    database = opened(database_url, clock)
    simulator = Simulator(seed=1)
    worker = Worker(database, Rules.of(settings), clock or SystemClock())
    app = create_app(database, settings, wake=worker.wake)
    add_dashboard(app)
    async with (
        running(simulator) as provider_url,
        listening(app) as base,
        aiohttp.ClientSession() as session,
    ):
        account = await database.write(
            accounts.keep, name="provider", values=_account(provider_url)
        )
        tenant = await database.write(tenants.keep, "acme")
        _, key = await database.write(tenants.create_key, tenant.id, name="test")
        call = Caller(session, base, key, tenant.id)
        here = World(call, database, worker, worker.clock, simulator, provider_url, account.id)
        if controls:
            await here.control(**controls)
        loop = None if clock else asyncio.create_task(worker.run())
        try:
            yield here
        finally:
            worker.stop()
            await (loop or worker.adapters.aclose())
    database.close()


def _account(provider_url: str) -> dict[str, str]:
    return {
        "provider": "mitto",
        "base_url": provider_url,
        "external_id": "traffic-1",
        "api_key": "provider-secret",
        "sender": "Paceline",
    }
