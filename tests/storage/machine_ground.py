"""The ground that the rules of the state machine stand on: a database, its time, and the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, ParamSpec, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine
from sqlalchemy import Connection, select

from paceline.clock import VirtualClock
from paceline.domain.limits import Limit
from paceline.domain.message import BatchStatus, Delivery, MessageStatus, Reason, reference
from paceline.domain.outcome import Outcome
from paceline.domain.retry import RetryPolicy
from paceline.domain.verdict import Policy, ServerErrorPolicy, UnconfirmedPolicy
from paceline.storage import accounts, inbox, provider_messages, receipts, suppressions, tenants
from paceline.storage.batches import Attempt, ReservedBatch
from paceline.storage.confirmations import Doubted
from paceline.storage.database import AnyRow, Database
from paceline.storage.inbox import InboxRow
from paceline.storage.limits import Pacing, Strategy
from paceline.storage.outcomes import Result
from paceline.storage.schema import installation
from paceline.storage.wishes import Used
from tests.storage.machine_model import Doubts, Permit, Submission, Use
from tests.storage.machine_provider import KINDS, Kind, Outgoing, Providers
from tests.storage.machine_rows import Rows, look

P = ParamSpec("P")
T = TypeVar("T")

LEASE_MS = 40_000
QUIET_MS = 60_000
BACKOFF_MS = 3_000
MARGIN_MS = 50
TENANT = Limit(3, 1000, MARGIN_MS)
ACCOUNT = Limit(5, 1000, MARGIN_MS)

_TOLD = {Reason.UNDELIVERED, Reason.EXPIRED, Reason.GIVEN_UP}
"""By a receipt or an operator."""

picks = st.integers(0, 11)
"""Which of several things, counted round; 0 is the oldest."""
kinds = st.sampled_from(sorted(KINDS))


@dataclass
class Trip:
    """One batch in a worker's hands, as far as it has come. A worker may be slow, or dead."""

    batch: ReservedBatch
    stage: str = "reserved"
    """``reserved``, ``rendered``, ``permitted``, ``submitted``, ``recorded``."""
    outgoing: list[Outgoing] = field(default_factory=list)
    policy: Policy = field(default_factory=Policy)
    attempt: Attempt | None = None
    permit: Permit | None = None
    submissions: list[Submission] = field(default_factory=list)
    outcome: Outcome | None = None

    @property
    def ids(self) -> list[int]:
        return [each.message_id for each in self.outgoing]

    @property
    def result(self) -> Result:
        assert self.attempt is not None
        assert self.outcome is not None
        return Result(self.attempt, self.ids, self.outcome, self.policy)

    def __repr__(self) -> str:
        return f"<batch {self.batch.id}, {self.stage}>"


@dataclass
class Asked:
    """A provider was asked about a batch in doubt, and nobody has written down yet what it said."""

    doubted: Doubted
    unknown: dict[str, int]
    known: dict[str, Any]
    at: int


