"""A small installation to try storage functions on: tenants, an account, campaigns, a worker.

After every write the counters of every campaign are held against its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Table, insert, select, text

from paceline.clock import VirtualClock
from paceline.domain.limits import Limit
from paceline.domain.message import reference
from paceline.domain.outcome import Answered, Outcome
from paceline.domain.verdict import Policy
from paceline.storage import (
    accounts,
    campaigns,
    doubt,
    inbox,
    intents,
    launches,
    loading,
    messages,
    outcomes,
    suppressions,
    tenants,
    turns,
)
from paceline.storage import provider_messages as names
from paceline.storage import receipts as folding
from paceline.storage.batches import Attempt, ReservedBatch
from paceline.storage.conclusion import Recorded
from paceline.storage.database import AnyRow, Database, now
from paceline.storage.doubt import Decision
from paceline.storage.inbox import InboxRow
from paceline.storage.limits import Pacing
from paceline.storage.loading import LoadedBatch
from paceline.storage.outcomes import Result
from paceline.storage.schema import (
    answers,
    attempts,
    batches,
    contacts,
    installation,
    provider_messages,
    traffic_accounts,
)
from paceline.storage.schema import campaigns as campaigns_table
from paceline.storage.schema import messages as messages_table
from paceline.storage.schema import tenants as tenants_table
from paceline.storage.turns import Reservation
from paceline.storage.wishes import Intent, Used, Wish

P = ParamSpec("P")
T = TypeVar("T")

LEASE_MS = 40_000
PACING = Pacing(tenant=Limit(50, 1000, 50), account=Limit(100, 1000, 50))

# An oracle of its own, not the product's audit.
_DIFFERENT = text("""
    SELECT c.id, c.total, c.queued, c.sent, c.failed, c.processed, c.delivered, c.unconfirmed
    FROM campaigns c
    LEFT JOIN (
        SELECT campaign_id, COUNT(*) AS total,
            SUM(CASE WHEN status = 'queued' THEN 1 ELSE 0 END) AS queued,
            SUM(CASE WHEN status = 'sent' THEN 1 ELSE 0 END) AS sent,
            SUM(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) AS failed,
            SUM(CASE WHEN delivery = 'delivered' THEN 1 ELSE 0 END) AS delivered,
            SUM(CASE WHEN in_doubt THEN 1 ELSE 0 END) AS unconfirmed
        FROM messages WHERE campaign_id IS NOT NULL GROUP BY campaign_id
    ) n ON n.campaign_id = c.id
    WHERE c.total <> COALESCE(n.total, 0) OR c.queued <> COALESCE(n.queued, 0)
        OR c.sent <> COALESCE(n.sent, 0) OR c.failed <> COALESCE(n.failed, 0)
        OR c.processed <> COALESCE(n.sent, 0) + COALESCE(n.failed, 0)
        OR c.delivered <> COALESCE(n.delivered, 0)
        OR c.unconfirmed <> COALESCE(n.unconfirmed, 0)
