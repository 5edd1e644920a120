"""What to do with a batch, and with its account, after an outcome (design: outcomes and doubt).

One rule stands above the table: a message that may have been accepted is never sent again and never
called failed, unless the provider deduplicates, the account says that a 5xx answer means "not
accepted", or the operator chose to resend.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from paceline.domain.errors import RateLimitExceeded
from paceline.domain.message import Reason
from paceline.domain.outcome import (
    Answered,
    NoAnswer,
    NotSent,
    Outcome,
    Refused,
    Rejected,
    Rejection,
    ServerError,
    Throttled,
)
from paceline.domain.retry import RetryPolicy, is_retryable

_TOO_LARGE = 413


class ServerErrorPolicy(StrEnum):
    """What a 5xx answer means on one account, as its operator knows the provider."""

    RETRY = "retry"
    """It was not accepted: try again."""
    HOLD = "hold"
    """It may have been accepted: wait for proof or for an operator."""


class UnconfirmedPolicy(StrEnum):
    """What to do when no answer came and nothing can prove anything."""

    HOLD = "hold"
    RESEND = "resend"
    """Send again, at the risk of a second SMS. Chosen by the operator, never by us."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything a verdict depends on beside the batch and the outcome."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    server_error: ServerErrorPolicy = ServerErrorPolicy.RETRY
    unconfirmed: UnconfirmedPolicy = UnconfirmedPolicy.HOLD
    rate_limit_retry: bool = True
    deduplicates: bool = False
    """The provider answers "accepted already" to a reference that it has seen."""
    dedupe_horizon_ms: int | None = None
    """How long it remembers; ``None``: as long as we could ever ask."""
    looks_up: bool = False
    """The provider can say whether it knows a reference."""
    confirm_window_ms: int = 60_000
    """The quiet period: how long the provider may take to know what it has accepted."""
    account_window_ms: int = 1000
    """The account's own window: how long a 429 closes it that does not say."""


@dataclass(frozen=True, slots=True)
class Tries:
    """A batch's past: real submissions and denials before this one, and its doubt."""

    failed: int
    in_doubt: bool = False
    doubt_age_ms: int = 0


@dataclass(frozen=True, slots=True)
class Retry:
    """Queue the batch again."""

    delay_ms: int
    error: str
    in_doubt: bool = False
    new_generation: bool = False


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Queue the batch again as if nothing had been tried."""

    error: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Every message of the batch has failed for one reason."""

    reason: Reason
    error: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """It may have been accepted: unconfirmed until proof or an operator."""

    error: str
    ask_in_ms: int | None = None
    """When to do what may end the doubt: ask the provider, or send again under the reference that
    it deduplicates on. None: neither is possible.
    """


@dataclass(frozen=True, slots=True)
class Settle:
    """Every message has its answer. ``rejection_is_proof`` is false when an earlier attempt may
    have been accepted all the same: then a rejected message stays in doubt.
    """

    rejection_is_proof: bool = True
    rejected_for_now: Retry | Fail | None = None
    """What becomes of messages whose rejection passes by itself; None: there are none."""


@dataclass(frozen=True, slots=True)
class Split:
    """The call was rejected whole and no message named: send it in smaller ones. Costs permits, no
    try. ``too_large``: its size was the reason, so no message is suspected.
    """

    rejection: Rejection
    too_large: bool

    @property
    def error(self) -> str:
        return str(self.rejection)


Verdict: TypeAlias = Settle | Retry | GiveBack | Fail | Doubt | Split


def judge(outcome: Outcome, tries: Tries, policy: Policy, *, size: int = 1) -> Verdict:
    """Decide what happens to the batch of one attempt, which had ``size`` messages."""
    if isinstance(outcome, Answered):
        return _settle(outcome, tries, policy)
    if isinstance(outcome, Refused):
        return GiveBack(outcome.error)
    if isinstance(outcome, Rejected):
        return _rejected(outcome, tries, policy, size)
    if not is_retryable(outcome):
        raise ValueError(f"{outcome!r} is neither settled nor passing")
    if _may_have_been_accepted(outcome, policy):
        return _in_doubt(outcome, tries, policy)
    return _try_again(
        outcome.error,
        Reason.ATTEMPTS_EXHAUSTED,
        tries,
        policy,
        retry_after_ms=getattr(outcome, "retry_after_ms", None),
        new_generation=isinstance(outcome, Throttled),
    )


def _settle(outcome: Answered, tries: Tries, policy: Policy) -> Settle:
    proof = policy.deduplicates or not tries.in_doubt
    passing = [each for each in outcome.rejections.values() if each.retryable]
    if not (passing and proof):
        return Settle(rejection_is_proof=proof)
    # Proven not accepted, whatever was in doubt before.
    again = _try_again(
        str(passing[0]),
        Reason.ATTEMPTS_EXHAUSTED,
        Tries(tries.failed),
        policy,
        new_generation=True,
    )
    assert isinstance(again, Retry | Fail)  # noqa: S101 - for mypy: nothing is in doubt here
    return Settle(rejection_is_proof=proof, rejected_for_now=again)


def _rejected(outcome: Rejected, tries: Tries, policy: Policy, size: int) -> Verdict:
    if tries.in_doubt and (size == 1 or not policy.deduplicates):
        # The answer is about the call: nobody has looked at the reference.
        return Doubt(outcome.error)
    if size > 1:
        return Split(outcome.rejection, too_large=outcome.status == _TOO_LARGE)
    return Fail(Reason(outcome.rejection.reason), outcome.error)


