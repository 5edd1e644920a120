"""The providers of the state machine: what they truly do with a call, and what we are told of it.

Each remembers what it accepted, so that it deduplicates, answers look-ups and sends receipts as one
that keeps its word would. It is also a second oracle: nobody gets a second SMS unless the risk was
taken by who may take it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields

from paceline.domain.outcome import (
    Answered,
    Known,
    NoAnswer,
    NotSent,
    Outcome,
    Refused,
    Rejected,
    Rejection,
    ServerError,
    Throttled,
)

HORIZON_MS = 200_000
"""What the forgetful promise: longer than a lease and the quiet period together."""
_LONGER_MS = 1_000
"""They remember a little longer than that: a call takes its time from the intent to its arrival."""


@dataclass(frozen=True)
class Kind:
    """What a provider promises."""

    deduplicates: bool = False
    dedupe_horizon_ms: int | None = None
    looks_up: bool = False
    look_up_horizon_ms: int | None = None


KINDS = {
    "plain": Kind(),
    "deduplicates": Kind(deduplicates=True),
    "forgets": Kind(deduplicates=True, dedupe_horizon_ms=HORIZON_MS),
    "looks up": Kind(looks_up=True),
    "forgets look-ups": Kind(looks_up=True, look_up_horizon_ms=HORIZON_MS),
    "both": Kind(deduplicates=True, dedupe_horizon_ms=HORIZON_MS, looks_up=True),
}


@dataclass(frozen=True, repr=False)
class Fate:
    """What is to become of a call. ``chosen`` picks messages by the bits of their positions: those
    that are rejected, those for whose sake the whole call is, or those that were accepted although
    no word of it came.
    """

    kind: str = "answered"
    chosen: int = 0
    retryable: bool = False
    words: str = "no"
    reason: str = "rejected"
    retry_after_ms: int | None = None
    after_ms: int = 0
    """Between the intent and the first byte."""
    lead_ms: int = 0
    """So far ahead the permit is to be stamped."""
    followed_up: bool = True
    """What it means for others than its batch is seen to; else the worker dies before that."""

    def __repr__(self) -> str:
        """Only what is not as usual, so that the steps to a failure can be read."""
        told = [
            f"{each.name}={getattr(self, each.name)!r}"
            for each in fields(self)
            if getattr(self, each.name) != each.default
        ]
        return f"Fate({', '.join(told)})"

    def picks(self, position: int) -> bool:
        return bool(self.chosen >> (position % 4) & 1)

    @property
    def rejection(self) -> Rejection:
        return Rejection(self.words, reason=self.reason, retryable=self.retryable)


ACCEPTED = Fate()


@dataclass(frozen=True)
class Outgoing:
    """One message of a call, as a provider gets it."""

    message_id: int
    reference: str


@dataclass(frozen=True)
class Accepted:
    """One SMS that went out."""

    account_id: int
    message_id: int
    reference: str
    name: str
    """What the provider calls it."""
    at: int


@dataclass
class Providers:
    """All of them, and what they truly accepted."""

    accepted: list[Accepted] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)
    """Messages that no call may hold, and the words with which it is rejected whole."""

    def answer(
        self, account_id: int, kind: Kind, call: Sequence[Outgoing], fate: Fate, at: int
    ) -> tuple[Outcome, set[int]]:
        """Take a call; return what the worker is told, and whose SMS went out by it."""
        before = len(self.accepted)
        if fate.kind == "rejected":
            chosen = [each.message_id for i, each in enumerate(call) if fate.picks(i)]
            self.faults |= dict.fromkeys(chosen, fate.words)
        faults = [self.faults[each.message_id] for each in call if each.message_id in self.faults]
        outcome = _nothing_taken(fate, faults)
        if outcome is None and fate.kind in {"no answer", "server error"}:
            for position, each in enumerate(call):
                if fate.picks(position):
                    self._take(account_id, kind, each, at)
            outcome = NoAnswer(fate.words)
            if fate.kind == "server error":
                outcome = ServerError(fate.words, 503, fate.retry_after_ms)
        if outcome is None:
            outcome = self._answered(account_id, kind, call, fate, at)
        return outcome, {each.message_id for each in self.accepted[before:]}

    def _answered(
        self, account_id: int, kind: Kind, call: Sequence[Outgoing], fate: Fate, at: int
    ) -> Answered:
        """An answer for each message: what was accepted before is accepted."""
        names: list[str | None] = []
        for position, each in enumerate(call):
            rejected = fate.kind == "answered" and fate.picks(position)
            if rejected and self._remembered(account_id, kind, each, at) is None:
                names.append(None)
            else:
                names.append(self._take(account_id, kind, each, at))
        return Answered(names, {i: fate.rejection for i, name in enumerate(names) if name is None})

    def look_up(
        self, account_id: int, kind: Kind, references: Sequence[str], at: int
    ) -> dict[str, Known]:
        """What a provider knows of these references; what it has forgotten it does not know."""
        horizon = kind.look_up_horizon_ms
        return {
            each.reference: Known(each.name)
            for each in self.accepted
            if each.account_id == account_id
            and each.reference in references
            and (horizon is None or at - each.at < horizon + _LONGER_MS)
        }

    def _take(self, account_id: int, kind: Kind, each: Outgoing, at: int) -> str:
        known = self._remembered(account_id, kind, each, at)
        if known is None:
            name = f"p{len(self.accepted)}"
            known = Accepted(account_id, each.message_id, each.reference, name, at)
            self.accepted.append(known)
        return known.name

    def _remembered(self, account_id: int, kind: Kind, each: Outgoing, at: int) -> Accepted | None:
        return next(self._remembering(account_id, kind, each, at), None)

    def _remembering(
        self, account_id: int, kind: Kind, each: Outgoing, at: int
    ) -> Iterator[Accepted]:
        horizon = kind.dedupe_horizon_ms
        if kind.deduplicates:
            for known in self.accepted:
                same = (known.account_id, known.reference) == (account_id, each.reference)
                if same and (horizon is None or at - known.at < horizon + _LONGER_MS):
                    yield known


def _nothing_taken(fate: Fate, faults: Sequence[str]) -> Outcome | None:
    """What a worker is told of a call of which nobody looked at a single message."""
    match fate.kind:
        case "too large":
            return Rejected(fate.rejection, 413)
        case "refused":
            return Refused(fate.words, 401)
        case "throttled":
            return Throttled(retry_after_ms=fate.retry_after_ms)
        case "not sent":
            return NotSent(fate.words)
        case "answered" | "rejected" if faults:
            return Rejected(Rejection(faults[0], reason=fate.reason))
    return None
