"""``paceline demo``: a whole campaign to watch, against a provider simulator on this machine.

It takes the way that every campaign takes: a CSV file, orders, a worker, real HTTP. Only the
provider is ours, and its own log has the last word in what is reported.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import typer
import uvloop

from paceline import telemetry
from paceline.api.campaigns import StatusDocument
from paceline.cli.demo_view import View
from paceline.cli.failures import UnreachableError
from paceline.cli.output import say_json
from paceline.cli.serving import listening, stop_signal
from paceline.domain.campaign import FINAL
from paceline.domain.role import Role
from paceline.engine.drafts import NewCampaign
from paceline.engine.imports import Imported, import_contacts
from paceline.engine.orders import Orders
from paceline.engine.process import ready_database, unlock, working
from paceline.engine.worker import Worker
from paceline.settings import Settings, load
from paceline.simulator import Simulator, read_controls, running, summarise
from paceline.storage import accounts, campaigns, tenants, users
from paceline.storage.database import AnyRow, Database
from paceline.storage.sealing import Sealer

_CONTACTS = Path(__file__).with_name("demo_contacts.csv")
_TENANT = "demo"
_TEXT = "Hello {{first_name|there}}, our {{city|new}} shop opens on Saturday."
_CALLS_PER_S = 10
_LOOK_EVERY_S = 0.1
_PORTS_TO_TRY = 50
_NO_LIMIT = 1_000_000
_CALLS_BEFORE_THE_429 = 60
_RECEIPTS_AFTER_MS = 3_000
_PACED = {"SMS_BATCH_SIZE": "50", "RATE_LIMIT_TRAFFIC_ACCOUNT_MAX": str(_CALLS_PER_S)}
_FAST = {
    "SMS_BATCH_SIZE": "500",
    "RATE_LIMIT_TENANT_MAX": str(_NO_LIMIT),
    "RATE_LIMIT_TRAFFIC_ACCOUNT_MAX": str(_NO_LIMIT),
}
_FAULTS: dict[str, Any] = {
    "reject_share": 0.004,
    "latency_ms": 30,
    "latency_jitter_ms": 40,
    "retry_after": 1,
}
"""A few rejections, and (below) one 429 in the middle, so that there is something to see."""


def demo(
    *,
    fast: Annotated[
        bool, typer.Option("--fast", help="As fast as it goes, without a limit.")
    ] = False,
    leave: Annotated[
        bool, typer.Option("--exit", help="End after the campaign instead of serving on.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document and nothing else.")
    ] = False,
) -> None:
    """Watch a campaign of 10,000 messages go to a simulated provider.

    Nothing leaves this machine. The database is demo.db in PACELINE_DATA_DIR.
    A link opens the dashboard, which serves on afterwards until Ctrl-C.
    """
    settings = _settings(os.environ, fast=fast)
    telemetry.configure("error", "auto")
    with ready_database(settings) as database:
        view = View(limit=None if fast else _CALLS_PER_S, quiet=as_json)
        stage = Stage(settings, database, unlock(database, settings), view, fast=fast)
        document = uvloop.run(stage.perform(stay=not leave, report=say_json if as_json else None))
    if document["campaign"]["status"] != "completed":
        raise typer.Exit(1)


def _settings(environ: Mapping[str, str], *, fast: bool) -> Settings:
    """The user's settings; the database, the provider and the pace are the demo's own."""
    ours = ("MITTO_", "SMS_", "RATE_LIMIT_", "DATABASE_URL", "QUEUE_", "PROVIDER_", "WEBHOOK_")
    kept = {name: value for name, value in environ.items() if not name.startswith(ours)}
    folder = Path(load(kept).data_dir).absolute()
    database = {"DATABASE_URL": f"sqlite:///{quote(str(folder / 'demo.db'))}"}
    return load({**kept, **database, **(_FAST if fast else _PACED)})


@dataclass
class Stage:
    """The demo's parts."""

    settings: Settings
    database: Database
    sealer: Sealer
    view: View
    fast: bool

    async def perform(self, *, stay: bool, report: Any) -> dict[str, Any]:
        """Run the campaign, report it, and keep serving if wanted; returns what is reported."""
        stop = stop_signal()
        simulator = Simulator(seed=secrets.randbelow(2**31), controls=read_controls(self._faults()))
        async with AsyncExitStack() as stack:
            provider_url = await stack.enter_async_context(running(simulator))
            account = await self._account(provider_url)
            worker = await stack.enter_async_context(working(self.database, self.settings))
            url = await stack.enter_async_context(self._listening(worker))
            if stay:
                simulator.change(_receipts(f"{url}/webhooks/mitto/{account.webhook_token}/dlr"))
            orders = Orders(self.database, self.settings, wake=worker.wake)
            tenant_id, key = await self._tenant()
            self.view.dashboard(await self._link(url, tenant_id))
            await self._cancel_what_is_left(orders, tenant_id)
            self.view.imported(await self._contacts(tenant_id), _CONTACTS)
            document, seconds = await self._campaign(orders, tenant_id, account.id, stop)
            seen = summarise(simulator.log, 1000)
            document["provider"] = {
                "accepted": seen.accepted,
                "distinct": seen.distinct,
                "duplicates": seen.duplicates,
                "max_in_window": seen.max_in_window,
            }
            document["messages_per_s"] = round(document["metrics"]["sent"] / seconds, 1)
            if report:
                report(document)
            self.view.result(document)
            if stay and not stop.is_set():
                self.view.serving(url, key, document["campaign"]["id"])
                self.view.dashboard(await self._link(url, tenant_id))
                await stop.wait()
        return document

    async def _link(self, url: str, tenant_id: int) -> str:
        secret = await self.database.write(users.make_link, tenant_id, Role.ADMIN)
        return f"{url}/sign-in/{secret}"

    def _faults(self) -> bytes:
        script = [] if self.fast else [*["ok"] * _CALLS_BEFORE_THE_429, "throttle"]
        return msgspec.json.encode({**_FAULTS, "next": script})

    async def _account(self, provider_url: str) -> AnyRow:
        account = await self.database.write(
            accounts.keep,
            name="demo",
            values={
                "provider": "mitto",
                "base_url": provider_url,
                "external_id": "demo",
                "api_key": "demo",
                "sender": "Paceline",
            },
            sealer=self.sealer,
        )
        await self.database.write(accounts.release, account.id)
        await self.database.write(accounts.make_default, account.id)
        return account

    async def _tenant(self) -> tuple[int, str]:
        """The demo's tenant and a fresh key; the keys of earlier runs end."""
        tenant = await self.database.write(tenants.keep, _TENANT)
        for old in await self.database.read(tenants.keys_of, tenant.id):
            if old.revoked_at is None:
                await self.database.write(tenants.revoke_key, tenant.id, old.id)
        _, key = await self.database.write(tenants.create_key, tenant.id, name="demo")
        return int(tenant.id), key

    async def _cancel_what_is_left(self, orders: Orders, tenant_id: int) -> None:
        """Of a run that was broken off; the provider that knew of it is gone."""
        for row in await self.database.read(campaigns.page, tenant_id, limit=1000):
            if row.status not in FINAL:
                await orders.cancel(tenant_id, row.id)

    async def _contacts(self, tenant_id: int) -> Imported:
        with _CONTACTS.open("rb") as file:
            return await import_contacts(
                self.database, tenant_id, iter(lambda: file.read(65_536), b"")
            )

    async def _campaign(
        self, orders: Orders, tenant_id: int, account_id: int, stop: asyncio.Event
    ) -> tuple[dict[str, Any], float]:
        """Send it; its status document at the end, and how many seconds that took."""
        new = NewCampaign(name="Grand opening", text=_TEXT, traffic_account_id=account_id)
        campaign = (await orders.create_campaign(tenant_id, new)).campaign
        began = time.monotonic()
        await orders.enqueue(tenant_id, campaign.id)
        with self.view.watching(campaign.name):
            while True:
                shown = await orders.campaign(tenant_id, campaign.id)
                seconds = time.monotonic() - began
                document = StatusDocument.of(shown).model_dump(mode="json")
                self.view.progress(document, seconds)
                if shown.campaign.status in FINAL or stop.is_set():
                    return document, seconds
                await asyncio.sleep(_LOOK_EVERY_S)

    @asynccontextmanager
    async def _listening(self, worker: Worker) -> AsyncIterator[str]:
        """Serve at the settings' port, or the next one that is free."""
        first = self.settings.port
        for port in range(first, first + _PORTS_TO_TRY):
            opened = listening(self.settings, self.database, worker, port=port)
            try:
                url = await opened.__aenter__()
            except UnreachableError:
                if port == first + _PORTS_TO_TRY - 1:
                    raise
                continue
            try:
                yield url
            finally:
                await opened.__aexit__(None, None, None)
            return


def _receipts(url: str) -> bytes:
    return msgspec.json.encode({"receipts": {"url": url, "delay_ms": _RECEIPTS_AFTER_MS}})


COMMANDS = {"demo": demo}
