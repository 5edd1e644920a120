"""Kill a serving Paceline again and again, and let the provider's own log say what came of it.

    python -m tests.crash --kills 10 --database sqlite|postgres

The promises held against the log: nobody got a message twice, nothing is lost (sent + failed +
unconfirmed = total, and every number the provider accepted is sent or unconfirmed), no more is in
doubt than was in flight, and once an operator has decided the campaign is completed. Prints one
JSON document and exits 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.postgres import running_postgres

PATIENCE_S = 120.0
CONCURRENCY = 5


@dataclass
class Report:
    """What a run showed; `broken` is empty when every promise held."""

    kills: int = 0
    figures: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def require(self, promise: str, *, holds: bool) -> None:
        if not holds:
            self.broken.append(promise)


class Installation:
    """One Paceline with its database, driven as its users drive it: by processes and by HTTP."""

    def __init__(self, home: Path, database_url: str, provider_url: str, **environ: str) -> None:
        self.home = home
        self.provider_url = provider_url
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "DATABASE_URL": database_url,
            "MITTO_API_BASE": provider_url,
            "MITTO_API_KEY": "provider-secret",
            "SMS_TRAFFIC_ACCOUNT_ID": "traffic-1",
            "MITTO_SENDER": "Paceline",
            "PACELINE_PORT": "0",
            "PACELINE_DATA_DIR": str(home / "data"),
            **environ,
        }
        self.key = ""
        self.url = ""
        self.server: subprocess.Popen[str] | None = None

    def paceline(self, *words: str, expect: int = 0) -> str:
        """Run a command to its end; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "paceline", *words],
            env=self.environ,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == expect, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def serve(self) -> None:
        """Start the server and wait until it is ready."""
        port = _free_port()
        self.environ["PACELINE_PORT"] = str(port)
        self.url = f"http://127.0.0.1:{port}"
        with (self.home / "serve.log").open("a") as log:
            self.server = subprocess.Popen(
                [sys.executable, "-m", "paceline", "serve"],
                env=self.environ,
                cwd=self.home,
                stdout=log,
                stderr=log,
                text=True,
            )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(OSError):
                fetch(f"{self.url}/readyz")
                return
            assert self.server.poll() is None, (self.home / "serve.log").read_text()[-3000:]
            assert time.monotonic() < deadline, "the server is never ready"
            time.sleep(0.02)

    def end(self, how: int = signal.SIGTERM) -> int:
        """Send the server a signal and wait for its end; return its exit status."""
        assert self.server is not None
        self.server.send_signal(how)
        return self.server.wait(PATIENCE_S)

    def ask(self, method: str, path: str, body: bytes | dict[str, Any] | None = None) -> Any:
        """Call the API as the tenant."""
        headers = {"Authorization": f"Bearer {self.key}"}
        if isinstance(body, dict):
            headers["Content-Type"] = "application/json"
            body = json.dumps(body).encode()
        return json.loads(fetch(self.url + path, method=method, body=body, headers=headers))

    def status(self, campaign_id: int) -> dict[str, Any]:
        return dict(self.ask("GET", f"/api/campaigns/{campaign_id}/status"))

    def numbers(self, campaign_id: int, query: str) -> set[str]:
        """The recipients of the messages that fit `query`."""
        found: set[str] = set()
        cursor = ""
        while True:
            path = f"/api/campaigns/{campaign_id}/messages?limit=500&{query}{cursor}"
            page = self.ask("GET", path)
            found |= {message["to"] for message in page["data"]}
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    def provider(self, path: str) -> bytes:
        return fetch(self.provider_url + path)


