"""What the state machine knows by itself of permits and of doubt.

None of it asks the product: who may be sent to again is worked out from the design's table of
outcomes, and what a window holds from the moments at which calls were truly made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from paceline.domain.limits import Limit
from paceline.domain.outcome import Answered, NoAnswer, Outcome, ServerError
from paceline.domain.verdict import Policy, ServerErrorPolicy, UnconfirmedPolicy
from tests.storage.machine_provider import Kind


class Standing(Enum):
    """What is known of one submission of one message."""

    MAYBE = "it may have been accepted"
    NO = "it was not accepted"
    YES = "it was accepted"
    RISKED = "it may have been accepted, and who may take that risk has taken it"


@dataclass
class Submission:
    """One message in one call that was permitted."""

    message_id: int
    account_id: int
    reference: str
    at: int
    """Of the permit: it was not accepted before."""
    fence: int = 0
    standing: Standing = Standing.MAYBE
    silent_since: int | None = None
    """When its call was given up or answered without telling: the quiet period begins."""
    went_out: bool = False
    """The truth, which only the provider knows."""


UNKNOWN = -1
"""The account of a submission that only a restored backup could have told of."""


@dataclass
class Doubts:
    """Every submission there was, by message."""

    of_message: dict[int, list[Submission]] = field(default_factory=lambda: defaultdict(list))

    def permit(
        self,
        kind: Kind,
        account_id: int,
        references: Iterable[tuple[int, str]],
        at: int,
        fence: int,
    ) -> list[Submission]:
        """A call was permitted. Nothing of it may be a second SMS but as the table allows it."""
        made = []
        for message_id, reference in references:
            new = Submission(message_id, account_id, reference, at, fence)
            for earlier in self.of_message[message_id]:
                assert _may_be_followed(earlier, new, kind), f"{new} after {earlier} on {kind}"
            self.of_message[message_id].append(new)
            made.append(new)
        return made

    def went_out(self, submissions: Iterable[Submission]) -> None:
        """These truly became an SMS: the first of their message, or the risk was taken."""
        for each in submissions:
            each.went_out = True
            for other in self.of_message[each.message_id]:
                if other is not each and other.went_out:
                    assert other.standing is Standing.RISKED, f"a second SMS: {other}, {each}"

    def void(self, submissions: Iterable[Submission]) -> None:
        for each in submissions:
            each.standing = Standing.NO

    def learn(
        self,
        submissions: Sequence[Submission],
        outcome: Outcome,
        kind: Kind,
        policy: Policy,
        at: int,
    ) -> None:
        """An outcome was written down: what it tells of the messages of its call."""
        for position, each in enumerate(submissions):
            told = _standing(outcome, position, kind, policy)
            if each.standing is Standing.MAYBE:
                each.standing = told
                each.silent_since = at if each.silent_since is None else each.silent_since
            if told is Standing.NO and kind.deduplicates and isinstance(outcome, Answered):
                self._rejected_by_who_would_know(each, kind)

    def _rejected_by_who_would_know(self, rejected: Submission, kind: Kind) -> None:
        """Who deduplicates takes what it accepted before for accepted, as long as it remembers."""
        for each in self.of_message[rejected.message_id]:
            if each.standing is Standing.MAYBE and _remembered(each, rejected, kind):
                each.standing = Standing.NO

    def fall_silent(self, submissions: Iterable[Submission], at: int) -> None:
        """The worker was given up: its call is under way no more once the lease is over."""
        for each in submissions:
            each.silent_since = at if each.silent_since is None else each.silent_since

    def looked_up(
        self, kind: Kind, unknown: dict[str, int], account_id: int, quiet_ms: int, at: int
    ) -> None:
        """The provider does not know these references (of these messages): proof only if it had
        the time to know them and has not had the time to forget them.
        """
        horizon = kind.look_up_horizon_ms
        for reference, message_id in unknown.items():
            for each in self.of_message[message_id]:
                quiet = each.silent_since is not None and at - each.silent_since >= quiet_ms
                fresh = horizon is None or at - each.at < horizon
                asked = (each.account_id, each.reference) == (account_id, reference)
                if asked and quiet and fresh and each.standing is Standing.MAYBE:
                    each.standing = Standing.NO

    def risk(self, message_ids: Iterable[int]) -> None:
        """An operator wants these sent again."""
        for message_id in message_ids:
            for each in self.of_message[message_id]:
                if each.standing in {Standing.MAYBE, Standing.YES}:
                    each.standing = Standing.RISKED

    def is_doubtful(self, message_id: int, fence: int | None = None) -> bool:
        """Whether it may have been accepted, by another call than the one under this fence."""
        unproven = {Standing.MAYBE, Standing.YES}
        return any(
            each.standing in unproven and each.fence != fence
            for each in self.of_message[message_id]
        )

    def distrust(self, message_ids: Iterable[int], at: int) -> None:
        """A backup was put back: these may have gone out after it."""
        for message_id in message_ids:
            self.of_message[message_id].append(Submission(message_id, UNKNOWN, "", at))


def _may_be_followed(earlier: Submission, new: Submission, kind: Kind) -> bool:
    """Whether the new submission cannot be a second SMS of the earlier one's message, or may."""
    if earlier.standing in {Standing.NO, Standing.RISKED}:
        return True
    return kind.deduplicates and _remembered(earlier, new, kind)


