"""The people of a run: customers who start and stop campaigns, recipients who opt out, an operator
who changes limits and decides, and the providers' machines that post receipts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeAlias

from paceline.domain.errors import PacelineError
from paceline.engine import operations
from paceline.simulation.provider import ProviderModel, Text, receipt
from paceline.simulation.scenario import Limits
from paceline.simulation.world import Api, ProcessDiedError, World, phones_of
from paceline.storage import suppressions
from paceline.storage.doubt import Decision
from paceline.storage.idempotency import AnsweredBefore, Once

Order: TypeAlias = Callable[[Api], Coroutine[Any, Any, Any]]
"""What the API is asked for."""

_OPERATOR = "operator"
_RECEIPT_WITHIN_MS = 3000
_TIDIES_EVERY_S = 1.0
_PATIENCE_S = 6.0
"""How long an operator lets doubt rest, so that look-ups and receipts can end it."""


class People:
    """Everybody who asks something of the API."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dice = world.dice["people"]
        self.receipts_under_way = 0
        self.starting = 0
        """Campaigns and single messages that somebody still wants to start."""
        self._still_since: dict[int, tuple[int, float]] = {}
        """Campaign → how many are unconfirmed, and since when."""

    def begin(self) -> None:
        """Set them going."""
        spawn = self.world.loop.world.spawn
        for model in self.world.models.values():
            model.accepted = self._posts_receipts_of(model)
        for tenant_id, campaign_id, order in self.world.campaigns:
            self.starting += 1
            spawn(self._start(tenant_id, campaign_id, order))
        for number, plan in enumerate(self.world.scenario.tenants):
            for single in range(plan.singles):
                self.starting += 1
                spawn(self._send(number, single))

    async def _start(self, tenant_id: int, campaign_id: int, order: int) -> None:
        tenant = self.world.tenants.index(tenant_id)
        plan = self.world.scenario.tenants[tenant].campaigns[order]
        await asyncio.sleep(plan.starts_after_s)
        if plan.scheduled:
            at = f"2027-01-15T08:00:{self.dice.randint(3, 6):02d}Z"
            if await self._insist(lambda api: api.orders.schedule(tenant_id, campaign_id, at)):
                self.starting -= 1
                return
        await self._insist(lambda api: api.orders.enqueue(tenant_id, campaign_id))
        self.starting -= 1

    async def _send(self, tenant: int, number: int) -> None:
        plan = self.world.scenario.tenants[tenant]
        await asyncio.sleep(self.dice.uniform(0, 3))
        account = self.dice.choice(self.world.accounts)
        await self._insist(
            lambda api: api.orders.send(
                self.world.tenants[tenant],
                to=phones_of(tenant, plan.contacts)[-1],
                text=f"{plan.name} s{number + 1}: Hello",
                traffic_account_id=account.id,
                once=Once(f"single-{number}", "digest", 201, lambda _row: "{}"),
            )
        )
        self.starting -= 1

    async def _insist(self, order: Order) -> bool:
        """Repeat an order until it is answered; whether it was carried out."""
        while True:
            try:
                await self.world.ask(order)
            except AnsweredBefore:
                return True
            except ProcessDiedError:
                pass
            except PacelineError as error:
                if not error.retryable:
                    self.world.trace.note("customer", f"is told: {error}")
                    return False
            else:
                return True
            await asyncio.sleep(self.dice.uniform(0.05, 0.5))

    # --- Receipts -------------------------------------------------------------------------------

    def _posts_receipts_of(self, model: ProviderModel) -> Callable[[Text], None]:
        def accepted(text: Text) -> None:
            self.receipts_under_way += 1
            self.world.loop.world.spawn(self._post(model, text))

        return accepted

    async def _post(self, model: ProviderModel, text: Text) -> None:
        """Post what becomes of a text: perhaps before the answer has come, perhaps twice."""
        account = self.world.accounts[list(self.world.models).index(model.plan.name)]
        echo = bool(model.plan.options.get("echoes_reference"))
        reports = ["Sent", text.final] if self.dice.random() < 0.4 else [text.final]
        if self.dice.random() < 0.2:
            reports.append(self.dice.choice(reports))
        self.dice.shuffle(reports)
        for status in reports:
            await asyncio.sleep(self.dice.uniform(0, _RECEIPT_WITHIN_MS) / 1000)
            body = receipt(text, status, echo=echo)
            await self._insist(partial(_take_receipts, account, body))
        self.receipts_under_way -= 1

    # --- While there is trouble -----------------------------------------------------------------

    async def meddle(self) -> None:
        """One order that nobody has asked for."""
        orders = (
            self._about_campaign(self.dice.choice((_pause, _pause, _resume, _cancel))),
            self._about_person(self.dice.choice((_opt_out, _opt_out, _opt_in))),
            self._about_doubt(),
            self.dice.choice((self._about_limits, self._about_account))(),
        )
        await self._try(self.dice.choice(orders))

    def _about_campaign(self, order: Callable[[int, int, Api], Any]) -> Order:
        tenant_id, campaign_id, _ = self.dice.choice(self.world.campaigns)
        return partial(order, tenant_id, campaign_id)

    def _about_person(self, order: Callable[[int, str, Api], Any]) -> Order:
        tenant = self.dice.randrange(len(self.world.tenants))
        phones = phones_of(tenant, self.world.scenario.tenants[tenant].contacts)
        return partial(order, self.world.tenants[tenant], self.dice.choice(phones))

    def _about_limits(self) -> Order:
        limits = Limits(self.dice.choice((1, 2, 4, 8)), self.dice.choice((100, 250, 400)))
        return partial(_change_limits, self.dice.choice(self.world.tenants), limits)

    def _about_account(self) -> Order:
        return partial(_release, self.dice.choice(self.world.accounts).id)

    def _about_doubt(self) -> Order:
        tenant_id, campaign_id, _ = self.dice.choice(self.world.campaigns)
        return partial(_decide, tenant_id, campaign_id, self.dice.choice(list(Decision)))

    async def _try(self, order: Order) -> None:
        try:
            await self.world.ask(order)
        except (PacelineError, ProcessDiedError, AnsweredBefore) as error:
            self.world.trace.note("operator", f"is told: {type(error).__name__} {error}")

    # --- When it is over ------------------------------------------------------------------------

    async def tidy(self) -> None:
        """Do what an operator does in the end: release, resume, decide what nothing else can."""
        query = self.world.raw.execute
        for (account_id,) in query(_HELD).fetchall():
            await self._try(partial(_release, account_id))
        for tenant_id, campaign_id in query(_PAUSED).fetchall():
            await self._try(partial(_resume, tenant_id, campaign_id))
        for tenant_id, campaign_id, unconfirmed in query(_STILL).fetchall():
            if self._rests(campaign_id, unconfirmed):
                decision = self._decision(campaign_id)
                await self._try(partial(_decide, tenant_id, campaign_id, decision))
        for tenant_id, message_id in query(_SINGLES).fetchall():
            if self._rests(-message_id, 1):
                await self._try(partial(_give_up, tenant_id, message_id))
        await asyncio.sleep(_TIDIES_EVERY_S)

    def _decision(self, campaign_id: int) -> Decision:
        cancelled = self.world.raw.execute(_IS_CANCELLED, (campaign_id,)).fetchone()
        return self.dice.choice([Decision.ACCEPT, Decision.FAIL] if cancelled else list(Decision))

    def _rests(self, what: int, unconfirmed: int) -> bool:
        """Whether so much has been in doubt for long enough."""
        now_s = self.world.loop.time()
        before, since_s = self._still_since.get(what, (0, now_s))
        if before != unconfirmed:
            since_s = now_s
        self._still_since[what] = unconfirmed, since_s
        return now_s - since_s > _PATIENCE_S


