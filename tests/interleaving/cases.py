"""Which operations meet, and over what. A pair has a case for each way in which they can."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from paceline.domain.verdict import Policy
from tests.interleaving import operations as op
from tests.interleaving.operations import Answer, Operation
from tests.interleaving.scenes import (
    EXPIRED,
    LATE,
    QUEUED,
    RESENT,
    RESERVED,
    RETRIED,
    SUBMITTING,
    UNCONFIRMED,
    Plan,
    Receipt,
    accepted,
)

DEDUPES = Policy(deduplicates=True)


@dataclass(frozen=True, slots=True)
class Case:
    """Two operations and what they meet over."""

    what: str
    first: Operation
    second: Operation
    plan: Plan

    @property
    def name(self) -> str:
        first, second = self.pair
        return f"{first}/{second}: {self.what}"

    @property
    def pair(self) -> tuple[str, str]:
        return self.first.name, self.second.name

    @property
    def operations(self) -> tuple[Operation, Operation]:
        return self.first, self.second


def delivered(letter: str, *positions: int, **values: object) -> tuple[Receipt, ...]:
    return tuple(Receipt(letter, position, **values) for position in positions)  # type: ignore[arg-type]


def _reserving() -> Iterator[Case]:
    reserve = op.reserve()
    yield Case("one batch", reserve, op.reserve(), Plan([QUEUED], room=2))
    yield Case("three batches", op.reserve(2), op.reserve(2), Plan([QUEUED] * 3, room=3))
    yield Case("a probe", reserve, op.reserve(), Plan([QUEUED] * 2, room=2, failures=1))
    two = Plan([QUEUED] * 2, tenants=2, room=1)
    yield Case("two tenants", reserve, op.reserve(), two)
    two = Plan([QUEUED] * 2, accounts=2, room=2)
    yield Case("two accounts", op.reserve(2), op.reserve(2, backwards=True), two)

    yield Case("no permit for both", reserve, op.intent("a"), Plan([RESERVED, QUEUED]))
    yield Case("permits for both", reserve, op.intent("a"), Plan([RESERVED, QUEUED], room=2))

    for what, answer in (
        ("accepted", accepted),
        ("given back", op.refused),
        ("closed", op.not_sent),
        ("split", op.rejected_whole),
    ):
        yield Case(what, reserve, op.record(("a", answer)), Plan([SUBMITTING, QUEUED]))
    yield Case("its last", reserve, op.record(("a", accepted)), Plan([SUBMITTING]))

    yield Case("one batch", reserve, op.cancel(), Plan([QUEUED]))
    yield Case("a retry in doubt", reserve, op.cancel(), Plan([RESENT, QUEUED]))
    yield Case("one batch", reserve, op.pause(), Plan([QUEUED]))
    yield Case("its recipient", reserve, op.opt_out("a", 0), Plan([QUEUED]))
    yield Case(
        "another's", reserve, op.fold(), Plan([SUBMITTING, QUEUED], receipts=delivered("a", 0, 1))
    )
    yield Case("the same batch", reserve, op.recover("a"), Plan([EXPIRED]))
    yield Case("another's call", reserve, op.recover("a"), Plan([LATE, QUEUED]))


def _intending() -> Iterator[Case]:
    intent = op.intent("a")
    yield Case("the last permit", intent, op.intent("b"), Plan([RESERVED] * 2))
    yield Case("permits for both", intent, op.intent("b"), Plan([RESERVED] * 2, room=2))
    two = Plan([RESERVED] * 2, tenants=2)
    yield Case("of two tenants", intent, op.intent("b"), two)
    crossed = Plan([RESERVED] * 4, tenants=2, room=2)
    yield Case("crossed, of two tenants", op.intent("a", "d"), op.intent("c", "b"), crossed)
    yield Case("the same batch", intent, op.intent("a"), Plan([RESERVED], room=2))

    for what, answer in (
        ("accepted", accepted),
        ("closes the account", op.not_sent),
        ("holds the account", op.refused),
        ("no answer", op.no_answer),
        ("opted out", op.one_opted_out),
    ):
        plan = Plan([SUBMITTING, RESERVED])
        yield Case(what, op.intent("b"), op.record(("a", answer)), plan)
    yield Case("to its older attempt", intent, op.record(("a", accepted)), Plan([RESENT]))

    for verb in (op.cancel(), op.pause()):
        yield Case("its campaign", intent, verb, Plan([RESERVED]))
        two = Plan([RESERVED] * 2, campaigns=2, room=2)
        yield Case("one of two campaigns", op.intent("a", "b"), verb, two)
    yield Case("in doubt", intent, op.cancel(), Plan([RESENT]))

    yield Case("one recipient", intent, op.opt_out("a", 0), Plan([RESERVED]))
    yield Case("all recipients", intent, op.opt_out("a", 0, 1), Plan([RESERVED]))
    yield from _dropping()
    plan = Plan([SUBMITTING, RESERVED], receipts=delivered("a", 0))
    yield Case("another's", op.intent("b"), op.fold(), plan)
    blocked = (Receipt("a", 0, "undelivered", error="21610"),)
    plan = Plan([SUBMITTING, RESERVED], campaigns=2, receipts=blocked)
    yield Case("blocks its recipient", op.intent("b"), op.fold(), plan)
    yield Case("its reservation", intent, op.recover("a"), Plan([EXPIRED]))
    yield Case("another's call", op.intent("b"), op.recover("a"), Plan([LATE, RESERVED]))


def _dropping() -> Iterator[Case]:
    """Intents that find somebody has opted out, drop him, and ask again."""
    intent = op.intent("a")
    stale = Plan([RESERVED], suppressed=[("a", 0)])
    yield Case("after a drop", intent, op.cancel(), stale)
    for other in (op.pause(), op.opt_out("a", 1)):
        yield Case("after a drop", intent, other, stale)
    expired = Plan([EXPIRED], suppressed=[("a", 0)])
    yield Case("after a drop", intent, op.recover("a"), expired)
    in_doubt = Plan([RETRIED], policy=DEDUPES, suppressed=[("a", 0)])
    yield Case("after a drop in doubt", intent, op.cancel(), in_doubt)
    yield Case("after a drop in doubt", intent, op.record(("a", accepted)), in_doubt)
    told = replace(in_doubt, receipts=delivered("a", 0, 1))
    yield Case("after a drop in doubt", intent, op.fold(), told)
    single = replace(told, singles=True, receipts=delivered("a", 0))
    yield Case("after a drop in doubt, single", intent, op.fold(), single)


def _recording() -> Iterator[Case]:
    answer: Answer

    def record(answer: Answer, letter: str = "a") -> Operation:
        return op.record((letter, answer))

    both = Plan([SUBMITTING] * 2)
    yield Case("both accepted", record(accepted), record(accepted, "b"), both)
    yield Case("accepted, not sent", record(accepted), record(op.not_sent, "b"), both)
    yield Case("not sent, no answer", record(op.not_sent), record(op.no_answer, "b"), both)
    yield Case("both split", record(op.rejected_whole), record(op.rejected_whole, "b"), both)
    yield Case(
        "crossed, of two campaigns",
        op.record(("a", accepted), ("d", op.not_sent)),
        op.record(("c", op.no_answer), ("b", op.one_rejected)),
        Plan([SUBMITTING] * 4, campaigns=2),
    )
    for answer in (accepted, op.one_for_now):
        same = f"the same twice, {answer.__name__}"
        yield Case(same, record(answer), record(answer), Plan([SUBMITTING]))

    for answer in (accepted, op.not_sent, op.no_answer, op.one_for_now, op.rejected_whole):
        yield Case(answer.__name__, record(answer), op.cancel(), Plan([SUBMITTING, QUEUED]))
    yield Case("late", record(op.not_sent), op.cancel(), Plan([UNCONFIRMED]))
    for answer in (accepted, op.not_sent):
        yield Case(answer.__name__, record(answer), op.pause(), Plan([SUBMITTING]))
    for answer in (accepted, op.not_sent, op.one_opted_out):
        yield Case(answer.__name__, record(answer), op.opt_out("a", 0), Plan([SUBMITTING]))
    yield from _record_and_fold()
    for answer in (accepted, op.no_answer, op.not_sent, op.one_rejected, op.rejected_whole):
        yield Case(answer.__name__, record(answer), op.recover("a"), Plan([LATE]))
    single = Plan([LATE], singles=True)
    for answer in (accepted, op.not_sent, op.rejected_whole):
        yield Case(f"single, {answer.__name__}", record(answer), op.recover("a"), single)


def _record_and_fold() -> Iterator[Case]:
    for answer, receipts in (
        (accepted, delivered("a", 0)),
        (accepted, delivered("a", 0, 1)),
        (accepted, delivered("a", 1, delivery="undelivered")),
        (accepted, delivered("a", 0, by_name=True)),
        (op.no_answer, delivered("a", 0)),
        (op.no_answer, delivered("a", 0, 1)),
        (op.one_rejected, delivered("a", 1)),
        (op.one_for_now, delivered("a", 1)),
        (op.one_opted_out, delivered("a", 1, delivery="undelivered", error="21610")),
    ):
        name = f"{answer.__name__}, {len(receipts)} {receipts[0].delivery}"
        name += " by name" * receipts[0].by_name
        for state in (SUBMITTING, UNCONFIRMED):
            plan = Plan([state], receipts=receipts)
            yield Case(f"{state}: {name}", op.record(("a", answer)), op.fold(), plan)
    for state in (SUBMITTING, UNCONFIRMED):
        for delivery in ("delivered", "undelivered"):
            receipts = (Receipt("a", 0, delivery),)
            plan = Plan([state], singles=True, receipts=receipts)
            what = f"single, {state}: accepted, {delivery}"
            yield Case(what, op.record(("a", accepted)), op.fold(), plan)
        plan = Plan([state], singles=True, receipts=delivered("a", 0))
        yield Case(f"single, {state}: no answer", op.record(("a", op.no_answer)), op.fold(), plan)


def _ordering() -> Iterator[Case]:
    """What people order, against what happens by itself."""
    cancel, pause = op.cancel(), op.pause()
    yield Case("twice", cancel, op.cancel(), Plan([QUEUED] * 2))
    yield Case("one campaign", cancel, pause, Plan([QUEUED]))
    yield Case("one campaign", cancel, op.opt_out("a", 0), Plan([QUEUED]))
    yield Case("twice", pause, op.pause(), Plan([QUEUED]))
    yield Case("one campaign", pause, op.opt_out("a", 0), Plan([QUEUED]))
    for verb in (cancel, pause):
        for state in (SUBMITTING, UNCONFIRMED):
            for delivery in ("delivered", "undelivered"):
                receipts = delivered("a", 0, 1, delivery=delivery)
                plan = Plan([state], receipts=receipts)
                yield Case(f"{state}: all {delivery}", verb, op.fold(), plan)
        yield Case("a reservation", verb, op.recover("a"), Plan([EXPIRED]))
        yield Case("a call", verb, op.recover("a"), Plan([LATE, QUEUED]))
    yield Case("in doubt", cancel, op.recover("a"), Plan([RESENT]))

    yield Case("the same number", op.opt_out("a", 0), op.opt_out("a", 0), Plan([QUEUED]))
    yield Case("two numbers", op.opt_out("a", 0, 1), op.opt_out("a", 1, 0), Plan([QUEUED]))
    plan = Plan([SUBMITTING], receipts=delivered("a", 0))
    yield Case("delivered", op.opt_out("a", 0), op.fold(), plan)
    blocked = (Receipt("a", 0, "undelivered", error="21610"),)
    yield Case("blocked", op.opt_out("a", 0), op.fold(), Plan([SUBMITTING], receipts=blocked))
    yield Case("a reservation", op.opt_out("a", 0), op.recover("a"), Plan([EXPIRED]))
    yield Case("a call", op.opt_out("a", 0), op.recover("a"), Plan([LATE]))


def _folding() -> Iterator[Case]:
    fold = op.fold(1)
    one = (Receipt("a", 0, "undelivered"), Receipt("a", 0, "delivered"))
    two = (Receipt("a", 0), Receipt("a", 1))
    crossed = (*two, *reversed(two))
    yield Case("crossed", op.fold(2), op.fold(2), Plan([UNCONFIRMED], receipts=crossed))
    for state in (SUBMITTING, UNCONFIRMED):
        yield Case(f"{state}: one message", fold, op.fold(1), Plan([state], receipts=one))
        yield Case(f"{state}: two messages", fold, op.fold(1), Plan([state], receipts=two))
        single = Plan([state], singles=True, receipts=one)
        yield Case(f"single, {state}", fold, op.fold(1), single)
    singles = tuple(Receipt(letter, 0) for letter in "abba")
    plan = Plan([UNCONFIRMED] * 2, singles=True, receipts=singles)
    yield Case("crossed, singles", op.fold(2), op.fold(2), plan)
    blocked = (Receipt("a", 0, "undelivered", error="21610"), Receipt("b", 0))
    plan = Plan([SUBMITTING] * 2, receipts=blocked)
    yield Case("one blocks", fold, op.fold(1), plan)

    for state in (LATE, UNCONFIRMED):
        for receipts in (delivered("a", 0), delivered("a", 0, 1)):
            plan = Plan([state], receipts=receipts)
            yield Case(f"{state}: {len(receipts)} receipts", fold, op.recover("a"), plan)
        plan = Plan([state], singles=True, receipts=delivered("a", 0))
        yield Case(f"single, {state}", fold, op.recover("a"), plan)


def _recovering() -> Iterator[Case]:
    for state in (EXPIRED, LATE):
        yield Case(f"{state}, twice", op.recover("a"), op.recover("a"), Plan([state]))
        single = Plan([state], singles=True)
        yield Case(f"single, {state}, twice", op.recover("a"), op.recover("a"), single)
    plan = Plan([EXPIRED, LATE])
    yield Case("crossed", op.recover("a", "b"), op.recover("b", "a"), plan)


def engine_cases() -> list[Case]:
    """All pairs of what workers and people do all day."""
    groups = (_reserving, _intending, _recording, _ordering, _folding, _recovering)
    return [case for group in groups for case in group()]
