"""The primary is lost in the middle of a campaign, and its synchronous standby takes over.

    python -m tests.failover --recipients 20000

Two workers, an API that takes receipts in, and two PostgreSQL servers. All processes of the primary
are killed at once and the standby is promoted; Paceline is not touched. The promises held against
the provider's own log: nobody gets a message twice, nothing is lost (sent + failed + unconfirmed =
total, and every number the provider accepted is sent or unconfirmed), no more is in doubt than was
in flight, every receipt that was answered 2xx is in the database, and once an operator has decided
the campaign is completed. Then the lost server becomes the new standby. Prints one JSON document
and exits 1 if a promise is broken.

`--cut-off-ms` parts the two servers for so long before: what is committed meanwhile never reaches
the standby, so nobody may act on it. With `--asynchronous` they do, and promises break.
`--returns-s` starts the lost server for so long as it was, as a machine without an operator would:
it can commit nothing, so whoever is led to it waits until it is gone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from benchmarks import program
from benchmarks.processes import served, working
from paceline.domain.message import Delivery
from paceline.settings import sqlalchemy_url
from paceline.storage import audit
from paceline.storage.database import Database
from paceline.storage.schema import messages, receipts
from tests.crash import fetch
from tests.faults_world import PATIENCE_S, Report, World, pacing, still, world
from tests.standby import Pair, ask, replicated

_WORKERS = 2
_CONCURRENCY = 5
_LATENCY_MS = 100
_RECEIPT_AFTER_MS = 200
_ON_ITS_WAY_S = 1.0
"""A call whose intent was committed is at the provider within this time, on a busy machine too."""
_WAITING_FOR_A_STANDBY = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
_FOLDED_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Loss:
    """When what happened, on the monotonic clock, in nanoseconds."""

    parted: int
    """The standby got nothing from then on."""
    promoting: int
    """It was told to take over then; nothing was committed anywhere since ``parted``."""


def failover(
    *,
    recipients: int,
    batch_size: int,
    calls_per_second: int,
    cut_off_ms: float = 0.0,
    synchronous: bool = True,
    returns_s: float = 0.0,
    rejoin: bool = True,
) -> Report:
    """Send a campaign through the loss of the primary."""
    report = Report({"synchronous": synchronous, "cut_off_ms": cut_off_ms})
    with (
        replicated(synchronous=synchronous) as pair,
        _paceline(pair, _environ(batch_size, calls_per_second)) as here,
    ):
        campaign_id = here.start(recipients)
        here.until(campaign_id, lambda metrics: metrics["sent"] >= recipients / 3)
        _count_before(report, here, campaign_id)
        loss = _lose_the_primary(report, pair, here, cut_off_ms / 1000)
        if returns_s:
            _let_the_lost_one_return(report, pair, here, returns_s)
        report.require("it comes to rest", holds=here.until(campaign_id, still))
        _judge(report, here, campaign_id, loss, _WORKERS * _CONCURRENCY * batch_size)
        _decide(report, here, campaign_id)
        _judge_end(report, here, campaign_id)
        if rejoin:
            pair.follow()
            pair.synchronise()
            report.figures["lost_server_follows"] = True
    return report


def _environ(batch_size: int, calls_per_second: int) -> dict[str, str]:
    """Leases are short enough to wait for."""
    return {
        **pacing(calls_per_second),
        "SMS_BATCH_SIZE": str(batch_size),
        "WORKER_CONCURRENCY": str(_CONCURRENCY),
        "PROVIDER_TIMEOUT_MS": "2000",
        "PACELINE_LEASE_SLACK_MS": "1000",
    }


@contextmanager
def _paceline(pair: Pair, environ: dict[str, str]) -> Iterator[World]:
    """Two workers and an API, on whichever server can be written to, and receipts on their way."""
    controls = {"latency_ms": _LATENCY_MS}
    url = pair.url_of(pair.primary.create_database())
    with (
        world(url, controls=controls, environ=environ, serving=False) as here,
        served(here.installation.environ, "api") as (here.installation.url, _),
        working(here.installation.environ),
        working(here.installation.environ),
    ):
        here.control(receipts={"url": here.webhook("dlr"), "delay_ms": _RECEIPT_AFTER_MS})
        yield here


def _count_before(report: Report, here: World, campaign_id: int) -> None:
    metrics, receipts_before = here.metrics(campaign_id), _tally(here)["delivered"]
    report.figures |= {"sent_before": metrics["sent"], "receipts_before": receipts_before}
    report.require("it is lost in the middle", holds=metrics["queued"] > 0)
    report.require("receipts were answered before", holds=receipts_before > 0)


def _lose_the_primary(report: Report, pair: Pair, here: World, cut_off_s: float) -> Loss:
    """Kill it, promote the standby, and wait until Paceline is there again."""
    if cut_off_s:
        pair.cut_off()
    parted = time.monotonic_ns()
    time.sleep(cut_off_s)  # how long it works on without its standby is the case itself
    pair.primary.kill()
    lost = time.monotonic()
    promoting = time.monotonic_ns()
    pair.fail_over()  # the workers may be sending again before this returns
    report.figures["promoted_after_s"] = round(time.monotonic() - lost, 2)
    report.require("the API comes back by itself", holds=_ready(here))
    report.figures["ready_after_s"] = round(time.monotonic() - lost, 2)
    return Loss(parted, promoting)


def _let_the_lost_one_return(report: Report, pair: Pair, here: World, seconds: float) -> None:
    """Workers that start now are led to it first."""
    with pair.lost_one_returns(), working(here.installation.environ):
        time.sleep(seconds)
        report.figures["led_to_the_lost_one"] = len(ask(pair.standby, _WAITING_FOR_A_STANDBY))
    report.require("somebody waited there", holds=report.figures["led_to_the_lost_one"] > 0)
    report.require("the API comes back again", holds=_ready(here))


def _ready(here: World) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            fetch(f"{here.installation.url}/readyz")
        except urllib.error.URLError:
            time.sleep(0.05)
        else:
            return True
    return False


def _judge(report: Report, here: World, campaign_id: int, loss: Loss, most_in_doubt: int) -> None:
    """Hold what Paceline says, at rest, against the provider's log."""
    metrics, summary = here.metrics(campaign_id), here.summary()
    total = here.installation.status(campaign_id)["campaign"]["total"]
    sent = here.installation.numbers(campaign_id, "status=sent")
    unconfirmed = here.installation.numbers(campaign_id, "in_doubt=true")
    accepted = here.accepted()
    calls = [call["received_ns"] for call in here.provider_log("/log/calls")]
    quiet_from = loss.parted + int(_ON_ITS_WAY_S * 1e9)
    uncommitted = sum(quiet_from < received < loss.promoting for received in calls)
    first = min((each for each in calls if each > loss.promoting), default=loss.promoting)
    report.figures |= {
        "sent_again_after_s": round((first - loss.promoting) / 1e9, 2),
        "calls_without_a_commit": uncommitted,
        "total": total,
        "sent": len(sent),
        "failed": metrics["failed"],
        "unconfirmed": len(unconfirmed),
        "unconfirmed_at_most": most_in_doubt,
        "accepted": summary["accepted"],
        "duplicates": summary["duplicates"],
    }
    settled = len(sent) + metrics["failed"] + len(unconfirmed)
    report.require("nobody got it twice", holds=summary["duplicates"] == 0)
    report.require("nothing is lost", holds=settled == total)
    report.require("nothing failed", holds=metrics["failed"] == 0)
    report.require("accepted is sent or unconfirmed", holds=accepted <= sent | unconfirmed)
    report.require("sent is accepted", holds=sent <= accepted)
    report.require("no more in doubt than in flight", holds=len(unconfirmed) <= most_in_doubt)
    report.require("no call without its commit", holds=uncommitted == 0)