async def _pause(tenant_id: int, campaign_id: int, api: Api) -> None:
    await api.orders.pause(tenant_id, campaign_id)


async def _resume(tenant_id: int, campaign_id: int, api: Api) -> None:
    await api.orders.resume(tenant_id, campaign_id)


async def _cancel(tenant_id: int, campaign_id: int, api: Api) -> None:
    await api.orders.cancel(tenant_id, campaign_id)


async def _decide(tenant_id: int, campaign_id: int, decision: Decision, api: Api) -> None:
    await api.orders.by(_OPERATOR).decide(tenant_id, campaign_id, decision)


async def _give_up(tenant_id: int, message_id: int, api: Api) -> None:
    await api.orders.by(_OPERATOR).decide_single(tenant_id, message_id, Decision.FAIL)


async def _opt_out(tenant_id: int, phone: str, api: Api) -> None:
    await api.database.write(suppressions.add, tenant_id, [phone], "asked for it")


async def _opt_in(tenant_id: int, phone: str, api: Api) -> None:
    await api.database.write(suppressions.remove, tenant_id, phone)


async def _change_limits(tenant_id: int, limits: Limits, api: Api) -> None:
    values = {"rate_max": limits.most, "rate_window_ms": limits.window_ms}
    await api.database.write(operations.change_tenant, tenant_id, values, actor=_OPERATOR)


async def _release(account_id: int, api: Api) -> None:
    await api.database.write(operations.release_account, account_id, actor=_OPERATOR)


async def _take_receipts(account: Any, body: bytes, api: Api) -> None:
    await api.take_receipts(account, body)


_HELD = "SELECT id FROM traffic_accounts WHERE held_at IS NOT NULL"
_PAUSED = "SELECT tenant_id, id FROM campaigns WHERE status = 'paused'"
_STILL = """
    SELECT tenant_id, id, unconfirmed FROM campaigns
    WHERE queued > 0 AND queued = unconfirmed AND NOT launching
"""
_IS_CANCELLED = "SELECT 1 FROM campaigns WHERE id = ? AND status = 'cancelled'"
_SINGLES = "SELECT tenant_id, id FROM messages WHERE campaign_id IS NULL AND in_doubt"
