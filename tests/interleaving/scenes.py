"""What two operations meet over: batches in every state that one of them may take up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, update

from paceline.domain.limits import Limit, Window
from paceline.domain.message import BatchStatus
from paceline.domain.outcome import Answered, Rejected, Rejection
from paceline.domain.verdict import Policy
from paceline.storage import confirmations, inbox, outcomes
from paceline.storage.batches import ReservedBatch
from paceline.storage.confirmations import Doubted
from paceline.storage.database import AnyRow
from paceline.storage.doubt import Decision
from paceline.storage.inbox import InboxRow
from paceline.storage.limits import limit_of
from paceline.storage.schema import batches, tenants, traffic_accounts
from tests.storage.world import LEASE_MS, PACING, Call, World

P = ParamSpec("P")
T = TypeVar("T")

LETTERS = "abcdef"
WRONG_CALL = Rejection("400", "wrong sender")

EXPIRED = "expired"
"""Reserved, and the lease has run out."""
LATE = "late"
"""Its call may have been made, and the lease has run out in silence."""
UNCONFIRMED = "unconfirmed"
"""As late, and it has been taken back."""
DOUBTED = "doubted"
"""As unconfirmed, and its provider is being asked."""
RETRIED = "retried"
"""As doubted; the provider deduplicates, so it was queued again in doubt, and it is reserved."""
RESENT = "resent"
"""As unconfirmed; an operator had it sent again, and it is reserved."""
ANSWERED_LATE = "answered late"
"""As resent; its first call was answered after all, which is indexed, and another one was made."""
SENT_TWICE = "sent twice"
"""As answered late, and the other call was accepted too, which nobody has indexed."""
SENT = "sent"
"""Its call was accepted. Nobody has indexed the answer."""
PARKED = "parked"
"""Its call was rejected whole; so was its scout, and nobody has concluded anything from that."""
SUBMITTING = "submitting"
RESERVED = "reserved"
QUEUED = "queued"
_AGAIN = (RESENT, ANSWERED_LATE, SENT_TWICE)
_OLD = (EXPIRED, LATE, UNCONFIRMED, DOUBTED, RETRIED, *_AGAIN)
_ORDER = (*_OLD, PARKED, SENT, SUBMITTING, RESERVED, QUEUED)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt in the inbox, of a batch's message at ``position``."""

    letter: str
    position: int
    delivery: str = "delivered"
    by_name: bool = False
    """It has the provider's name of the message only, else our reference as well."""
    generation: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be there. Batches are named by letters, in the order in which they are listed,
    which is that of the constants above.
    """

    batches: Sequence[str]
    size: int = 2
    """Messages of a batch."""
    singles: bool = False
    """They are single messages, without a campaign."""
    campaigns: int = 1
    """Of one tenant, to the same contacts; batches are theirs in turn."""
    tenants: int = 1
    """With a campaign each, on one account; batches are theirs in turn."""
    accounts: int = 1
    """With a campaign each, of one tenant. Only for queued batches."""
    room: int = 1
    """Permits that are left in every window."""
    policy: Policy = field(default_factory=Policy)
    suppressed: Sequence[tuple[str, int]] = ()
    """Who has opted out since: letters and positions."""
    receipts: Sequence[Receipt] = ()
    failures: int = 0
    """Of the account, in a row: more than none, and one batch has to go ahead alone."""


class Scene:
    """A plan that has been carried out."""

    def __init__(self, world: World, plan: Plan) -> None:
        self.world = world
        self.plan = plan
        self.policy = plan.policy
        self.campaigns: list[int] = []
        self.reserved: dict[str, ReservedBatch] = {}
        self.calls: dict[str, Call] = {}
        """The newest one of each batch that has had one."""
        self.doubted: dict[str, Doubted] = {}
        self.scouts: dict[str, int] = {}
        self.messages: dict[str, list[AnyRow]] = {}
        self.accepted: dict[int, frozenset[int]] = {}
        """Attempt → the messages that the provider has accepted, or may have for all we know. Of
        attempts that are not in here: every message of the call.
        """
        self.forgiven: set[int] = set()
        """Attempts that an operator has taken, or may take, the risk of a second SMS with."""
        self.made: dict[int, frozenset[int]] = {}
        """Attempt → the messages of its call, of the calls that the scene begins with."""
        world.policy = plan.policy

    def write(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a storage function as the product does."""
        return self.world.database.write_now(function, *args, **kwargs)

    def policy_of(self, _account: Any) -> Policy:
        return self.policy

    @property
    def phone_of(self) -> dict[int, str]:
        """By message id."""
        return {row.id: row.phone for rows in self.messages.values() for row in rows}

    def batch_id(self, letter: str) -> int:
        found: int = self.messages[letter][0].batch_id
        return found

    def ids(self, letter: str) -> list[int]:
        return [message.id for message in self.messages[letter]]

    def phones(self, letter: str, positions: Sequence[int]) -> list[str]:
        return [self.messages[letter][position].phone for position in positions]

    def tenant(self, letter: str) -> int:
        found: int = self.messages[letter][0].tenant_id
        return found


