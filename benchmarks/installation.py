"""What every benchmark stands on: a durable database, the provider, and a Paceline between them."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, case, func, select

from benchmarks import machine
from benchmarks.processes import Client, simulator
from paceline.domain.outcome import OutcomeKind
from paceline.settings import sqlalchemy_url
from paceline.storage import audit, migrate, tenants
from paceline.storage.database import Database, is_postgres
from paceline.storage.schema import attempts
from tests.postgres import running_postgres

TEXT = "Hello {{first_name|there}}, our shop has 20% off everything until Sunday."
NO_LIMIT = "1000000"
POLL_S = 0.05
POSTGRES = {"shared_buffers": "1GB", "max_wal_size": "4GB", "checkpoint_timeout": "15min"}
"""What anybody sets who runs PostgreSQL for more than a trial. Commits are as durable as ever."""
DATABASES = ("sqlite", "postgres")


class WrongRunError(Exception):
    """The run broke a promise, so its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What stays the same while a benchmark puts one Paceline after another on it."""

    kind: str
    home: Path
    provider: Client
    provider_url: str
    new_database: Callable[[], str]
    """Makes an empty, durable database and gives its URL."""

    @contextmanager
    def install(self, **environ: str) -> Iterator[Installation]:
        """A fresh Paceline without limits, and a provider that has forgotten all before it.

        Args:
            environ: variables that differ from that.
        """
        self.forget()
        url = self.new_database()
        database = Database(sqlalchemy_url(url))
        try:
            migrate.upgrade(database)
            yield Installation(self, database, _environment(self, url) | environ)
        finally:
            database.close()

    def forget(self) -> None:
        """Empty the provider's log."""
        self.provider.call("DELETE", "/log")


@dataclass(frozen=True, slots=True)
class Installation:
    """One Paceline; its processes are started with `environ`."""

    ground: Ground
    database: Database
    environ: Mapping[str, str]

    def key_of(self, tenant: str, **values: int) -> str:
        """An API key of a tenant, which is made; `values` are columns of it, limits among them."""
        row = self.database.write_now(tenants.keep, tenant)
        self.database.write_now(tenants.change, row.id, values)
        _, key = self.database.write_now(tenants.create_key, row.id, name="benchmark")
        return key

    def void_share(self) -> float:
        """The share of permits that ran out unused."""
        return round(self.database.read_now(_void_share), 4)

    def insist(self, recipients: int) -> dict[str, int]:
        """What the provider accepted, if that is every recipient once and the counters are right.

        Raises:
            WrongRunError: something was lost, sent twice or counted wrong.
        """
        provider = self.ground.provider.get("/log/summary")
        insist(recipients, provider, self.differences())
        return {name: provider[name] for name in ("accepted", "distinct", "duplicates")}

    def differences(self) -> list[audit.Difference]:
        """What the audit finds."""
        return self.database.read_now(audit.differences)

    def facts(self) -> dict[str, Any]:
        """What the run ran on."""
        return {
            **machine.facts(),
            self.ground.kind: self.database.read_now(_version),
            "filesystem": machine.filesystem_of(self.ground.home),
        }


@contextmanager
def ground(kind: str) -> Iterator[Ground]:
    """A database server and the provider; all is gone at the end.

    Args:
        kind: one of `DATABASES`.
    """
    with (
        TemporaryDirectory(prefix="paceline-benchmark-") as folder,
        _databases(kind, Path(folder)) as new_database,
        simulator() as provider_url,
        Client(provider_url) as provider,
    ):
        yield Ground(kind, Path(folder), provider, provider_url, new_database)


@contextmanager
def _databases(kind: str, home: Path) -> Iterator[Callable[[], str]]:
    if kind == "sqlite":
        numbers = itertools.count(1)
        yield lambda: f"sqlite:///{home}/paceline-{next(numbers)}.db"
    else:
        with running_postgres(POSTGRES) as server:
            yield server.create_database


def _environment(ground: Ground, database_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "PACELINE_DATA_DIR": str(ground.home),
        "PACELINE_LOG_LEVEL": "warning",
        "PACELINE_API_RATE_MAX": "0",
        "RATE_LIMIT_TENANT_MAX": NO_LIMIT,
        "RATE_LIMIT_TRAFFIC_ACCOUNT_MAX": NO_LIMIT,
        "MITTO_API_BASE": ground.provider_url,
        "MITTO_API_KEY": "benchmark",
        "SMS_TRAFFIC_ACCOUNT_ID": "benchmark",
        "MITTO_SENDER": "Benchmark",
    }


def audience(
    client: Client, recipients: int, *, first: int = 0, list_id: int | None = None
) -> None:
    """Import contacts of the client's tenant as a CSV file, `first` being the first one's number
    in the row of all that there may be.
    """
    rows = (f"+3069{10_000_000 + n},Name{n}" for n in range(first, first + recipients))
    file = "\n".join(["phone,first_name", *rows]).encode()
    into = f"?list_id={list_id}" if list_id else ""
    imported = client.post(f"/api/contacts/import{into}", file)["imported"]
    assert imported == recipients, f"{imported} contacts imported"


def draft(client: Client, **values: Any) -> int:
    """A campaign to the whole audience, unless `values` say otherwise; its id."""
    return int(client.post("/api/campaigns", {"name": "Benchmark", "text": TEXT, **values})["id"])


def start(client: Client, campaign_id: int) -> None:
    """Start a campaign; its launch goes on after this returns."""
    client.post(f"/api/campaigns/{campaign_id}/enqueue")


def launched(client: Client, campaign_id: int) -> None:
    """Wait until a started campaign has all its messages."""
    while _campaign(client, campaign_id)["launching"]:
        time.sleep(POLL_S)


def complete(client: Client, campaign_id: int) -> float:
    """Start a campaign; return how many seconds it took to complete."""
    started = time.perf_counter()
    start(client, campaign_id)
    while _campaign(client, campaign_id)["status"] == "sending":
        time.sleep(POLL_S)
    return time.perf_counter() - started


def _campaign(client: Client, campaign_id: int) -> dict[str, Any]:
    return dict(client.get(f"/api/campaigns/{campaign_id}/status")["campaign"])


def insist(
    recipients: int, provider: Mapping[str, Any], differences: list[audit.Difference]
) -> None:
    """Hold a run against the provider's log and the audit.

    Raises:
        WrongRunError: something was lost, sent twice or counted wrong.
    """
    if (provider["accepted"], provider["distinct"]) != (recipients, recipients):
        raise WrongRunError(f"the provider accepted {provider}")
    if differences:
        raise WrongRunError(f"the audit found {differences}")


def _void_share(connection: Connection) -> float:
    void = func.sum(case((attempts.c.outcome == OutcomeKind.VOID, 1), else_=0))
    voids, permits = connection.execute(select(void, func.count(attempts.c.id))).one()
    return float(voids or 0) / max(int(permits), 1)


def _version(connection: Connection) -> str:
    if is_postgres(connection):
        return str(connection.exec_driver_sql("SHOW server_version").scalar_one())
    return sqlite3.sqlite_version
