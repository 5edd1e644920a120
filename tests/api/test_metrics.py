"""The metrics page: true numbers, no names, and there when the database is not."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest

from paceline.api import metrics
from paceline.clock import VirtualClock
from paceline.domain.outcome import OutcomeKind
from paceline.engine.rules import Rules
from paceline.engine.worker import SILENT_S, Worker
from paceline.settings import load, sqlalchemy_url
from paceline.storage import accounts, measures, migrate
from paceline.storage.database import Database
from tests.acceptance.world import PATIENCE_S, World, world
from tests.api.scraping import Scrape, scrape
from tests.api.serving import Api, Caller, serving

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture
def uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scrape asks the database anew."""
    monkeypatch.setattr(metrics, "KEPT_S", 0)


def risen(after: Scrape, before: Scrape, name: str, **labels: str) -> float:
    return (after.value(name, **labels) or 0) - (before.value(name, **labels) or 0)


def all_counted(after: Scrape, before: Scrape, messages: int, batches: int) -> bool:
    names = ("paceline_messages_sent_total", "paceline_messages_failed_total")
    dispatched = risen(after, before, "paceline_dispatch_duration_seconds_count")
    return sum(risen(after, before, each) for each in names) >= messages and dispatched >= batches


@pytest.mark.usefixtures("uncached")
async def test_a_campaign_shows_in_the_counters(database_url: str) -> None:
    limits: dict[str, Any] = {"RATE_LIMIT_TENANT_MAX": "3", "RATE_LIMIT_TENANT_WINDOW_MS": "100"}
    async with world(database_url, SMS_BATCH_SIZE="10", **limits) as w:
        await w.control(reject_destinations=["+306910000000"])
        before = await scrape(w.call)
        campaign_id = await w.started(100)
        await w.completed(campaign_id)
        async with asyncio.timeout(PATIENCE_S):  # what has been recorded is counted a moment later
            while not all_counted(after := await scrape(w.call), before, 100, 10):
                pass
        counters = (await w.status(campaign_id))["metrics"]
    for name, seen in [("sent", counters["sent"]), ("failed", counters["failed"])]:
        assert risen(after, before, f"paceline_messages_{name}_total") == seen
    assert counters["failed"] == 1
    assert risen(after, before, "paceline_submissions_total", outcome="answered") == 10
    void = risen(after, before, "paceline_void_permits_total")
    assert risen(after, before, "paceline_permits_total") == 10 + void
    assert risen(after, before, "paceline_waits_total", cause="tenant_limit") > 0
    assert risen(after, before, "paceline_provider_call_duration_seconds_count") == 10
    assert risen(after, before, "paceline_dispatch_duration_seconds_count") >= 10
    assert after.value("paceline_campaigns", status="completed") == 1
    assert after.value("paceline_batches", status="queued") == 0


@pytest.mark.usefixtures("uncached")
async def test_doubt_and_a_paused_campaign_show_in_the_gauges(database_url: str) -> None:
    clock = VirtualClock(int(time.time() * 1000))
    async with world(database_url, clock=clock, SMS_BATCH_SIZE="30") as w:
        await w.started(30)
        await launched(w)
        clock.advance(60)
        shown = await scrape(w.call)
        assert shown.value("paceline_batches", status="queued") == 1
        assert shown.value("paceline_oldest_queued_seconds") == pytest.approx(60, abs=1)
        await w.control(drop_after_share=1)
        assert await w.step() == 1
        clock.advance(60)
        shown = await scrape(w.call)
        assert shown.value("paceline_messages_unconfirmed") == 30
        assert shown.value("paceline_batches", status="unconfirmed") == 1
        await w.control(drop_after_share=0)
        await w.call("POST", "/api/campaigns/1/unconfirmed", {"action": "resend"})
        await w.call("POST", "/api/campaigns/1/pause")
        clock.advance(600)
        shown = await scrape(w.call)
        assert shown.value("paceline_messages_unconfirmed") == 0
        assert shown.value("paceline_batches", status="queued") == 1
        assert shown.value("paceline_oldest_queued_seconds") == 0


async def launched(w: World) -> None:
    await w.until(1, lambda status: not status["campaign"]["launching"])