def _decide(report: Report, here: World, campaign_id: int) -> None:
    """Ask the provider what it has of what is in doubt, and say so, as an operator would."""
    doubtful = here.installation.numbers(campaign_id, "in_doubt=true")
    action = "--resend" if doubtful.isdisjoint(here.accepted()) else "--accept"
    here.installation.paceline("campaign", "unconfirmed", str(campaign_id), action)
    report.figures["decision"] = action if doubtful else "none needed"
    completed = here.until(campaign_id, lambda metrics: metrics["queued"] == 0)
    status = here.installation.status(campaign_id)["campaign"]["status"]
    report.require("it is completed", holds=completed and status == "completed")


def _judge_end(report: Report, here: World, campaign_id: int) -> None:
    """Hold the receipts against the provider's log, and the counters against their rows."""
    answered = _receipts_end(here)
    here.until(
        campaign_id, lambda each: each["delivered"] == each["sent"], within_s=_FOLDED_WITHIN_S
    )
    url = sqlalchemy_url(here.installation.environ["DATABASE_URL"])
    with closing(Database(url)) as database:
        delivered, inbox = database.read_now(_receipts_kept, campaign_id)
        differences = database.read_now(audit.differences)
    log = here.provider_log("/log")
    lost = [
        line
        for line in log
        if line["destination"] not in delivered and line["message_id"] not in inbox
    ]
    summary = here.summary()
    report.figures |= {
        "accepted_in_the_end": summary["accepted"],
        "duplicates_in_the_end": summary["duplicates"],
        "receipts": len(log),
        "receipts_lost": len(lost),
    }
    report.require("nobody got it twice in the end", holds=summary["duplicates"] == 0)
    report.require("every receipt was answered 2xx", holds=answered)
    report.require("no receipt that was answered 2xx is lost", holds=not lost)
    report.require("every counter equals its rows", holds=not differences)


def _receipts_end(here: World) -> bool:
    """Wait for the last receipt to be posted; whether all were answered 2xx."""
    deadline = time.monotonic() + PATIENCE_S
    while (tally := _tally(here))["waiting"] and time.monotonic() < deadline:
        time.sleep(0.1)
    return (tally["waiting"], tally["abandoned"]) == (0, 0)


def _tally(here: World) -> dict[str, Any]:
    return dict(json.loads(here.installation.provider("/log/receipts")))


def _receipts_kept(connection: Connection, campaign_id: int) -> tuple[set[str], set[str]]:
    """The numbers of delivered messages, and the provider's ids of receipts in the inbox."""
    delivered = select(messages.c.phone).where(
        messages.c.campaign_id == campaign_id, messages.c.delivery == Delivery.DELIVERED
    )
    inbox = select(receipts.c.provider_message_id)
    return set(connection.execute(delivered).scalars()), set(connection.execute(inbox).scalars())


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.failover",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recipients", type=int, default=20_000)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--calls-per-second", type=int, default=20)
    parser.add_argument("--cut-off-ms", type=float, default=0)
    parser.add_argument("--returns-s", type=float, default=0)
    parser.add_argument("--asynchronous", action="store_true", help="what should not be done")
    chosen = parser.parse_args()
    return program.run(
        lambda: failover(
            recipients=chosen.recipients,
            batch_size=chosen.batch_size,
            calls_per_second=chosen.calls_per_second,
            cut_off_ms=chosen.cut_off_ms,
            synchronous=not chosen.asynchronous,
            returns_s=chosen.returns_s,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
