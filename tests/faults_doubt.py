"""Calls of which nobody knows what came of them: a fifth of all, each of which was accepted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select

from paceline.domain.message import BatchStatus
from paceline.storage import audit
from paceline.storage.schema import batches
from tests.faults_world import Report, World, pacing, still, world

FAULTS = ("drop_after", "fail_after", "short_answer", "slow")
SHARE = 0.05
"""Of each fault."""
REJECTED_SHARE = 0.01
_PROVEN = ("rejected", "attempts_exhausted")
"""What a message fails for: the provider said no, or said that it does not know the last try."""
_TIMEOUT_MS = 1500
_SETTLED_WITHIN_S = 60.0


@dataclass(frozen=True)
class Mode:
    """What the provider can do about doubt, and what its account says so."""

    controls: Mapping[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    server_error: str = "retry"

    @property
    def proves(self) -> bool:
        """Whether doubt ends without a receipt and without an operator who knows better."""
        return bool(self.options)


MODES = {
    "dedupe": Mode({"deduplicate": True, "lookup": False}, ("deduplicates=true",)),
    "lookup": Mode({"lookup": True}, ("looks_up=true",)),
    "neither": Mode({"lookup": False}, server_error="hold"),
}


def doubt(
    database_url: str, *, mode_name: str, receipts: bool, messages: int, batch_size: int
) -> Report:
    """Send a campaign through the faults and hold the outcome against the provider's log."""
    mode = MODES[mode_name]
    shares = {f"{fault}_share": SHARE for fault in FAULTS}
    controls = {**mode.controls, **shares, "slow_ms": 3 * _TIMEOUT_MS, "latency_ms": 5}
    with world(
        database_url,
        controls={**controls, "reject_share": REJECTED_SHARE},
        environ=_environ(batch_size),
        options=mode.options,
        server_error=mode.server_error,
    ) as here:
        report = Report({"mode": mode_name, "receipts": receipts})
        if receipts:
            here.control(receipts={"url": here.webhook("dlr"), "echo_reference": True})
        campaign_id = here.start(messages)
        report.require("it comes to rest", holds=here.until(campaign_id, still))
        here.control(**dict.fromkeys(shares, 0))
        _judge_size(report, here, campaign_id, batch_size)
        if mode.proves:
            _decide_and_wait(report, here, campaign_id)
        elif receipts:
            _wait_for_receipts(report, here, campaign_id)
        _judge(report, here, campaign_id, messages)
        differences = here.database.read_now(audit.differences)
        report.require("every counter equals its rows", holds=not differences)
        return report


def _environ(batch_size: int) -> dict[str, str]:
    return {
        **pacing(1000),
        "SMS_BATCH_SIZE": str(batch_size),
        "WORKER_CONCURRENCY": "10",
        "PROVIDER_TIMEOUT_MS": str(_TIMEOUT_MS),
        "PACELINE_LEASE_SLACK_MS": "500",
        "CONFIRM_WINDOW_MS": "1000",
        "QUEUE_BACKOFF_MS": "50",
        "QUEUE_ATTEMPTS": "2",  # so that some run out of tries while in doubt
    }


def _judge_size(report: Report, here: World, campaign_id: int, batch_size: int) -> None:
    """Hold the doubt at its largest against what may be in doubt."""
    calls = here.summary()["calls_by_fault"]
    doubtful_calls = sum(calls.get(fault, 0) for fault in FAULTS)
    unconfirmed = here.metrics(campaign_id)["unconfirmed"]
    report.figures |= {"doubtful_calls": doubtful_calls, "unconfirmed_at_rest": unconfirmed}
    report.require("the faults happened", holds=doubtful_calls > 0)
    report.require(
        "no more is in doubt than was in doubtful calls",
        holds=unconfirmed <= doubtful_calls * batch_size,
    )


def _decide_and_wait(report: Report, here: World, campaign_id: int) -> None:
    """Let everything be tried and asked, then resend what is left: nobody may get it twice."""
    tried = here.until(
        campaign_id, lambda _: not here.database.read_now(_to_do), within_s=_SETTLED_WITHIN_S
    )
    report.require("what can be tried and asked is", holds=tried)
    decided = here.installation.paceline(
        "campaign", "unconfirmed", str(campaign_id), "--resend", "--json"
    )
    report.figures["resent"] = json.loads(decided)["messages"]
    settled = here.until(campaign_id, lambda m: m["queued"] == 0, within_s=_SETTLED_WITHIN_S)
    report.require("all doubt ends", holds=settled)


def _to_do(connection: Connection) -> int:
    """How many batches are not done with and wait for something else than a decision."""
    waiting = batches.c.status.not_in([BatchStatus.DONE, BatchStatus.UNCONFIRMED])
    query = select(func.count()).select_from(batches)
    query = query.where(waiting | batches.c.confirm_at.is_not(None))
    return int(connection.execute(query).scalar_one())


def _wait_for_receipts(report: Report, here: World, campaign_id: int) -> None:
    """What the provider accepted is confirmed by its receipt; what it did not stays in doubt."""
    never_accepted = here.metrics(campaign_id)["sent"] + here.metrics(campaign_id)["unconfirmed"]
    accepted = len(here.accepted())
    settled = here.until(campaign_id, lambda m: m["sent"] == accepted, within_s=_SETTLED_WITHIN_S)
    report.require("what was accepted is confirmed by its receipt", holds=settled)
    report.figures["never_accepted"] = never_accepted - accepted


def _judge(report: Report, here: World, campaign_id: int, messages: int) -> None:
    installation = here.installation
    metrics, summary = here.metrics(campaign_id), here.summary()
    accepted = here.accepted()
    sent = installation.numbers(campaign_id, "status=sent")
    failed = installation.numbers(campaign_id, "status=failed")
    proven = set().union(
        *(installation.numbers(campaign_id, f"status=failed&reason={reason}") for reason in _PROVEN)
    )
    unconfirmed = installation.numbers(campaign_id, "in_doubt=true")
    report.figures |= {
        "total": messages,
        "sent": len(sent),
        "failed": len(failed),
        "unconfirmed": len(unconfirmed),
        "accepted": summary["accepted"],
        "duplicates": summary["duplicates"],
        "calls_by_fault": summary["calls_by_fault"],
    }
    if summary["duplicates"]:
        report.figures["first_duplicates"] = here.provider_log("/log/duplicates")[:3]
    report.require("nobody got it twice", holds=summary["duplicates"] == 0)
    report.require("nothing is lost", holds=len(sent) + len(failed) + len(unconfirmed) == messages)
    report.require("accepted is sent or unconfirmed", holds=accepted <= sent | unconfirmed)
    report.require("sent is accepted", holds=sent <= accepted)
    report.require("failed is proven not to be accepted", holds=failed == proven - accepted)
    report.require(
        "the number in doubt is the list of those in doubt",
        holds=metrics["unconfirmed"] == len(unconfirmed),
    )