def fetch(
    url: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    request = urllib.request.Request(url, data=body, method=method, headers=dict(headers or {}))
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def crash(
    installation: Installation, *, kills: int, recipients: int, batch_size: int, seed: int
) -> Report:
    """Run a campaign through `kills` kills and hold the outcome against the provider's log."""
    chance = random.Random(seed)
    report = Report()
    installation.key = json.loads(
        installation.paceline("key", "create", "--tenant", "acme", "--json")
    )["key"]
    installation.serve()
    campaign_id = _start_campaign(installation, recipients)
    for _ in range(kills):
        time.sleep(chance.uniform(0.05, 0.7))
        installation.end(signal.SIGKILL)
        report.kills += 1
        installation.serve()
    status = _settled(installation, campaign_id)
    _judge(report, installation, campaign_id, status, kills * CONCURRENCY * batch_size)
    installation.paceline("campaign", "unconfirmed", str(campaign_id), "--accept")
    after = installation.status(campaign_id)["campaign"]
    report.require("completed after the decision", holds=after["status"] == "completed")
    installation.end()
    installation.paceline("audit")
    return report


def _start_campaign(installation: Installation, recipients: int) -> int:
    rows = [f"+3069{10_000_000 + n},Name{n}" for n in range(recipients)]
    body = "\n".join(["phone,first_name", *rows]).encode()
    assert installation.ask("POST", "/api/contacts/import", body)["imported"] == recipients
    campaign = installation.ask(
        "POST", "/api/campaigns", {"name": "Crash", "text": "Hello {{first_name}}"}
    )
    installation.ask("POST", f"/api/campaigns/{campaign['id']}/enqueue")
    return int(campaign["id"])


def _settled(installation: Installation, campaign_id: int) -> dict[str, Any]:
    """Wait until nothing moves any more but by a decision."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        status = installation.status(campaign_id)
        campaign, metrics = status["campaign"], status["metrics"]
        if not campaign["launching"] and metrics["queued"] == metrics["unconfirmed"]:
            return status
        assert time.monotonic() < deadline, f"never settled: {status}"
        time.sleep(0.1)


def _judge(
    report: Report,
    installation: Installation,
    campaign_id: int,
    status: dict[str, Any],
    most_in_flight: int,
) -> None:
    metrics, total = status["metrics"], status["campaign"]["total"]
    summary = json.loads(installation.provider("/log/summary"))
    accepted = {
        json.loads(line)["destination"] for line in installation.provider("/log").splitlines()
    }
    sent = installation.numbers(campaign_id, "status=sent")
    unconfirmed = installation.numbers(campaign_id, "in_doubt=true")
    report.figures = {
        "total": total,
        "sent": metrics["sent"],
        "failed": metrics["failed"],
        "unconfirmed": metrics["unconfirmed"],
        "accepted": summary["accepted"],
        "duplicates": summary["duplicates"],
    }
    report.require("nobody got it twice", holds=summary["duplicates"] == 0)
    settled = metrics["sent"] + metrics["failed"] + metrics["unconfirmed"]
    report.require("nothing is lost", holds=settled == total)
    report.require("accepted is sent or unconfirmed", holds=accepted <= sent | unconfirmed)
    report.require("sent is accepted", holds=sent <= accepted)
    report.require("no more in doubt than in flight", holds=len(unconfirmed) <= most_in_flight)
    report.require("nothing failed", holds=metrics["failed"] == 0)


@contextlib.contextmanager
def provider(controls: Mapping[str, Any]) -> Iterator[str]:
    """A simulator in its own process; the URL."""
    command = [sys.executable, "-m", "paceline.simulator", "--port", "0"]
    with subprocess.Popen(
        [*command, "--controls", json.dumps(controls)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


@contextlib.contextmanager
def database(kind: str, home: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if kind == "sqlite":
        yield f"sqlite:///{home / 'paceline.db'}"
        return
    with running_postgres() as server:
        yield server.create_database()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--recipients", type=int, default=20_000)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="paceline-crash-") as folder,
        database(chosen.database, Path(folder)) as url,
        provider({"latency_ms": 150}) as provider_url,
    ):
        installation = Installation(
            Path(folder), url, provider_url, **environ_of(chosen.batch_size)
        )
        try:
            report = crash(
                installation,
                kills=chosen.kills,
                recipients=chosen.recipients,
                batch_size=chosen.batch_size,
                seed=chosen.seed,
            )
        finally:
            if installation.server is not None and installation.server.poll() is None:
                installation.end(signal.SIGKILL)
    print(json.dumps({"database": chosen.database, **report.__dict__}, indent=2))
    return 1 if report.broken else 0


def environ_of(batch_size: int) -> dict[str, str]:
    """Limits of 1000/s, and leases short enough to wait for."""
    return {
        "SMS_BATCH_SIZE": str(batch_size),
        "WORKER_CONCURRENCY": str(CONCURRENCY),
        "RATE_LIMIT_TENANT_MAX": "1000",
        "RATE_LIMIT_TRAFFIC_ACCOUNT_MAX": "1000",
        "PROVIDER_TIMEOUT_MS": "2000",
        "PACELINE_LEASE_SLACK_MS": "1000",
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