class Ground(RuleBasedStateMachine):
    """One installation. Every transaction is followed by a look at everything."""

    def __init__(self, database: Database, clock: VirtualClock) -> None:
        super().__init__()
        self.database = database
        self.clock = clock
        self.rows = Rows()
        self.attempts = 3
        self.policy = Policy()
        self.pacing = Pacing(TENANT, ACCOUNT)
        self.tenants: list[int] = []
        self.accounts: list[int] = []
        self.kinds: dict[int, Kind] = {}
        """By account."""
        self.phones: dict[int, list[str]] = {}
        """Of contacts, by tenant."""
        self.trips: list[Trip] = []
        self.recorded: list[Trip] = []
        self.asked: list[Asked] = []
        self.told: dict[int, list[Used]] = {}
        """By account: calls made before their stamp, of which no intent has heard."""
        self.providers = Providers()
        self.doubts = Doubts()
        self.calls: dict[tuple[int, int], list[Submission]] = {}
        """By batch and fence."""
        self.uses: dict[tuple[str, int], Use] = {}
        self.restored = False

    def settle(
        self, *, attempts: int, unconfirmed: str, strategy: str, rate_limit_retry: bool
    ) -> None:
        """Choose the installation's settings, before anything else."""
        self.attempts = attempts
        self.policy = Policy(
            retry=RetryPolicy(attempts, BACKOFF_MS),
            unconfirmed=UnconfirmedPolicy(unconfirmed),
            rate_limit_retry=rate_limit_retry,
            confirm_window_ms=QUIET_MS,
        )
        self.pacing = Pacing(TENANT, ACCOUNT, Strategy(strategy))

    # --- running

    def write(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """One transaction, and then everything must be as it should."""
        result = self.database.write_now(function, *args, **kwargs)
        self.rows = self.read(look, self.rows, self.attempts)
        return result

    def check_doubt(self) -> None:
        """Doubt is sticky. What may have been accepted and is not settled is in doubt, or in the
        very call that may have brought it there; and only an operator or a receipt has it failed.
        """
        for row in self.rows.messages.values():
            if row.status == MessageStatus.QUEUED and not row.in_doubt:
                batch = self.rows.batches[row.batch_id]
                in_call = batch.fence if batch.status == BatchStatus.SUBMITTING else None
                doubtful = self.doubts.is_doubtful(row.id, in_call)
            elif row.status == MessageStatus.FAILED and row.reason not in _TOLD:
                doubtful = self.doubts.is_doubtful(row.id)
            else:
                continue
            assert not doubtful, (
                f"message {row.id} is {row.status} ({row.reason}), not in doubt, after "
                f"{self.doubts.of_message[row.id]}"
            )

    def read(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return self.database.read_now(function, *args, **kwargs)

    def pass_time(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds / 1000)

    @property
    def now(self) -> int:
        return self.clock.now_ms()

    # --- making

    def make_tenant(self) -> int:
        tenant_id: int = self.write(tenants.keep, f"tenant {len(self.tenants)}").id
        self.tenants.append(tenant_id)
        self.phones[tenant_id] = []
        self.limit_is("tenant", tenant_id, None, None)
        return tenant_id

    def make_account(self, kind: str, server_error: str) -> int:
        values = {
            "provider": "simulator",
            "base_url": "http://localhost",
            "external_id": "1",
            "api_key": "secret",
            "sender": "ACME",
            "server_error": server_error,
        }
        name = f"account {len(self.accounts)}"
        account_id: int = self.write(accounts.keep, name=name, values=values).id
        self.accounts.append(account_id)
        self.kinds[account_id] = KINDS[kind]
        self.told[account_id] = []
        self.limit_is("account", account_id, None, None)
        return account_id

    def limit_is(self, whose: str, key: int, rate_max: int | None, window_ms: int | None) -> None:
        default = TENANT if whose == "tenant" else ACCOUNT
        limit = replace(
            default, max=rate_max or default.max, window_ms=window_ms or default.window_ms
        )
        self.uses.setdefault((whose, key), Use()).change(limit, self.now)

    # --- looking

    def policy_of(self, account: Any) -> Policy:
        """The policy on an account, from its row and what its provider promises."""
        kind = self.kinds[account.id]
        return replace(
            self.policy,
            server_error=ServerErrorPolicy(account.server_error),
            deduplicates=kind.deduplicates,
            dedupe_horizon_ms=kind.dedupe_horizon_ms,
            looks_up=kind.looks_up,
        )

    def account(self, account_id: int) -> AnyRow:
        return self.read(accounts.get, account_id)

    def reference(self, message_id: int, generation: int) -> str:
        prefix = self.read(lambda c: c.execute(select(installation.c.prefix)).scalar_one())
        return reference(prefix, message_id, generation)

    def trips_at(self, *stages: str) -> list[Trip]:
        return [trip for trip in self.trips if trip.stage in stages]

    def proven(self, message_id: int) -> bool:
        """Whether a receipt has settled this message, whatever its call came to."""
        row = self.rows.messages[message_id]
        return bool(row.status == MessageStatus.SENT or row.delivery != Delivery.NONE)

    # --- what several rules do

    def suppress(self, tenant_id: int, phones: Sequence[str], source: str) -> None:
        self.write(suppressions.add, tenant_id, phones, "stop", source=suppressions.Source(source))
        assert {(tenant_id, phone) for phone in phones} <= self.rows.suppressed

    def release_all(self, *, really: bool = True) -> None:
        for account_id in self.accounts if really else ():
            row = self.account(account_id)
            if row.held_at is not None or row.closed_until is not None:
                self.write(accounts.release, account_id)

    def fold(self) -> None:
        while self.write(receipts.fold).taken:
            pass

    def index(self) -> None:
        while self.write(provider_messages.index):
            pass

    def put_receipts(self, account_id: int, *rows: InboxRow) -> None:
        self.write(inbox.put, account_id, rows)


def picked(things: Sequence[T], pick: int) -> T:
    return things[pick % len(things)]
