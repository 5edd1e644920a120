"""Every outcome on every kind of provider, in doubt or not, with tries left or not."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
from paceline.domain.verdict import (
    Close,
    Doubt,
    Fail,
    GiveBack,
    Hold,
    Policy,
    Reopen,
    Retry,
    ServerErrorPolicy,
    Settle,
    Tries,
    UnconfirmedPolicy,
    Verdict,
    effect_on_account,
    judge,
    judge_denial,
)

HOUR_MS = 3_600_000

# The design's table of outcomes and doubt, every cell of it. `left` and `last` are about tries:
# whether another one follows this. The words:
#   settle      a rejection in the answer is proof         settle-      it is not, an older attempt
#   retry       with the same reference                                 may have been accepted
#   retry+      with a new one: proven not accepted        retry?       the batch is in doubt
#   fail        with the reason of the outcome             doubt        unconfirmed
TABLE = """
outcome              | doubt   | tries | deduplicates | looks up | neither
answered             | certain | left  | settle       | settle   | settle
answered             | certain | last  | settle       | settle   | settle
answered             | doubt   | left  | settle       | settle-  | settle-
answered             | doubt   | last  | settle       | settle-  | settle-
rejected             | certain | left  | fail         | fail     | fail
rejected             | certain | last  | fail         | fail     | fail
rejected             | doubt   | left  | doubt        | doubt    | doubt
rejected             | doubt   | last  | doubt        | doubt    | doubt
refused              | certain | left  | back         | back     | back
refused              | certain | last  | back         | back     | back
refused              | doubt   | left  | back         | back     | back
refused              | doubt   | last  | back         | back     | back
not sent             | certain | left  | retry        | retry    | retry
not sent             | certain | last  | fail         | fail     | fail
not sent             | doubt   | left  | retry?       | retry?   | retry?
not sent             | doubt   | last  | doubt        | doubt    | doubt
throttled            | certain | left  | retry+       | retry+   | retry+
throttled            | certain | last  | fail         | fail     | fail
throttled            | doubt   | left  | retry?       | retry?   | retry?
throttled            | doubt   | last  | doubt        | doubt    | doubt
server error, retry  | certain | left  | retry?       | doubt    | retry
server error, retry  | certain | last  | doubt        | doubt    | fail
server error, retry  | doubt   | left  | retry?       | doubt    | retry?
server error, retry  | doubt   | last  | doubt        | doubt    | doubt
server error, hold   | certain | left  | retry?       | doubt    | doubt
server error, hold   | certain | last  | doubt        | doubt    | doubt
server error, hold   | doubt   | left  | retry?       | doubt    | doubt
server error, hold   | doubt   | last  | doubt        | doubt    | doubt
no answer, hold      | certain | left  | retry?       | doubt    | doubt
no answer, hold      | certain | last  | doubt        | doubt    | doubt
no answer, hold      | doubt   | left  | retry?       | doubt    | doubt
no answer, hold      | doubt   | last  | doubt        | doubt    | doubt
no answer, resend    | certain | left  | retry?       | doubt    | retry?
no answer, resend    | certain | last  | doubt        | doubt    | doubt
no answer, resend    | doubt   | left  | retry?       | doubt    | retry?
no answer, resend    | doubt   | last  | doubt        | doubt    | doubt
"""
_HEADER, *_ROWS = [
    [cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()
]
CELLS = [
    (outcome, doubt, tries, provider, word)
    for outcome, doubt, tries, *words in _ROWS
    for provider, word in zip(_HEADER[3:], words, strict=True)
]

OUTCOMES: dict[str, Outcome] = {
    "answered": Answered(["p1", None], {1: Rejection("21211")}),
    "rejected": Rejected(Rejection("21610", "blocked", reason="opted_out")),
    "refused": Refused("402 Payment Required", 402),
    "not sent": NotSent("connection refused"),
    "throttled": Throttled(),
    "server error": ServerError("503 Service Unavailable", 503),
    "no answer": NoAnswer("timed out"),
}
PROVIDERS = {
    "deduplicates": Policy(deduplicates=True),
    "looks up": Policy(looks_up=True),
    "neither": Policy(),
}
LAST_TRY = Tries(failed=4)
SECOND_TRY = Tries(failed=1)


def word_for(verdict: Verdict) -> str:
    match verdict:
        case Settle(rejection_is_proof):
            return "settle" if rejection_is_proof else "settle-"
        case Retry(in_doubt=True, new_generation=False):
            return "retry?"
        case Retry(in_doubt=False, new_generation=new):
            return "retry+" if new else "retry"
        case GiveBack():
            return "back"
        case Fail():
            return "fail"
        case Doubt():
            return "doubt"
    raise AssertionError(verdict)


def policy_of(provider: str, choice: str) -> Policy:
    if choice == "resend":
        return replace(PROVIDERS[provider], unconfirmed=UnconfirmedPolicy.RESEND)
    if choice == "hold":
        return replace(PROVIDERS[provider], server_error=ServerErrorPolicy.HOLD)
    return PROVIDERS[provider]


@pytest.mark.parametrize(("row", "doubt", "left", "provider", "expected"), CELLS)
def test_the_table_of_outcomes_and_doubt(row, doubt, left, provider, expected):
    outcome, _, choice = row.partition(", ")
    tries = replace(SECOND_TRY if left == "left" else LAST_TRY, in_doubt=doubt == "doubt")
    verdict = judge(OUTCOMES[outcome], tries, policy_of(provider, choice))
    assert word_for(verdict) == expected


def test_the_table_is_whole():
    assert len(CELLS) == len({cell[:4] for cell in CELLS}) == 9 * 2 * 2 * 3


def test_no_message_fails_while_it_may_have_been_accepted():
    assert [cell for cell in CELLS if cell[1] == "doubt" and cell[4] == "fail"] == []


def test_a_rejected_call_fails_with_the_reason_of_its_rejection():
    verdict = judge(OUTCOMES["rejected"], SECOND_TRY, Policy())
    assert verdict == Fail(Reason.OPTED_OUT, "21610: blocked")


@pytest.mark.parametrize("outcome", ["not sent", "throttled", "server error"])
def test_out_of_tries_is_the_reason_and_the_last_error_is_kept(outcome):
    verdict = judge(OUTCOMES[outcome], LAST_TRY, Policy())
    assert verdict == Fail(Reason.ATTEMPTS_EXHAUSTED, OUTCOMES[outcome].error)


def test_waits_double_from_try_to_try_and_the_fifth_is_the_last():
    verdicts = [judge(NotSent("down"), Tries(failed), Policy()) for failed in range(5)]
    waits = [verdict.delay_ms for verdict in verdicts if isinstance(verdict, Retry)]
    assert waits == [3000, 6000, 12_000, 24_000]
    assert isinstance(verdicts[4], Fail)


@pytest.mark.parametrize(
    "outcome", [Throttled(retry_after_ms=90_000), ServerError("503", 503, retry_after_ms=90_000)]
)
def test_a_retry_waits_as_long_as_the_provider_asked(outcome):
    verdict = judge(outcome, SECOND_TRY, Policy())
    assert isinstance(verdict, Retry)
    assert verdict.delay_ms == 90_000


@pytest.mark.parametrize("outcome", ["no answer", "server error", "not sent", "throttled"])
@pytest.mark.parametrize(("age", "expected"), [(HOUR_MS - 1, "retry?"), (HOUR_MS, "doubt")])
def test_nothing_doubtful_is_sent_again_once_the_provider_has_forgotten(outcome, age, expected):
    policy = Policy(deduplicates=True, dedupe_horizon_ms=HOUR_MS)
    tries = Tries(failed=1, in_doubt=True, doubt_age_ms=age)
    assert word_for(judge(OUTCOMES[outcome], tries, policy)) == expected


DENIAL = RateLimitExceeded(0, 0)


@pytest.mark.parametrize(
    ("tries", "retries", "expected"),
    [
        (SECOND_TRY, True, "retry"),
        (LAST_TRY, True, "fail"),
        (replace(SECOND_TRY, in_doubt=True), True, "retry?"),
        (replace(LAST_TRY, in_doubt=True), True, "doubt"),
        (Tries(failed=0), False, "fail"),
        (Tries(failed=0, in_doubt=True), False, "retry?"),
    ],
)
def test_a_denial_by_our_own_limits_is_a_failed_try(tries, retries, expected):
    verdict = judge_denial(DENIAL, tries, Policy(rate_limit_retry=retries))
    assert word_for(verdict) == expected
    if isinstance(verdict, Fail):
        assert verdict == Fail(Reason.RATE_LIMIT_EXCEEDED, DENIAL.message)


def test_a_denial_waits_the_backoff_of_its_try():
    waits = [judge_denial(DENIAL, Tries(failed), Policy()) for failed in range(4)]
    assert [getattr(verdict, "delay_ms", None) for verdict in waits] == [3000, 6000, 12_000, 24_000]


@pytest.mark.parametrize(
    ("outcome", "failures", "effect"),
    [
        ("answered", 3, Reopen()),
        ("rejected", 3, Reopen()),
        ("refused", 0, Hold("402 Payment Required")),
        ("refused", 3, Hold("402 Payment Required")),
        ("throttled", 0, Close(1000, failure=False, why="429 Too Many Requests")),
        ("not sent", 0, Close(3000, failure=True, why="connection refused")),
        ("server error", 1, Close(6000, failure=True, why="503 Service Unavailable")),
        ("no answer", 2, Close(12_000, failure=True, why="timed out")),
        ("no answer", 3, Close(24_000, failure=True, why="timed out")),
        ("no answer", 4, Close(48_000, failure=True, why="timed out")),
        ("no answer", 40, Close(48_000, failure=True, why="timed out")),
    ],
)
def test_what_an_outcome_does_to_its_account(outcome, failures, effect):
    assert effect_on_account(OUTCOMES[outcome], failures, Policy()) == effect


@pytest.mark.parametrize(
    ("outcome", "for_ms"),
    [
        (Throttled(retry_after_ms=0), 0),
        (Throttled(retry_after_ms=7000), 7000),
        (Throttled(), 60_000),
        (ServerError("503", 503, retry_after_ms=9000), 9000),
        (ServerError("503", 503, retry_after_ms=10), 3000),
    ],
)
def test_an_account_stays_closed_as_long_as_the_provider_asked(outcome, for_ms):
    effect = effect_on_account(outcome, 0, Policy(account_window_ms=60_000))
    assert isinstance(effect, Close)
    assert effect.for_ms == for_ms
