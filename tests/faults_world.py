"""What the fault programs stand on: a serving Paceline, its database and a provider with faults.

The provider is the simulator in a process of its own, and its log is the judge.
"""

from __future__ import annotations

import json
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import select

from benchmarks.processes import Client
from paceline.settings import sqlalchemy_url
from paceline.storage.database import Database
from paceline.storage.schema import traffic_accounts
from tests.crash import Installation, provider

TEXT = "Hello {{first_name}}"
PATIENCE_S = 180.0
_POLL_S = 0.1
_ENVIRON = {
    "PACELINE_LOG_LEVEL": "warning",
    # Not set: the account here is at the simulator.
    "MITTO_API_KEY": "",
    "SMS_TRAFFIC_ACCOUNT_ID": "",
    "MITTO_SENDER": "",
}


@dataclass
class Report:
    """What a run showed; `broken` is empty when every promise held."""

    figures: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def require(self, promise: str, *, holds: bool) -> None:
        if not holds:
            self.broken.append(promise)


@dataclass
class World:
    """One tenant's Paceline with one account at the simulator, and the simulator."""

    installation: Installation
    database: Database
    account_id: int

    def control(self, **changes: Any) -> None:
        """Change the provider's controls."""
        self.tell_provider("PATCH", "/control", changes)

    def tell_provider(self, method: str, path: str, document: Mapping[str, Any]) -> bytes:
        with Client(self.installation.provider_url) as client:
            return client.call(method, path, json.dumps(document).encode(), "application/json")

    def provider_log(self, path: str) -> list[dict[str, Any]]:
        """The records at one of the provider's log routes."""
        return [json.loads(line) for line in self.installation.provider(path).splitlines()]

    def summary(self) -> dict[str, Any]:
        return dict(json.loads(self.installation.provider("/log/summary")))

    def accepted(self) -> set[str]:
        """The numbers that the provider accepted the campaign's text for."""
        return {line["destination"] for line in self.provider_log("/log")}

    def webhook(self, kind: Literal["dlr", "inbound"]) -> str:
        """Where the provider posts receipts or replies."""
        query = select(traffic_accounts.c.webhook_token).where(
            traffic_accounts.c.id == self.account_id
        )
        token = self.database.read_now(lambda connection: connection.execute(query).scalar_one())
        return f"{self.installation.url}/webhooks/simulator/{token}/{kind}"

    def start(self, recipients: int) -> int:
        """Start a campaign to so many new contacts; its id."""
        rows = [f"{number},Name" for number in numbers(recipients)]
        body = "\n".join(["phone,first_name", *rows]).encode()
        imported = self.installation.ask("POST", "/api/contacts/import", body)["imported"]
        assert imported == recipients, f"{imported} contacts imported"
        campaign = {"name": "Faults", "text": TEXT, "traffic_account_id": self.account_id}
        made = self.installation.ask("POST", "/api/campaigns", campaign)
        self.installation.ask("POST", f"/api/campaigns/{made['id']}/enqueue")
        return int(made["id"])

    def until(
        self,
        campaign_id: int,
        holds: Callable[[Mapping[str, int]], bool],
        *,
        within_s: float = PATIENCE_S,
    ) -> bool:
        """Wait until the launched campaign's metrics are as they should be; whether they are."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            status = self.installation.status(campaign_id)
            if not status["campaign"]["launching"] and holds(status["metrics"]):
                return True
            time.sleep(_POLL_S)
        return False

    def metrics(self, campaign_id: int) -> dict[str, int]:
        return dict(self.installation.status(campaign_id)["metrics"])


def numbers(count: int) -> list[str]:
    """The recipients of a campaign of this size."""
    return [f"+3069{10_000_000 + n}" for n in range(count)]


def sample(count: int, out_of: int, seed: int) -> list[str]:
    """Some of these recipients, in no order."""
    return random.Random(seed).sample(numbers(out_of), count)


def still(metrics: Mapping[str, int]) -> bool:
    """Nothing moves any more but by proof or by a decision."""
    return metrics["queued"] == metrics["unconfirmed"]


@contextmanager
def world(
    database_url: str,
    *,
    controls: Mapping[str, Any],
    environ: Mapping[str, str],
    options: Sequence[str] = (),
    server_error: str = "retry",
    serving: bool = True,
) -> Iterator[World]:
    """A Paceline, not yet sending anything; all of it is gone at the end.

    Args:
        database_url: of an empty database.
        controls: of the provider.
        environ: of every process of Paceline's.
        options: of the account, each as `name=value`.
        server_error: of the account.
        serving: start `paceline serve`; if not, whoever asks starts what is needed.
    """
    with (
        tempfile.TemporaryDirectory(prefix="paceline-faults-") as folder,
        provider(controls) as provider_url,
    ):
        installation = Installation(Path(folder), database_url, provider_url, **_ENVIRON, **environ)
        made = installation.paceline("key", "create", "--tenant", "acme", "--json")
        installation.key = json.loads(made)["key"]
        account_id = _add_account(installation, options, server_error)
        ours = Database(sqlalchemy_url(database_url))
        try:
            if serving:
                installation.serve()
            yield World(installation, ours, account_id)
        finally:
            ours.close()
            if installation.server is not None and installation.server.poll() is None:
                installation.end(signal.SIGKILL)


def _add_account(installation: Installation, options: Sequence[str], server_error: str) -> int:
    shown = installation.paceline(
        *("account", "add", "simulated", "--json"),
        *("--provider", "simulator", "--base-url", installation.provider_url),
        *("--external-id", "traffic-1", "--sender", "Paceline", "--api-key", "provider-secret"),
        *("--tenant", "acme", "--server-error", server_error),
        *(word for option in options for word in ("--option", option)),
    )
    return int(json.loads(shown)["id"])


def pacing(calls_per_second: int) -> dict[str, str]:
    """Both limits, as environment variables."""
    return {
        "RATE_LIMIT_TENANT_MAX": str(calls_per_second),
        "RATE_LIMIT_TRAFFIC_ACCOUNT_MAX": str(calls_per_second),
    }
