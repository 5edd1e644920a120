"""One campaign that is sent while things go wrong, and what the provider's log says in the end.

The promises held against that log: nobody got a message twice, nothing is lost (sent + failed +
unconfirmed = total, every number that was accepted is sent or unconfirmed, every sent one was
accepted), the numbers add up at every read, no sliding window holds more calls than the limit, no
more is in doubt than was in flight when something went wrong, and once an operator has decided the
campaign is completed and the audit finds nothing.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, or_, select, update

from paceline.domain.outcome import OutcomeKind
from paceline.storage.schema import attempts, batches, campaigns, tenants, traffic_accounts
from tests.crash.installation import CONCURRENCY, PATIENCE_S, Installation, environ_of, provider

LATENCY_MS = 600
"""Of the provider; enough for nearly all places of a worker to be taken."""
_LIMIT = 6
_WINDOW_MS = 400
_DEFAULT_WINDOW_MS = 1000


@dataclass
class Report:
    """What a run showed; `broken` is empty when every promise held."""

    figures: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def require(self, promise: str, *, holds: bool) -> None:
        if not holds and promise not in self.broken:
            self.broken.append(promise)


def pacing(batch_size: int, *, timeout_ms: int = 2000) -> dict[str, str]:
    """A limit that binds, short leases, and a breaker that opens again soon.

    The window is short, because on SQLite nothing is sent in the first one after a start, and its
    margin wide, because the machine may be busy.
    """
    return {
        **environ_of(batch_size),
        "RATE_LIMIT_TENANT_MAX": str(_LIMIT),
        "RATE_LIMIT_TRAFFIC_ACCOUNT_MAX": str(_LIMIT),
        "RATE_LIMIT_TENANT_WINDOW_MS": str(_WINDOW_MS),
        "RATE_LIMIT_TRAFFIC_ACCOUNT_WINDOW_MS": str(_WINDOW_MS),
        "RATE_LIMIT_MARGIN_MS": str(_WINDOW_MS),
        "PROVIDER_TIMEOUT_MS": str(timeout_ms),
        "QUEUE_BACKOFF_MS": "100",
    }


@contextmanager
def installed(
    database_url: str, environ: Mapping[str, str], controls: Mapping[str, Any] | None = None
) -> Iterator[Installation]:
    """A Paceline of which no process runs yet; all of it is gone at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="paceline-crash-") as folder,
        provider(controls or {"latency_ms": LATENCY_MS}) as provider_url,
    ):
        installation = Installation(Path(folder), database_url, provider_url, **environ)
        try:
            installation.make_key()
            yield installation
        finally:
            installation.kill_all()


def start_campaign(installation: Installation, recipients: int) -> int:
    """Start a campaign to so many new contacts; its id."""
    rows = [f"+3069{10_000_000 + n},Name{n}" for n in range(recipients)]
    body = "\n".join(["phone,first_name", *rows]).encode()
    assert installation.ask("POST", "/api/contacts/import", body)["imported"] == recipients
    campaign = installation.ask(
        "POST", "/api/campaigns", {"name": "Crash", "text": "Hello {{first_name}}"}
    )
    installation.ask("POST", f"/api/campaigns/{campaign['id']}/enqueue")
    return int(campaign["id"])


def wait_for_calls(installation: Installation, count: int = 1, *, within_s: float = 60.0) -> bool:
    """Wait until the provider has had so many calls more than now; whether it has."""
    wanted = installation.calls() + count
    deadline = time.monotonic() + within_s
    while installation.calls() < wanted:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_work_left(installation: Installation, campaign_id: int) -> bool:
    """Whether something is queued that nobody doubts."""
    query = select(campaigns.c.queued > campaigns.c.unconfirmed).where(
        campaigns.c.id == campaign_id
    )
    return bool(installation.read(lambda connection: connection.execute(query).scalar_one()))


def judge(
    report: Report,
    installation: Installation,
    campaign_id: int,
    recipients: int,
    *,
    disturbed: Mapping[str, int],
) -> None:
    """Wait for the rest of the campaign and hold all of it against the provider's log.

    Args:
        report: where to say what is broken.
        installation: with a process that sends.
        campaign_id: the campaign.
        recipients: how many it has.
        disturbed: by worker's name, how often something went wrong for it.
    """
    wait_for_calls(installation, _LIMIT)
    _judge_window(report, installation)
    _hurry(installation)
    report.require("it comes to its end", holds=_settled(report, installation, campaign_id))
    _judge_messages(report, installation, campaign_id, recipients)
    _judge_doubt(report, installation, disturbed)
    _judge_calls(report, installation)
    installation.ask("POST", f"/api/campaigns/{campaign_id}/unconfirmed", {"action": "accept"})
    after = installation.status(campaign_id)["campaign"]
    report.require("completed after the decision", holds=after["status"] == "completed")
    ended = [process.end() for process in installation.processes if process.runs()]
    report.require("every process ends well", holds=not any(ended))
    report.require("the audit finds nothing", holds=installation.run("audit").returncode == 0)