def _remembered(earlier: Submission, new: Submission, kind: Kind) -> bool:
    """Whether a provider that deduplicates knows the earlier one, if it accepted it."""
    same = (earlier.account_id, earlier.reference) == (new.account_id, new.reference)
    horizon = kind.dedupe_horizon_ms
    return same and (horizon is None or new.at - earlier.at < horizon)


def _standing(outcome: Outcome, position: int, kind: Kind, policy: Policy) -> Standing:
    """The table: what an outcome tells of one message of its call."""
    can_tell = kind.deduplicates or kind.looks_up
    match outcome:
        case Answered():
            return Standing.NO if position in outcome.rejections else Standing.YES
        case ServerError() if can_tell or policy.server_error is ServerErrorPolicy.HOLD:
            return Standing.MAYBE
        case ServerError():
            return Standing.RISKED
        case NoAnswer() if can_tell or policy.unconfirmed is UnconfirmedPolicy.HOLD:
            return Standing.MAYBE
        case NoAnswer():
            return Standing.RISKED
    return Standing.NO


@dataclass
class Permit:
    """One that was granted. ``used_at`` None: not yet, or never."""

    granted_at: int
    latest: int
    """The last moment at which it may be used."""
    used_at: int | None = None
    gone: bool = False
    """It will not be used: void, or its worker died before."""


@dataclass
class Use:
    """What one tenant or account was granted."""

    permits: list[Permit] = field(default_factory=list)
    remembered_from: int = 0
    """A longer window begins to count where the shorter one had not forgotten."""
    limit: Limit | None = None

    def change(self, limit: Limit, at: int) -> None:
        if self.limit is not None and self.limit.span_ms != limit.span_ms:
            forgotten = at - self.limit.span_ms
            self.remembered_from = max(self.remembered_from, forgotten)
        self.limit = limit

    def grant(self, permit: Permit) -> None:
        """One more: with all that are used within a window of it, no more than the limit."""
        assert self.limit is not None
        half = self.limit.margin_ms // 2
        since = permit.granted_at - self.limit.window_ms - half
        near = [
            each
            for each in self.permits
            if not each.gone
            and (permit.granted_at <= each.latest if each.used_at is None else each.used_at > since)
            and (each.used_at or each.latest) - half > self.remembered_from
        ]
        self.permits = [*near, permit]
        assert len(near) + 1 <= self.limit.max, f"{self.limit} holds {len(near) + 1}: {near}"
