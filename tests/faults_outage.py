"""The provider is down in the middle of a campaign, for everybody and for a while."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import func, select

from paceline.domain.retry import RetryPolicy
from paceline.storage.schema import batches
from tests.faults_world import Report, World, pacing, still, world

KINDS: dict[str, dict[str, Any]] = {
    "refuse": {"kind": "refuse"},
    "503": {"kind": "status", "status": 503},
    "401": {"kind": "status", "status": 401},
    "reset": {"kind": "reset"},
    "reset_after": {"kind": "reset", "accept": True},
}
LEAST_QUEUED = 100
"""Batches, so that it would show if an outage burnt the tries of what waits."""
_CONCURRENCY = 5
_ON_ITS_WAY_S = 15.0
"""For a probe that is due, beside the wait for it."""


def outage(
    database_url: str,
    *,
    outage_kind: str,
    seconds: float,
    recipients: int,
    batch_size: int,
    calls_per_second: int,
    backoff_ms: int,
) -> Report:
    """Send a campaign through the outage and hold the outcome against the provider's log."""
    retry = RetryPolicy(backoff_ms=backoff_ms)
    with world(
        database_url,
        controls={"latency_ms": 100},
        environ={
            **pacing(calls_per_second),
            "SMS_BATCH_SIZE": str(batch_size),
            "WORKER_CONCURRENCY": str(_CONCURRENCY),
            "QUEUE_BACKOFF_MS": str(backoff_ms),
            "PROVIDER_TIMEOUT_MS": "5000",
        },
    ) as here:
        report = Report({"kind": outage_kind, "seconds": seconds})
        campaign_id = here.start(recipients)
        here.until(campaign_id, lambda m: m["sent"] >= recipients / 20)
        queued = here.metrics(campaign_id)["queued"] // batch_size
        report.figures["batches_queued"] = queued
        report.require(f"{LEAST_QUEUED} batches wait", holds=queued >= LEAST_QUEUED)
        span = _be_down(here, outage_kind, seconds)
        _judge_calls(report, here, span, retry)
        if outage_kind == "401":
            _release(report, here, span[1])
        longest_s = retry.delay_ms(retry.attempts) / 1000
        _judge_return(report, here, campaign_id, span[1], longest_s + _ON_ITS_WAY_S)
        _judge(report, here, campaign_id, recipients)
        return report


def _be_down(here: World, outage_kind: str, seconds: float) -> tuple[int, int]:
    """Let the outage begin and end; when it did, in monotonic nanoseconds."""
    began = time.monotonic_ns()
    document = {**KINDS[outage_kind], "for_ms": seconds * 1000}
    here.tell_provider("POST", "/outage", document)
    time.sleep(seconds)
    return began, time.monotonic_ns()


def _judge_calls(report: Report, here: World, span: tuple[int, int], retry: RetryPolicy) -> None:
    """One probe at a time, ever more seldom, beside the calls that were in flight."""
    began, ended = span
    met = [
        call
        for call in _calls_when_back(here)
        if began <= call["received_ns"] <= ended and call["fault"] != "ok"
    ]
    probes = _most_probes((ended - began) / 1e6, retry)
    report.figures |= {"calls_in_the_outage": len(met), "probes_at_most": probes}
    report.require("one probe at a time", holds=len(met) <= _CONCURRENCY + probes)


def _calls_when_back(here: World) -> list[dict[str, Any]]:
    """The provider's calls, as soon as its port is open again."""
    for _ in range(100):
        try:
            return here.provider_log("/log/calls")
        except OSError:
            time.sleep(0.05)
    raise TimeoutError("the provider did not come back")


def _most_probes(span_ms: float, retry: RetryPolicy) -> int:
    """How often the breaker may look within so long, with its waits from the first failure on."""
    probes, due = 0, 0.0
    while (due := due + retry.delay_ms(min(probes + 1, retry.attempts))) <= span_ms:
        probes += 1
    return probes


def _release(report: Report, here: World, ended: int) -> None:
    """What a wrong key has stopped stays so until an operator says that it is mended."""
    early = [call for call in here.provider_log("/log/calls") if call["received_ns"] > ended]
    report.require("a held account stays held", holds=not early)
    here.installation.paceline("account", "release", str(here.account_id))


def _judge_return(
    report: Report, here: World, campaign_id: int, ended: int, within_s: float
) -> None:
    began_again = here.until(
        campaign_id, lambda _: _first_accepted(here, ended) is not None, within_s=within_s
    )
    report.require("it goes on by itself", holds=began_again)
    if (first := _first_accepted(here, ended)) is not None:
        report.figures["resumed_after_s"] = round((first - ended) / 1e9, 2)
    report.require("it comes to its end", holds=here.until(campaign_id, still))


def _first_accepted(here: World, after: int) -> int | None:
    calls = here.provider_log("/log/calls")
    times = (c["received_ns"] for c in calls if c["received_ns"] > after and c["status"] == 200)
    return next(times, None)


def _judge(report: Report, here: World, campaign_id: int, recipients: int) -> None:
    metrics, summary = here.metrics(campaign_id), here.summary()
    doubtful = here.database.read_now(
        lambda connection: connection.execute(
            select(func.count()).select_from(batches).where(batches.c.in_doubt)
        ).scalar_one()
    )
    report.figures |= {
        "sent": metrics["sent"],
        "failed": metrics["failed"],
        "unconfirmed": metrics["unconfirmed"],
        "batches_in_doubt": doubtful,
        "accepted": summary["accepted"],
        "distinct": summary["distinct"],
        "calls_by_fault": summary["calls_by_fault"],
    }
    met = report.figures["calls_in_the_outage"]
    in_flight = _CONCURRENCY if report.figures["kind"] == "refuse" else 0
    report.require("no message failed for it", holds=metrics["failed"] == 0)
    report.require("one batch in doubt for each call at most", holds=doubtful <= met + in_flight)
    report.require("nobody got it twice", holds=summary["accepted"] == summary["distinct"])
    report.require(
        "everybody else got it", holds=metrics["sent"] + metrics["unconfirmed"] == recipients
    )
    if report.figures["kind"] in {"503", "401"}:
        report.require("an answer leaves no doubt", holds=metrics["unconfirmed"] == 0)