def build(world: World, plan: Plan) -> Scene:
    """Make the world as planned, with the functions of the product."""
    scene = Scene(world, plan)
    letters = dict(zip(LETTERS, plan.batches, strict=False))
    assert list(plan.batches) == sorted(plan.batches, key=_ORDER.index), "reserved in this order"
    _launch(scene)
    old = {letter: what for letter, what in letters.items() if what in _OLD}
    for letter, what in old.items():
        _take(scene, letter, call=what != EXPIRED)
    if old:
        world.pass_time(LEASE_MS)
        _grow_old(scene, old)
    for letter, what in letters.items():
        if what == PARKED:
            _park(scene, letter)
        elif what in {SENT, SUBMITTING, RESERVED}:
            _take(scene, letter, call=what != RESERVED)
            if what == SENT:
                world.record(scene.calls[letter], accepted(scene.calls[letter]))
        elif what == QUEUED:
            _leave(scene, letter)
    _leave_room(scene)
    for letter, position in plan.suppressed:
        world.suppress(*scene.phones(letter, [position]), tenant=scene.tenant(letter))
    if plan.receipts:
        rows = [_inbox_row(scene, receipt) for receipt in plan.receipts]
        world.write(inbox.put, world.main, rows)
    return scene


def _launch(scene: Scene) -> None:
    world, plan = scene.world, scene.plan
    if plan.singles:
        for n in range(len(plan.batches)):
            world.single(f"+3069{n:08}")
        return
    of_each = len(plan.batches) // (plan.campaigns * plan.tenants * plan.accounts)
    owners = [world.acme, *(world.tenant(f"rival {n}") for n in range(1, plan.tenants))]
    for tenant in owners:
        world.contacts(of_each * plan.size, tenant)
    accounts = [world.main, *(world.account(f"spare {n}") for n in range(1, plan.accounts))]
    drafts = [
        world.draft(tenant, account)
        for tenant in owners
        for account in accounts
        for _ in range(plan.campaigns)
    ]
    scene.campaigns = [world.start(draft, batch_size=plan.size) for draft in drafts]


def _take(scene: Scene, letter: str, *, call: bool) -> None:
    world = scene.world
    batch = world.reserve()
    scene.reserved[letter] = batch
    scene.messages[letter] = world.messages(batch_id=batch.id)
    if call:
        _call(scene, letter)


def _call(scene: Scene, letter: str) -> None:
    made = scene.calls[letter] = scene.world.call(scene.reserved[letter])
    scene.made[made.attempt.id] = frozenset(made.ids)


