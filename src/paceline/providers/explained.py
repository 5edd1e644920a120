"""What is done about each kind of doubt on one account, in words.

Nothing here decides: each sentence is made from the verdict that ``domain.verdict`` gives on a
first try, so it cannot say anything else than what will happen.
"""

from __future__ import annotations

from paceline.domain.outcome import (
    NoAnswer,
    NotSent,
    Outcome,
    Refused,
    Rejected,
    Rejection,
    ServerError,
    Throttled,
)
from paceline.domain.verdict import (
    Doubt,
    Fail,
    GiveBack,
    Policy,
    Retry,
    ServerErrorPolicy,
    Split,
    Tries,
    UnconfirmedPolicy,
    Verdict,
    judge,
)
from paceline.providers.base import Capabilities

_MS_PER_HOUR = 3_600_000
_NO = Rejection("rejected")
_OUTCOMES: tuple[tuple[str, Outcome], ...] = (
    ("not sent (no connection)", NotSent("no connection")),
    ("throttled (429)", Throttled()),
    ("server error (5xx)", ServerError("500")),
    ("no answer", NoAnswer("no answer")),
    ("refused (401, 402, 403, 404)", Refused("401", 401)),
    ("rejected whole (400, 422)", Rejected(_NO, 400)),
    ("too large (413)", Rejected(_NO, 413)),
)


def explain(
    capabilities: Capabilities, *, server_error: str, unconfirmed: str
) -> list[tuple[str, str]]:
    """Say what is done about each way in which a call can fail.

    Args:
        capabilities: of the account's provider.
        server_error: the account's ``server_error``: ``retry`` or ``hold``.
        unconfirmed: ``UNCONFIRMED_POLICY``: ``hold`` or ``resend``.

    Returns:
        (what happened, what is done about it), in the order of the design's table.
    """
    policy = Policy(
        server_error=ServerErrorPolicy(server_error),
        unconfirmed=UnconfirmedPolicy(unconfirmed),
        deduplicates=capabilities.deduplicates,
        dedupe_horizon_ms=capabilities.dedupe_horizon_ms,
        looks_up=capabilities.looks_up,
    )
    size = capabilities.max_messages_per_call
    explained = [
        (what, _sentence(outcome, judge(outcome, Tries(0), policy, size=size), capabilities))
        for what, outcome in _OUTCOMES
    ]
    return [*explained, ("accepted before (duplicate)", _duplicate(capabilities))]


def _sentence(outcome: Outcome, verdict: Verdict, capabilities: Capabilities) -> str:
    match verdict:
        case Retry():
            return _again(outcome, verdict, capabilities)
        case Doubt():
            return f"may have been accepted: unconfirmed, {_ended(verdict, capabilities)}"
        case GiveBack():
            return (
                "the account is at fault: it is held until `paceline account release`, its "
                "messages wait, and no try is spent"
            )
        case Split():
            how = "smaller calls" if verdict.too_large else "halves, down to the message at fault"
            return f"nothing was accepted: sent again in {how}, and no try is spent"
        case Fail():
            return "not accepted: the message fails, with what the provider says"
    raise ValueError(f"{verdict!r} is no verdict on a failed call")


def _again(outcome: Outcome, retry: Retry, capabilities: Capabilities) -> str:
    if not retry.in_doubt:
        answered = isinstance(outcome, ServerError)
        known = "taken for not accepted (server_error=retry)" if answered else "not accepted"
        return f"{known}: tried again after a wait"
    if not capabilities.deduplicates:
        return "may have been accepted: sent again, perhaps twice (UNCONFIRMED_POLICY=resend)"
    again = "may have been accepted: sent again under its reference, which the provider recognises"
    if capabilities.dedupe_horizon_ms is None:
        return again
    hours = capabilities.dedupe_horizon_ms / _MS_PER_HOUR
    return f"{again}; that is relied on for {hours:g} h"


def _ended(doubt: Doubt, capabilities: Capabilities) -> str:
    if doubt.ask_in_ms is not None:
        return (
            "and after the quiet period the provider is asked: what it does not know is sent again"
        )
    if capabilities.echoes_reference:
        return "until a receipt proves it or you decide"
    return "until you decide"


def _duplicate(capabilities: Capabilities) -> str:
    if capabilities.deduplicates:
        return "counted as accepted: the first submission was"
    return "never said by this provider: it takes every submission for a new message"
