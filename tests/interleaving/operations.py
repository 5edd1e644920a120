"""What meets: the operations of the engine, transaction by transaction as it runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from paceline.domain.campaign import CampaignVerb
from paceline.domain.errors import ConflictError, WrongStateError
from paceline.domain.message import Reason
from paceline.domain.outcome import (
    Answered,
    Known,
    NoAnswer,
    NotSent,
    Outcome,
    Refused,
    Rejected,
    Rejection,
    Throttled,
)
from paceline.storage import (
    batches,
    campaigns,
    confirmations,
    intents,
    opt_outs,
    outcomes,
    provider_messages,
    receipts,
    scouts,
    suppressions,
    turns,
)
from paceline.storage import doubt as doubts
from paceline.storage.batches import LostReservationError
from paceline.storage.conclusion import Recorded
from paceline.storage.doubt import Decision
from paceline.storage.outcomes import Result
from paceline.storage.wishes import Gone, Intent, Lost, Stale, Wait, Wish
from tests.interleaving.scenes import WRONG_CALL, Scene, accepted, name_of
from tests.storage.world import LEASE_MS, PACING, Call

Answer: TypeAlias = Callable[[Call], Outcome]
"""What becomes of a call."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One side of a pair."""

    name: str
    run: Callable[[Scene], Any]
    may_raise: tuple[type[Exception], ...] = ()
    """How it is told that the other one was there first."""
    truth: Callable[[Scene], None] = lambda _scene: None
    """Tells the scene what the provider has done."""


def reserve(want: int = 1, *, backwards: bool = False) -> Operation:
    """``backwards``: beginning behind the first account."""

    def run(scene: Scene) -> Any:
        return scene.write(
            turns.reserve,
            want=want,
            lease_ms=LEASE_MS,
            pacing=PACING,
            first_account=scene.world.main + backwards,
        )

    return Operation("reserve", run)


def intent(*letters: str) -> Operation:
    """Rendered batches at the gate: as far as an attempt, or back."""

    def run(scene: Scene) -> list[Intent]:
        ids = {letter: scene.ids(letter) for letter in letters}
        reserved = {letter: scene.reserved[letter] for letter in letters}
        wishes = [Wish(reserved[letter], len(ids[letter])) for letter in letters]
        said = _intend(scene, wishes)
        return [
            _after_the_gate(scene, wish, ids[letter], each)
            for letter, wish, each in zip(letters, wishes, said, strict=True)
        ]

    return Operation("intent", run, may_raise=(LostReservationError,))


def _intend(scene: Scene, wishes: Sequence[Wish]) -> list[Intent]:
    return scene.write(
        intents.intend,
        wishes,
        pacing=PACING,
        lease_ms=LEASE_MS,
        worker="interleaved",
        monotonic=scene.world.clock.monotonic,
    )


def _after_the_gate(scene: Scene, wish: Wish, ids: list[int], said: Intent) -> Intent:
    batch = wish.batch
    while isinstance(said, Stale):
        dropped, batch = scene.write(opt_outs.drop, batch)
        ids = [message_id for message_id in ids if message_id not in dropped]
        if not ids:
            return Gone("nobody is left to send to")
        (said,) = _intend(scene, [Wish(batch, len(ids))])
    if isinstance(said, Wait):
        scene.write(batches.give_back, batch)
    if isinstance(said, Lost):
        raise LostReservationError(batch.id)
    return said


# --- answers, of a call; with what the provider has accepted


def not_sent(_call: Call) -> Outcome:
    return NotSent("down")


def no_answer(_call: Call) -> Outcome:
    return NoAnswer("timed out")


def refused(_call: Call) -> Outcome:
    return Refused("402", 402)


def throttled(_call: Call) -> Outcome:
    return Throttled(retry_after_ms=500)


def rejected_whole(_call: Call) -> Outcome:
    return Rejected(WRONG_CALL)


def one_rejected(call: Call) -> Outcome:
    return _all_but_the_first(call, Rejection("21211", "no number", reason=Reason.INVALID_NUMBER))


def one_for_now(call: Call) -> Outcome:
    return _all_but_the_first(call, Rejection("E1", "try later", retryable=True))


def one_opted_out(call: Call) -> Outcome:
    return _all_but_the_first(call, Rejection("21610", "stopped", reason=Reason.OPTED_OUT))


def _all_but_the_first(call: Call, rejection: Rejection) -> Outcome:
    return Answered([None, *accepted(call).provider_ids[1:]], {0: rejection})


