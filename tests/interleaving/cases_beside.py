"""What comes in between now and then, against what runs all day."""

from __future__ import annotations

from collections.abc import Iterator

from paceline.domain.verdict import Policy
from paceline.storage.doubt import Decision
from tests.interleaving import operations as op
from tests.interleaving.cases import DEDUPES, Case, delivered
from tests.interleaving.scenes import (
    DOUBTED,
    LATE,
    PARKED,
    QUEUED,
    SENT,
    SENT_TWICE,
    SUBMITTING,
    UNCONFIRMED,
    Plan,
    Receipt,
    accepted,
)

_ASKS = Policy(looks_up=True)


def _confirming() -> Iterator[Case]:
    asked = Plan([DOUBTED], policy=_ASKS)
    all_known, one_known, none_known = op.confirm("a", 0, 1), op.confirm("a", 0), op.confirm("a")
    late, never = op.record(("a", accepted)), op.record(("a", op.not_sent))
    yield Case("all known, the answer comes late", all_known, late, asked)
    yield Case("none known, the answer comes late", none_known, never, asked)
    for what, confirm in (("all", all_known), ("one", one_known), ("none", none_known)):
        yield Case(f"{what} known", confirm, op.cancel(), asked)
        yield Case(f"{what} known", confirm, op.pause(), asked)
    told = Plan([DOUBTED], policy=_ASKS, receipts=delivered("a", 0))
    for what, confirm in (("all", all_known), ("one", one_known)):
        yield Case(f"{what} known, one delivered", confirm, op.fold(), told)
    single = Plan([DOUBTED], policy=_ASKS, singles=True, receipts=delivered("a", 0))
    yield Case("single, delivered", op.confirm("a", 0), op.fold(), single)
    yield Case("single", op.confirm("a", 0), late, Plan([DOUBTED], policy=_ASKS, singles=True))
    another = Plan([LATE, DOUBTED], policy=_ASKS)
    yield Case("another batch", op.confirm("b", 0), op.recover("a"), another)
    for what, confirm in (("one", one_known), ("none", none_known)):
        yield Case(f"{what} known, twice", confirm, confirm, asked)
    for decision in Decision:
        yield Case(f"all known, {decision}", all_known, op.decide("a", decision), asked)

    again = op.send_again("a")
    remembered = Plan([DOUBTED], policy=DEDUPES)
    yield Case("sent again, the answer comes late", again, late, remembered)
    yield Case("sent again", again, op.cancel(), remembered)
    told = Plan([DOUBTED], policy=DEDUPES, receipts=delivered("a", 0, 1))
    yield Case("sent again, all delivered", again, op.fold(), told)


def _scouting() -> Iterator[Case]:
    scout = op.after_scout("a")
    parked = Plan([PARKED], size=4)
    yield Case("twice", scout, op.after_scout("a"), parked)
    yield Case("its campaign", scout, op.cancel(), parked)
    yield Case("its campaign", scout, op.pause(), parked)
    yield Case("its rest", scout, op.reserve(), parked)
    another = Plan([PARKED, SUBMITTING], size=4, receipts=delivered("b", 0))
    yield Case("another batch", scout, op.record(("b", accepted)), another)
    yield Case("another batch", scout, op.fold(), another)
    late = Plan([LATE, PARKED], size=4)
    yield Case("another batch", op.after_scout("b"), op.recover("a"), late)


def _indexing() -> Iterator[Case]:
    index = op.index()
    yield Case("twice", index, op.index(), Plan([SENT]))
    yield Case("another answer", index, op.record(("b", accepted)), Plan([SENT, SUBMITTING]))
    for delivery in ("delivered", "undelivered"):
        for by_name in (True, False):
            receipts = (Receipt("a", 0, delivery, by_name=by_name),)
            what = f"{delivery} by {'name' if by_name else 'reference'}"
            yield Case(what, index, op.fold(), Plan([SENT], receipts=receipts))
    one_of_each = (Receipt("a", 0, "undelivered"), Receipt("a", 1, by_name=True, generation=1))
    plan = Plan([SENT_TWICE], receipts=one_of_each)
    yield Case("sent twice", index, op.fold(), plan)
    yield Case("sent twice", op.fold(1), op.fold(1), plan)
    yield Case("sent", op.fold(1), op.fold(1), Plan([SENT], receipts=one_of_each[:1] * 2))


def _deciding() -> Iterator[Case]:
    for decision in Decision:
        decide = op.decide("a", decision)
        in_doubt = Plan([UNCONFIRMED])
        yield Case(f"{decision}, accepted", decide, op.record(("a", accepted)), in_doubt)
        yield Case(decision, decide, op.cancel(), in_doubt)
        yield Case(decision, decide, op.recover("a"), Plan([LATE]))
        told = Plan([UNCONFIRMED], receipts=delivered("a", 0))
        yield Case(f"{decision}, one delivered", decide, op.fold(), told)
        told = Plan([UNCONFIRMED], singles=True, receipts=delivered("a", 0))
        yield Case(f"{decision}, single, delivered", decide, op.fold(), told)
    fail, accept = op.decide("a", Decision.FAIL), op.decide("a", Decision.ACCEPT)
    yield Case("two operators", fail, accept, Plan([UNCONFIRMED]))


def _voiding() -> Iterator[Case]:
    yield Case("its call", op.void("a"), op.recover("a"), Plan([LATE]))
    for other in (op.cancel(), op.pause(), op.reserve()):
        yield Case("its campaign", op.void("a"), other, Plan([SUBMITTING, QUEUED], room=2))


def _splitting() -> Iterator[Case]:
    split = op.record(("b", op.rejected_whole))
    plan = Plan([UNCONFIRMED, SUBMITTING], receipts=delivered("a", 0, 1))
    yield Case("split, another batch", split, op.fold(), plan)
    plan = Plan([LATE, SUBMITTING])
    yield Case("split, another batch", split, op.recover("a"), plan)


def cases_beside() -> list[Case]:
    """Pairs of what is rarer with what it may meet."""
    groups = (_confirming, _scouting, _indexing, _deciding, _voiding, _splitting)
    return [case for group in groups for case in group()]