""")


@dataclass(frozen=True)
class Call:
    """An attempt and the messages of its call."""

    attempt: Attempt
    ids: list[int]

    def accepted(self) -> Answered:
        """The answer that takes them all."""
        return Answered([f"p{i}" for i in self.ids], bulk_id="bulk")


class World:
    """One database, its clock, and what a worker does with it."""

    def __init__(self, database: Database, clock: VirtualClock) -> None:
        self.database = database
        self.clock = clock
        self.policy = Policy()
        self.pacing = PACING
        self.acme = self.tenant("acme")
        self.main = self.account("main")

    # --- running

    def write(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        result = self.database.write_now(function, *args, **kwargs)
        self.check_counters()
        return result

    def read(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return self.database.read_now(function, *args, **kwargs)

    def check_counters(self) -> None:
        assert self.read(lambda c: c.execute(_DIFFERENT).all()) == []

    def pass_time(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds / 1000)

    @property
    def now(self) -> int:
        return self.clock.now_ms()

    def rows(self, table: Table, **where: Any) -> list[AnyRow]:
        query = select(table).filter_by(**where).order_by(*table.primary_key)
        return self.read(lambda c: list(c.execute(query)))

    # --- making

    def tenant(self, name: str, **values: Any) -> int:
        tenant_id: int = self.write(tenants.keep, name).id
        self.write(tenants.change, tenant_id, values)
        return tenant_id

    def account(self, name: str, **values: Any) -> int:
        needed = {
            "provider": "simulated",
            "base_url": "http://localhost",
            "external_id": "1",
            "api_key": "secret",
            "sender": "ACME",
        }
        account_id: int = self.write(accounts.keep, name=name, values=needed | values).id
        return account_id

    def contacts(self, count: int, tenant: int | None = None, **values: Any) -> list[str]:
        """That many new contacts; their numbers."""
        tenant_id = tenant or self.acme

        def make(connection: Connection) -> list[str]:
            known = len(connection.execute(select(contacts.c.id)).all())
            phones = [f"+3069{known + i:08}" for i in range(count)]
            row = {"attributes": {}, "created_at": now(connection), "updated_at": now(connection)}
            rows = [{"tenant_id": tenant_id, "phone": phone} | row | values for phone in phones]
            connection.execute(insert(contacts), rows)
            return phones

        return self.write(make)

    def draft(self, tenant: int | None = None, account: int | None = None, **values: Any) -> int:
        defaults = {"name": "spring", "text": "Hello", "sender": "ACME"}
        campaign_id: int = self.write(
            campaigns.create,
            tenant or self.acme,
            account_id=account or self.main,
            **(defaults | values),
        ).id
        return campaign_id

    def start(self, campaign: int, *, batch_size: int = 3) -> int:
        self.write(launches.start, None, campaign, batch_size=batch_size)
        return campaign

    def sending(
        self,
        size: int = 3,
        *,
        batch_size: int = 3,
        tenant: int | None = None,
        account: int | None = None,
        **values: Any,
    ) -> int:
        """A campaign that is sending to ``size`` new contacts (and those the tenant had)."""
        self.contacts(size, tenant)
        return self.start(self.draft(tenant, account, **values), batch_size=batch_size)

    def single(self, to: str = "+306900000000", tenant: int | None = None) -> int:
        return self.write(
            messages.add_single,
            tenant or self.acme,
            to=to,
            text="Your code",
            sender="ACME",
            account_id=self.main,
        )

    # --- a worker's steps

    def reservation(self, want: int = 1, **values: Any) -> Reservation:
        defaults: dict[str, Any] = {"lease_ms": LEASE_MS, "pacing": self.pacing}
        return self.write(turns.reserve, want=want, **(defaults | values))

    def reserve(self) -> ReservedBatch:
        (batch,) = self.reservation().batches
        return batch

    def intend(
        self, batch: ReservedBatch, *, size: int = 3, pacing: Pacing | None = None
    ) -> Intent:
        (intent,) = self.intend_together(Wish(batch, size), pacing=pacing)
        return intent

    def intend_together(
        self, *wishes: Wish, used: Sequence[Used] = (), pacing: Pacing | None = None
    ) -> list[Intent]:
        return self.write(
            intents.intend,
            wishes,
            used=used,
            pacing=pacing or self.pacing,
            lease_ms=LEASE_MS,
            worker="tester",
            monotonic=self.clock.monotonic,
        )

    def load(self, batch: ReservedBatch) -> LoadedBatch:
        """What a reserved batch is rendered from."""
        (loaded,) = self.read(lambda connection: list(loading.load(connection, [batch])))
        return loaded

    def call(self, batch: ReservedBatch | None = None) -> Call:
        """Reserve, load and intend: a call that may have been made."""
        batch = batch or self.reserve()
        ids = [row.id for row in self.load(batch).recipients]
        attempt = self.intend(batch, size=len(ids))
        assert isinstance(attempt, Attempt), attempt
        return Call(attempt, ids)

    def record(self, call: Call, outcome: Outcome, policy: Policy | None = None) -> Recorded:
        (recorded,) = self.write(outcomes.record, [self.result(call, outcome, policy)])
        return recorded

    def result(self, call: Call, outcome: Outcome, policy: Policy | None = None) -> Result:
        return Result(call.attempt, call.ids, outcome, policy or self.policy)

    def decide(self, batch_id: int, decision: Decision, policy: Policy | None = None) -> int:
        """An operator's decision; how many messages it concerned."""
        return self.write(
            doubt.decide,
            batch_id,
            decision,
            actor="tester",
            policy_of=lambda _: policy or self.policy,
        )

    def expired_call(self) -> Call:
        """A call whose worker never recorded an answer."""
        call = self.call()
        self.pass_time(LEASE_MS)
        self.write(outcomes.expire, call.attempt.batch.id, lambda _: self.policy)
        return call

    def send(self, batch: ReservedBatch | None = None) -> Call:
        """A call, accepted whole."""
        call = self.call(batch)
        self.record(call, call.accepted())
        return call

    def suppress(self, *phones: str, tenant: int | None = None) -> int:
        return self.write(suppressions.add, tenant or self.acme, phones, "stop")

    def receive(self, *receipts: tuple[str, str], reference: str = "") -> folding.Folded:
        """Put (provider's id, delivery) into the inbox and fold it."""
        rows = [InboxRow(name, reference, delivery, "", None) for name, delivery in receipts]
        self.write(inbox.put, self.main, rows)
        return self.write(folding.fold)

    # --- looking

    def campaign(self, campaign_id: int) -> AnyRow:
        (row,) = self.rows(campaigns_table, id=campaign_id)
        return row

    def counters(self, campaign_id: int) -> dict[str, int]:
        """The counters that are not zero."""
        row = self.campaign(campaign_id)._mapping
        names = ("total", "queued", "sent", "failed", "delivered", "unconfirmed")
        return {name: row[name] for name in names if row[name]}

    def batch(self, batch: ReservedBatch | Call | int) -> AnyRow:
        if isinstance(batch, Call):
            batch = batch.attempt.batch
        (row,) = self.rows(batches, id=batch if isinstance(batch, int) else batch.id)
        return row

    def messages(self, **where: Any) -> list[AnyRow]:
        return self.rows(messages_table, **where)

    def attempts(self, **where: Any) -> list[AnyRow]:
        return self.rows(attempts, **where)

    def names(self) -> list[AnyRow]:
        """What the provider calls our messages, all of it indexed."""
        while self.write(names.index):
            pass
        return self.rows(provider_messages)

    def account_row(self, account: int | None = None) -> AnyRow:
        return self.read(accounts.get, account or self.main)

    def everything(self) -> list[list[AnyRow]]:
        """All rows that a record may touch."""
        return [
            self.rows(table)
            for table in (
                tenants_table,
                traffic_accounts,
                campaigns_table,
                batches,
                messages_table,
                attempts,
                answers,
                provider_messages,
            )
        ]

    def reference(self, message_id: int, generation: int = 0) -> str:
        (row,) = self.rows(installation)
        return reference(row.prefix, message_id, generation)

    def grants(self) -> tuple[str, str]:
        """The windows of acme and of the main account."""
        return self.read(tenants.get, self.acme).grants, self.account_row().grants


def phones_of(rows: Sequence[AnyRow]) -> list[str]:
    return [row.phone for row in rows]