def _hurry(installation: Installation) -> None:
    """Have the rest sent without limits, by a provider without latency: it is there only because
    nobody knows how much is sent while things go wrong.
    """

    def lift(connection: Connection) -> None:
        for table in (tenants, traffic_accounts):
            connection.execute(update(table).values(rate_max=1_000_000))

    installation.write(lift)
    quick = {"latency_ms": 0, "latency_jitter_ms": 0}
    installation.provider("/control", method="PATCH", body=json.dumps(quick).encode())


def _settled(report: Report, installation: Installation, campaign_id: int) -> bool:
    """Wait until nothing moves any more but by a decision; give up when for long nothing moves."""
    sent, deadline = -1, 0.0
    while True:
        status = installation.status(campaign_id)
        metrics = status["metrics"]
        report.require("the numbers add up", holds=_add_up(status["campaign"]["total"], metrics))
        if not status["campaign"]["launching"] and metrics["queued"] == metrics["unconfirmed"]:
            return True
        if metrics["sent"] != sent:
            sent, deadline = metrics["sent"], time.monotonic() + PATIENCE_S
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)


def _add_up(total: int, metrics: Mapping[str, int]) -> bool:
    return (
        metrics["queued"] + metrics["processed"] == total
        and metrics["sent"] + metrics["failed"] == metrics["processed"]
        and metrics["delivered"] <= metrics["sent"]
        and metrics["unconfirmed"] <= metrics["queued"]
    )


def _judge_messages(
    report: Report, installation: Installation, campaign_id: int, recipients: int
) -> None:
    metrics = installation.status(campaign_id)["metrics"]
    summary = json.loads(installation.provider("/log/summary"))
    accepted = {line["destination"] for line in installation.provider_log("/log")}
    sent = installation.numbers(campaign_id, "status=sent")
    unconfirmed = installation.numbers(campaign_id, "in_doubt=true")
    report.figures |= {
        "recipients": recipients,
        "sent": metrics["sent"],
        "failed": metrics["failed"],
        "unconfirmed": metrics["unconfirmed"],
        "accepted": summary["accepted"],
        "duplicates": summary["duplicates"],
    }
    report.require("nobody got it twice", holds=summary["accepted"] == len(accepted))
    settled = metrics["sent"] + metrics["failed"] + metrics["unconfirmed"]
    report.require("nothing is lost", holds=settled == recipients)
    report.require("accepted is sent or unconfirmed", holds=accepted <= sent | unconfirmed)
    report.require("sent is accepted", holds=sent <= accepted)
    report.require("nothing failed", holds=metrics["failed"] == 0)


def _judge_doubt(report: Report, installation: Installation, disturbed: Mapping[str, int]) -> None:
    """A worker makes so many calls at a time, and whenever it is disturbed no more are in doubt."""
    doubtful = installation.read(_doubtful_batches)
    in_flight = {worker: times * CONCURRENCY for worker, times in disturbed.items()}
    report.figures |= {
        "batches_in_doubt": sum(doubtful.values()),
        "workers_in_doubt": len(doubtful),
    }
    report.require(
        "no more in doubt than in flight",
        holds=all(count <= in_flight.get(worker, 0) for worker, count in doubtful.items()),
    )


def _judge_calls(report: Report, installation: Installation) -> None:
    """Nothing is submitted without a committed attempt."""
    query = select(func.count()).select_from(attempts)
    written = installation.read(lambda connection: connection.execute(query).scalar_one())
    report.figures |= {"calls": installation.calls(), "attempts": written}
    report.require("every call has its attempt", holds=report.figures["calls"] <= written)


def _doubtful_batches(connection: Connection) -> dict[str, int]:
    """By the worker that left them so."""
    no_answer = or_(attempts.c.outcome.is_(None), attempts.c.outcome == OutcomeKind.NO_ANSWER)
    rows = connection.execute(
        select(attempts.c.worker, func.count(attempts.c.batch_id.distinct()).label("doubtful"))
        .join(batches, batches.c.id == attempts.c.batch_id)
        .where(batches.c.in_doubt, no_answer)
        .group_by(attempts.c.worker)
    )
    return {row.worker: row.doubtful for row in rows}


def _judge_window(report: Report, installation: Installation) -> None:
    limit = int(installation.environ["RATE_LIMIT_TRAFFIC_ACCOUNT_MAX"])
    window_ms = installation.environ.get("RATE_LIMIT_TRAFFIC_ACCOUNT_WINDOW_MS", _DEFAULT_WINDOW_MS)
    summary = json.loads(installation.provider(f"/log/summary?window_ms={window_ms}"))
    fullest = summary["max_in_window"]
    report.figures |= {"limit": limit, "fullest_window": fullest}
    report.require("no window holds more than the limit", holds=fullest <= limit)