async def test_held_and_closed_accounts_and_used_limits_show(api: Api) -> None:
    at = int(time.time() * 1000)
    await api.database.write(
        accounts.change,
        api.account.id,
        {
            "held_at": at,
            "closed_until": at + 60_000,
            "rate_max": 4,
            "rate_window_ms": 60_000,
            "grants": f"[{at},1]",
        },
    )
    shown = await scrape(api.nobody)
    account = str(api.account.id)
    assert shown.value("paceline_account_held", account_id=account) == 1
    assert shown.value("paceline_account_closed", account_id=account) == 1
    assert shown.value("paceline_account_limit_used_ratio", account_id=account) == 0.25
    assert shown.value("paceline_tenant_limit_used_ratio") == 0


async def test_requests_are_counted_by_the_template_of_their_route(api: Api, call: Caller) -> None:
    before = await scrape(api.nobody)
    await call("GET", "/api/campaigns/4711")
    await api.nobody("POST", "/webhooks/mitto/very-secret/dlr", {})
    await api.nobody("GET", "/private-name")
    await api.nobody("PROPFIND", "/healthz")
    answer = await api.nobody("GET", "/metrics")
    after = await scrape(api.nobody)
    for labels in [
        {"method": "GET", "route": "/api/campaigns/{campaign_id}", "status": "404"},
        {"method": "POST", "route": "/webhooks/{provider}/{token}/dlr", "status": "404"},
        {"method": "GET", "route": "none", "status": "404"},
        {"method": "other", "route": "/healthz", "status": "405"},
    ]:
        assert risen(after, before, "paceline_http_requests_total", **labels) == 1, labels
    assert not re.search("4711|very-secret|private-name|PROPFIND|acme", answer.text)


async def test_the_database_is_asked_once_however_many_scrape(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def counted(*args, **kwargs):
        asked.append(1)
        return original(*args, **kwargs)

    original = measures.measure
    monkeypatch.setattr(measures, "measure", counted)
    await asyncio.gather(*(scrape(api.nobody) for _ in range(20)))
    assert len(asked) == 1


@pytest.mark.usefixtures("uncached")
async def test_without_a_database_the_process_still_tells_what_it_did(
    postgres_url: str, postgres_server
) -> None:
    async with serving(postgres_url) as api:
        assert (await scrape(api.nobody)).value("paceline_database_up") == 1
        postgres_server.drop_database(postgres_url)
        shown = await scrape(api.nobody)
        assert shown.value("paceline_database_up") == 0
        assert "paceline_batches" not in shown.families
        assert shown.value("paceline_permits_total") is not None


async def test_every_metric_is_in_the_handbook_and_the_other_way_round(
    api: Api, call: Caller
) -> None:
    shown = await scrape(call)
    rows = re.findall(
        r"^\| `(paceline_\w+)` \| (\w+) \| (.*?) \|", OPERATIONS.read_text(), re.MULTILINE
    )
    documented = {
        (name.removesuffix("_total"), kind, frozenset(re.findall("`([^`]+)`", labels)))
        for name, kind, labels in rows
    }
    exposed = {
        (family.name, family.type, frozenset(shown.labels(family.name)))
        for family in shown.families.values()
        if not family.name.startswith("process_")
    }
    assert documented == exposed
    assert len(rows) == len(documented)


async def test_what_could_happen_is_there_before_it_happens(api: Api) -> None:
    shown = await scrape(api.nobody)
    for kind in OutcomeKind:
        there = shown.value("paceline_submissions_total", outcome=kind) is not None
        assert there is (kind is not OutcomeKind.VOID)


async def test_a_schema_of_another_version_is_named_by_readyz(database_url: str) -> None:
    async with serving(database_url) as api:
        migrate.downgrade(api.database)
        answer = await api.nobody("GET", "/readyz")
    assert (answer.status, answer.json["errors"][0]["field"]) == (503, "schema")


def test_a_worker_that_looks_for_nothing_any_more_says_so(tmp_path: Path) -> None:
    clock = VirtualClock()
    database = Database(sqlalchemy_url(f"sqlite:///{tmp_path}/paceline.db"))
    worker = Worker(database, Rules.of(load({})), clock)
    assert worker.state() is None
    clock.advance(SILENT_S + 1)
    assert worker.state() == "The worker is silent for 16 s."
    worker.stop()
    assert worker.state() == "The worker is stopping."
    database.close()
