"""The world of a run: the installation and its processes, the providers, and what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import asdict, replace
from random import Random
from typing import Any, TypeVar

from paceline.engine.adapters import Adapters
from paceline.engine.intake import Intake
from paceline.engine.orders import Orders
from paceline.engine.process import take_up_again
from paceline.engine.rules import Rules
from paceline.engine.worker import Worker
from paceline.settings import Settings, load
from paceline.simulation.database import (
    ProcessDatabase,
    SimulatedClock,
    dead,
    fresh_database,
    raw,
    unreachable,
)
from paceline.simulation.judge import Judge
from paceline.simulation.loop import NS_PER_MS, Process, VirtualLoop
from paceline.simulation.network import Internet, ProcessNetwork
from paceline.simulation.provider import Answering, ProviderModel
from paceline.simulation.scenario import Rates, Scenario
from paceline.simulation.told import told_of
from paceline.simulation.trace import Trace
from paceline.storage import accounts, contacts, tenants
from paceline.storage import campaigns as campaigns_table
from paceline.storage.database import Database
from paceline.storage.inbox import InboxRow

T = TypeVar("T")

_LAUNCH_CHUNK = 4
"""Contacts, so that launches of a few people take several chunks."""
_SLOW_COMMIT_MS = (10, 120)


class ProcessDiedError(Exception):
    """Whoever was asked died before it answered."""


class Api:
    """The API's process, as far as it has to do with the engine."""

    def __init__(self, world: World, process: Process) -> None:
        self.process = process
        self.database = world.database_of(process)
        self.orders = Orders(self.database, world.settings, wake=world.ring)
        self.orders.rules = world.rules
        self._adapters = Adapters(
            world.rules.provider_timeout_ms, network=world.network_of(process)
        )
        self._intake = Intake(self.database)

    async def take_receipts(self, account: Any, body: bytes) -> None:
        """Keep what a provider posts.

        Raises:
            NotKeptError: it has to be sent again.
        """
        found = self._adapters.of(account).read_receipts(body, {}, {})
        rows = [
            InboxRow(
                each.provider_message_id,
                each.reference,
                each.delivery,
                each.error,
                each.occurred_at,
            )
            for each in found
        ]
        await self._intake.keep(account.id, rows)