def _leave(scene: Scene, letter: str) -> None:
    """The first queued batch that has no letter."""
    taken = {rows[0].batch_id for rows in scene.messages.values()}
    queued = scene.world.rows(batches, status=BatchStatus.QUEUED)
    batch = next(row for row in queued if row.id not in taken)
    scene.messages[letter] = scene.world.messages(batch_id=batch.id)


def _grow_old(scene: Scene, old: Mapping[str, str]) -> None:
    world = scene.world
    for letter, what in old.items():
        if what not in {EXPIRED, LATE}:
            world.write(outcomes.expire, scene.batch_id(letter), scene.policy_of)
    if {DOUBTED, RETRIED} & set(old.values()):
        world.pass_time(scene.policy.confirm_window_ms)
        claimed = world.write(confirmations.claim, limit=10, lease_ms=120_000)
        by_batch = {doubted.batch_id: doubted for doubted in claimed}
        scene.doubted = {
            letter: by_batch[scene.batch_id(letter)]
            for letter, what in old.items()
            if what in {DOUBTED, RETRIED}
        }
    for letter, what in old.items():
        if what == RETRIED:
            world.write(confirmations.send_again, scene.doubted[letter], scene.policy)
            world.pass_time(scene.policy.retry.delay_ms(1))
            scene.reserved[letter] = world.reserve()
        if what in _AGAIN:
            _send_again(scene, letter, what)


def _send_again(scene: Scene, letter: str, what: str) -> None:
    world, first = scene.world, scene.calls[letter]
    world.decide(scene.batch_id(letter), Decision.RESEND)
    scene.forgiven.add(first.attempt.id)
    scene.reserved[letter] = world.reserve()
    if what == RESENT:
        return
    _call(scene, letter)
    world.record(first, accepted(first))
    world.names()
    if what == SENT_TWICE:
        world.record(scene.calls[letter], accepted(scene.calls[letter]))


def _park(scene: Scene, letter: str) -> None:
    world = scene.world
    _take(scene, letter, call=True)
    whole = scene.calls[letter]
    world.record(whole, Rejected(WRONG_CALL))
    scout = world.call()
    scene.scouts[letter] = scout.attempt.batch.id
    world.record(scout, Rejected(WRONG_CALL))
    for call in (whole, scout):
        scene.made[call.attempt.id] = frozenset(call.ids)
        scene.accepted[call.attempt.id] = frozenset()


def _leave_room(scene: Scene) -> None:
    """Set all limits so that a few permits are left in every window."""
    world, plan = scene.world, scene.plan
    owners = {rows[0].tenant_id for rows in scene.messages.values()}

    def change(connection: Connection) -> None:
        for table, default in ((tenants, PACING.tenant), (traffic_accounts, PACING.account)):
            for row in connection.execute(table.select()).all():
                if table is tenants and row.id not in owners:
                    continue
                used = permits(row, default, world.now)
                changed = update(table).where(table.c.id == row.id)
                connection.execute(changed.values(rate_max=used + plan.room))
        if plan.failures:
            connection.execute(
                update(traffic_accounts).values(failures=plan.failures, closed_at=world.now - 1)
            )

    world.write(change)


def permits(row: Any, default: Limit, now: int) -> int:
    """How many the window of a tenant or an account counts."""
    expired = now - limit_of(row, default).span_ms
    return sum(n for time, n in Window.decode(row.grants).grants if time > expired)


def _inbox_row(scene: Scene, receipt: Receipt) -> InboxRow:
    message = scene.messages[receipt.letter][receipt.position]
    name = name_of(message.id, receipt.generation)
    reference = ""
    if not receipt.by_name:
        reference = scene.world.reference(message.id, receipt.generation)
    return InboxRow(name, reference, receipt.delivery, receipt.error, None)


def accepted(call: Call) -> Answered:
    """The answer that takes every message of a call."""
    return Answered([name_of(i, call.attempt.batch.generation) for i in call.ids])


def name_of(message_id: int, generation: int) -> str:
    """What the provider calls a message."""
    return f"p{message_id}-{generation}"