def judge_denial(denial: RateLimitExceeded, tries: Tries, policy: Policy) -> Verdict:
    """Decide what happens to a batch that our own limits denied (strategy ``backoff``)."""
    if not policy.rate_limit_retry and not tries.in_doubt:
        return Fail(Reason.RATE_LIMIT_EXCEEDED, denial.message)
    return _try_again(denial.message, Reason.RATE_LIMIT_EXCEEDED, tries, policy)


def judge_silence(error: str, tries: Tries, policy: Policy) -> Doubt:
    """Decide about a batch whose worker fell silent after its intent: the call may be under way
    still, so nothing is done before the quiet period is over.
    """
    verdict = judge(NoAnswer(error), tries, policy)
    can_end = policy.looks_up if isinstance(verdict, Doubt) else policy.deduplicates
    return Doubt(error, policy.confirm_window_ms if can_end else None)


def judge_unknown(error: str, tries: Tries, policy: Policy) -> Retry | Fail:
    """Decide about messages that were in doubt and that the provider, asked after the quiet period,
    does not know: they were not accepted.
    """
    again = _try_again(
        error, Reason.ATTEMPTS_EXHAUSTED, Tries(tries.failed), policy, new_generation=True
    )
    assert isinstance(again, Retry | Fail)  # noqa: S101 - for mypy: nothing is in doubt any more
    return again


def _may_have_been_accepted(outcome: Outcome, policy: Policy) -> bool:
    if isinstance(outcome, NoAnswer):
        return True
    if isinstance(outcome, ServerError):
        return (
            policy.deduplicates or policy.looks_up or policy.server_error is ServerErrorPolicy.HOLD
        )
    return False


def _in_doubt(outcome: Outcome, tries: Tries, policy: Policy) -> Verdict:
    if not _may_send_again(outcome, tries, policy):
        asks = policy.looks_up and not policy.deduplicates
        return Doubt(outcome.error, policy.confirm_window_ms if asks else None)
    return _try_again(
        outcome.error,
        Reason.ATTEMPTS_EXHAUSTED,
        Tries(tries.failed, in_doubt=True),
        policy,
        retry_after_ms=getattr(outcome, "retry_after_ms", None),
    )


def _may_send_again(outcome: Outcome, tries: Tries, policy: Policy) -> bool:
    """Whether one more submission cannot be a second SMS, or its risk was accepted."""
    if policy.deduplicates:
        return remembers(policy, tries)
    if policy.looks_up:
        return False  # asking comes first
    return isinstance(outcome, NoAnswer) and policy.unconfirmed is UnconfirmedPolicy.RESEND


def remembers(policy: Policy, tries: Tries) -> bool:
    """Whether sending again under the same references cannot be a second SMS."""
    return policy.deduplicates and not _forgotten(tries, policy)


def _forgotten(tries: Tries, policy: Policy) -> bool:
    """Whether a provider that deduplicates may no longer know the attempt that is in doubt."""
    horizon = policy.dedupe_horizon_ms if policy.deduplicates else None
    return tries.in_doubt and horizon is not None and tries.doubt_age_ms >= horizon


def _try_again(
    error: str,
    reason: Reason,
    tries: Tries,
    policy: Policy,
    *,
    retry_after_ms: int | None = None,
    new_generation: bool = False,
) -> Verdict:
    failed = tries.failed + 1
    if policy.retry.exhausted(failed) or _forgotten(tries, policy):
        return Doubt(error) if tries.in_doubt else Fail(reason, error)
    return Retry(
        delay_ms=policy.retry.delay_ms(failed, retry_after_ms),
        error=error,
        in_doubt=tries.in_doubt,
        # Proven not accepted: a provider that remembers references must not take the next attempt
        # for this one. While an older attempt is in doubt that protection is worth more.
        new_generation=new_generation and not tries.in_doubt,
    )


@dataclass(frozen=True, slots=True)
class Reopen:
    """The provider answered: failures are forgotten."""


@dataclass(frozen=True, slots=True)
class Close:
    """Send nothing on this account for ``for_ms``. ``failure``: it counts towards the breaker,
    whose waits double from one failure to the next; a 429 does not.
    """

    for_ms: int
    failure: bool
    why: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Send nothing on this account until an operator releases it."""

    why: str


AccountEffect: TypeAlias = Reopen | Close | Hold


def effect_on_account(outcome: Outcome, failures_before: int, policy: Policy) -> AccountEffect:
    """Decide what an outcome means for everything else that waits for the same account.

    Args:
        outcome: what happened.
        failures_before: failures in a row that the breaker has counted so far.
        policy: whose backoff the breaker borrows; its longest wait is that of the last try.
    """
    if isinstance(outcome, Refused):
        return Hold(outcome.error)
    if isinstance(outcome, Throttled):
        asked = outcome.retry_after_ms
        wait = policy.account_window_ms if asked is None else asked
        return Close(wait, failure=False, why=outcome.error)
    if isinstance(outcome, NotSent | ServerError | NoAnswer):
        step = min(failures_before + 1, policy.retry.attempts)
        asked = outcome.retry_after_ms if isinstance(outcome, ServerError) else None
        return Close(policy.retry.delay_ms(step, asked), failure=True, why=outcome.error)
    return Reopen()