class World:
    """One run's everything.

    Args:
        scenario: what it is about.
        seed: of all its dice.
    """

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.dice = {
            name: Random(f"{seed}/{name}")
            for name in ("turns", "database", "network", "provider", "people", "fate")
        }
        self.loop = VirtualLoop(self.dice["turns"])  # type: ignore[abstract]
        self.trace = Trace(lambda: self.loop.now_ns)
        self.settings: Settings = load(scenario.settings)
        self.rules = replace(Rules.of(self.settings), launch_chunk=_LAUNCH_CHUNK)
        self.database_clock = SimulatedClock(self.loop)
        self.store: Database = fresh_database(self.database_clock)
        self.raw = raw(self.store)
        self.rates = scenario.rates
        self.models = {
            plan.name: ProviderModel(plan, self.dice["provider"], self.rates, self.now_ms)
            for plan in scenario.accounts
        }
        self.internet = Internet(self.models, self.dice["network"], self.rates, self)
        self.judge = Judge(self.raw, scenario, self.models, self.now_ms)
        self.workers: list[tuple[Process, Worker]] = []
        self._lives = 0
        self._set_up()
        self.api = Api(self, self.loop.process("api"))

    def now_ms(self) -> float:
        return self.loop.now_ns / NS_PER_MS

    # --- Setting up -----------------------------------------------------------------------------

    def _set_up(self) -> None:
        """Write the installation, before anything runs."""
        write = self.store.write_now
        self.accounts = [
            write(
                accounts.keep,
                name=plan.name,
                values={
                    "provider": plan.provider,
                    "base_url": f"http://{plan.name}",
                    "external_id": plan.name,
                    "api_key": "key",
                    "sender": "Paceline",
                    "options": plan.options,
                    "server_error": plan.server_error,
                    "rate_max": plan.limits.most,
                    "rate_window_ms": plan.limits.window_ms,
                },
            )
            for plan in self.scenario.accounts
        ]
        self.tenants: list[int] = []
        self.campaigns: list[tuple[int, int, int]] = []
        """(tenant id, campaign id, its number among the tenant's plans)."""
        for number, plan in enumerate(self.scenario.tenants):
            tenant_id = write(tenants.keep, plan.name).id
            limits = {"rate_max": plan.limits.most, "rate_window_ms": plan.limits.window_ms}
            cap = {"frequency_max": plan.frequency_max, "frequency_days": 30}
            write(tenants.change, tenant_id, limits | cap)
            self.tenants.append(tenant_id)
            for phone in phones_of(number, plan.contacts):
                write(contacts.create, tenant_id, phone=phone, first_name=f"Name {phone[-2:]}")
            for order, campaign in enumerate(plan.campaigns):
                made = write(
                    campaigns_table.create,
                    tenant_id,
                    account_id=self.accounts[campaign.account].id,
                    name=f"Campaign {order + 1}",
                    text=f"{plan.name} c{order + 1}: Hello {{{{first_name}}}}",
                    sender="Paceline",
                )
                self.campaigns.append((tenant_id, made.id, order))

    # --- Processes ------------------------------------------------------------------------------

    def database_of(self, process: Process) -> ProcessDatabase:
        return ProcessDatabase(self.store, process, self)

    def network_of(self, process: Process) -> ProcessNetwork:
        return ProcessNetwork(self.internet, process, self.loop.time)

    def start_worker(self) -> None:
        """Start a worker as a process of its own, on a machine whose clock is somewhat off."""
        self._lives += 1
        process = self.loop.process(f"worker-{self._lives}")
        clock = SimulatedClock(self.loop, off_ms=self.dice["fate"].randint(-5000, 5000))
        database = self.database_of(process)
        worker = Worker(
            database,
            self.rules,
            clock,
            network=self.network_of(process),
            name=process.name,
        )
        self.trace.note(process, "starts")
        self.workers = [each for each in self.workers if each[0].alive]
        self.workers.append((process, worker))
        process.spawn(self._work(database, worker))

    async def _work(self, database: Database, worker: Worker) -> None:
        if self.scenario.sole_sender:
            while True:
                try:
                    await take_up_again(database, self.rules)
                    break
                except Exception as error:  # noqa: BLE001 - it is started again, as by systemd
                    self.trace.note(worker.dispatcher.name, f"cannot start: {error}")
                    await asyncio.sleep(0.1)
        await worker.run()

    def start_api(self) -> None:
        self._lives += 1
        self.api = Api(self, self.loop.process(f"api-{self._lives}"))

    def ring(self) -> None:
        """Wake the workers; word of it can get lost."""
        for process, worker in self.workers:
            if process.alive and self.dice["network"].random() < 0.8:
                process.spawn(_wake(worker))

    async def ask(self, work: Callable[[Api], Coroutine[Any, Any, T]]) -> T:
        """Have the API do something, as somebody from outside.

        Raises:
            ProcessDiedError: nobody knows whether it was done.
        """
        api = self.api
        if not api.process.alive:
            raise ProcessDiedError
        task = api.process.spawn(work(api))
        waiting: set[asyncio.Future[Any]] = {task, api.process.died}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ProcessDiedError
        return task.result()

    # --- What goes wrong on the way to the database (``database.Road``) ---------------------------

    async def there(self, process: Process, *, writing: bool) -> None:
        if not process.alive:
            await dead(process)
        dice = self.dice["database"]
        await asyncio.sleep(dice.uniform(0.1, 3 if writing else 1) / 1000)
        if self._happens(dice, self.rates.database_lost / 2):
            self.trace.note(process, "loses its connection before a transaction")
            raise unreachable()

    def dies_at_commit(self, process: Process) -> bool:
        dies = self._happens(self.dice["database"], self.rates.death_at_commit)
        if dies:
            self.trace.note(process, "dies before a commit")
        return dies

    def committed(self, process: Process, function: Any, args: Any, result: Any) -> None:
        if told := told_of(function, args, result):
            self.trace.note(process, told)
        self.judge.committed(function, args, result)

    async def back(self, process: Process, *, writing: bool) -> None:
        dice = self.dice["database"]
        if writing and self._happens(dice, self.rates.death_at_commit):
            self.trace.note(process, "dies after a commit")
            await dead(process)
        slow = writing and self._happens(dice, self.rates.slow_commit)
        low, high = _SLOW_COMMIT_MS if slow else (0.2, 4.0)
        await asyncio.sleep(dice.uniform(low, high) / 1000)
        if writing and self._happens(dice, self.rates.database_lost / 2):
            self.trace.note(process, "loses its connection after a commit")
            raise unreachable()

    def _happens(self, dice: Random, share: float) -> bool:
        return share > 0 and dice.random() < share

    # --- What passes through the network (``network.Witness``) -----------------------------------

    def note(self, who: object, what: str) -> None:
        self.trace.note(who, what)

    def written(self, process: Process, account: str, request: bytes) -> None:
        self.trace.note(process, f"calls {account}")
        self.judge.written(process.name, request)
        dice = self.dice["fate"]
        if self._happens(dice, self.rates.stall_in_call):
            # Past its lease, and long enough for others to have gone on with the batch.
            self.stall(process, dice.uniform(2, 9))

    def stall(self, process: Process, seconds: float) -> None:
        """Stop a process, as by SIGSTOP, for so long."""
        self.trace.note(process, f"is stopped for {seconds:.3f} s")
        process.stall(seconds)

    def arrived(self, account: str, answering: Answering, *, stuck: bool) -> None:
        seen = answering.sightings
        status = answering.answer.status
        numbers = ", ".join(f"{each.number[-4:]}{'+' if each.accepted else '-'}" for each in seen)
        late = ", after it was stuck" if stuck else ""
        subject = seen[0].text.split(":", 1)[0] if seen else ""
        self.trace.note(account, f"gets {subject} [{numbers}]{late}: {status}")
        self.judge.arrived(account, seen, stuck=stuck)

    # --- The end of trouble ---------------------------------------------------------------------

    def calm(self) -> None:
        """From now on nothing goes wrong any more."""
        self.trace.note("fate", "is calm from now on")
        self.rates = self.internet.rates = Rates()
        for model in self.models.values():
            model.rates = self.rates
            model.broken = None


async def _wake(worker: Worker) -> None:
    worker.wake()


def phones_of(tenant: int, count: int) -> list[str]:
    """The numbers in a tenant's book; the first tenants' books have some in common."""
    return [f"+3069{40_000_000 + 8 * tenant + n}" for n in range(count)]


def shown(scenario: Scenario) -> str:
    """A scenario for people to read."""
    return "\n".join(f"  {name}: {value}" for name, value in asdict(scenario).items())