def record(*answers: tuple[str, Answer]) -> Operation:
    """Answers to the newest calls of batches, recorded together, and what follows from them."""

    def run(scene: Scene) -> list[Recorded]:
        said = [(scene.calls[letter], answer(scene.calls[letter])) for letter, answer in answers]
        results = [Result(call.attempt, call.ids, each, scene.policy) for call, each in said]
        recorded = scene.write(outcomes.record, results)
        for (call, each), one in zip(said, recorded, strict=True):
            _follow_up(scene, call, each, one)
        return recorded

    def truth(scene: Scene) -> None:
        for letter, answer in answers:
            call = scene.calls[letter]
            if call.attempt.id not in scene.accepted:
                scene.accepted[call.attempt.id] = _accepted_by(answer(call), call)

    return Operation("record", run, truth=truth)


def _follow_up(scene: Scene, call: Call, outcome: Outcome, recorded: Recorded) -> None:
    if recorded.was_scout:
        scene.write(scouts.after_scout, call.attempt.batch.id)
    if recorded.verdict is None or not isinstance(outcome, Answered):
        return
    blocked = [
        scene.phone_of[call.ids[position]]
        for position, rejection in outcome.rejections.items()
        if rejection.reason == Reason.OPTED_OUT
    ]
    if blocked:
        scene.write(suppressions.block, call.attempt.batch.tenant_id, blocked)


def _accepted_by(outcome: Outcome, call: Call) -> frozenset[int]:
    if isinstance(outcome, Answered):
        return frozenset(
            message_id
            for message_id, name in zip(call.ids, outcome.provider_ids, strict=True)
            if name is not None
        )
    return frozenset(call.ids) if isinstance(outcome, NoAnswer) else frozenset()


# --- what people do


def cancel(campaign: int = 0) -> Operation:
    def run(scene: Scene) -> None:
        campaign_id = scene.campaigns[campaign]
        scene.write(campaigns.cancel, scene.world.acme, campaign_id)
        while scene.write(campaigns.sweep_cancelled, campaign_id):
            pass

    return Operation("cancel", run, may_raise=(WrongStateError,))


def pause(campaign: int = 0) -> Operation:
    def run(scene: Scene) -> None:
        campaign_id = scene.campaigns[campaign]
        tenant = scene.world.acme
        scene.write(lambda c: campaigns.change(c, tenant, campaign_id, CampaignVerb.PAUSE))

    return Operation("pause", run, may_raise=(WrongStateError,))


def opt_out(letter: str, *positions: int) -> Operation:
    def run(scene: Scene) -> int:
        phones = scene.phones(letter, positions)
        return scene.write(suppressions.add, scene.tenant(letter), phones, "stop")

    return Operation("opt-out", run)


def decide(letter: str, decision: Decision) -> Operation:
    def run(scene: Scene) -> int:
        return scene.write(
            doubts.decide,
            scene.batch_id(letter),
            decision,
            actor="operator",
            policy_of=scene.policy_of,
        )

    def truth(scene: Scene) -> None:
        if decision is Decision.RESEND:
            scene.forgiven.add(scene.calls[letter].attempt.id)

    return Operation("decide", run, may_raise=(ConflictError,), truth=truth)


# --- what happens by itself


def fold(limit: int = receipts.FOLD_AT_ONCE) -> Operation:
    return Operation("fold", lambda scene: scene.write(receipts.fold, limit=limit))


def index() -> Operation:
    return Operation("index", lambda scene: scene.write(provider_messages.index))


def recover(*letters: str) -> Operation:
    def run(scene: Scene) -> list[Any]:
        return [
            scene.write(outcomes.expire, scene.batch_id(letter), scene.policy_of)
            for letter in letters
        ]

    return Operation("recover", run)


def confirm(letter: str, *known: int) -> Operation:
    """The provider was asked and knows the messages at these positions."""

    def run(scene: Scene) -> Recorded:
        ids = {scene.ids(letter)[position] for position in known}
        doubted = scene.doubted[letter]
        told = {
            reference: Known(name_of(message_id, 0))
            for reference, message_id in doubted.references.items()
            if message_id in ids
        }
        return scene.write(confirmations.record, doubted, told, scene.policy)

    def truth(scene: Scene) -> None:
        ids = scene.ids(letter)
        attempt_id = scene.calls[letter].attempt.id
        scene.accepted[attempt_id] = frozenset(ids[position] for position in known)

    return Operation("confirm", run, truth=truth)


def send_again(letter: str) -> Operation:
    """The provider deduplicates, so the quiet period ends with another try."""
    return Operation(
        "confirm",
        lambda scene: scene.write(confirmations.send_again, scene.doubted[letter], scene.policy),
    )


def after_scout(letter: str) -> Operation:
    return Operation("scout", lambda scene: scene.write(scouts.after_scout, scene.scouts[letter]))


def void(letter: str) -> Operation:
    """The permit ran out before the first byte."""

    def run(scene: Scene) -> Any:
        return scene.write(outcomes.void, scene.calls[letter].attempt, LEASE_MS)

    def truth(scene: Scene) -> None:
        scene.accepted[scene.calls[letter].attempt.id] = frozenset()

    return Operation("void", run, may_raise=(LostReservationError,), truth=truth)
