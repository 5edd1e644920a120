"""Which failures pass by themselves, and how long to wait for that."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from paceline.domain.errors import NotFoundError, RateLimitExceeded
from paceline.domain.outcome import (
    NoAnswer,
    NotSent,
    Refused,
    Rejected,
    Rejection,
    ServerError,
    Throttled,
)
from paceline.domain.retry import RetryPolicy, is_retryable

DENIED = "Rate limit exceeded. Will retry after backoff."


def failure(**parts: object) -> SimpleNamespace:
    return SimpleNamespace(**parts)


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (failure(reason="rate_limit_exceeded"), True),
        (failure(reason="rate_limit_exceeded", status=400), True),
        (failure(message="rate limit exceeded", status=400), True),
        (failure(message="the rate limit exceeded our patience", status=422), True),
        (failure(message=DENIED, status=400), True),
        (failure(message="RATE LIMIT EXCEEDED", status=400), True),
        (failure(error="Rate limit exceeded", status=400), True),
        (RuntimeError(DENIED), True),
        (None, True),
        (failure(), True),
        (failure(status=None), True),
        (failure(status=0), True),
        (failure(message="connection reset", reason="network"), True),
        (failure(status=500), True),
        (failure(status=502), True),
        (failure(status=599), True),
        (failure(status=429), True),
        (failure(status=499), False),
        (failure(status=400), False),
        (failure(status=401), False),
        (failure(status=402), False),
        (failure(status=404), False),
        (failure(status=422), False),
        (failure(status=428), False),
        (failure(status=430), False),
        (failure(status=302), False),
        (failure(status=400, message="limit exceeded"), False),
        (failure(status=400, reason="rejected", message="no such number"), False),
    ],
)
def test_the_truth_table_of_passing_failures(error, retryable):
    assert is_retryable(error) is retryable


@pytest.mark.parametrize(
    ("outcome", "retryable"),
    [
        (NotSent("no route"), True),
        (Throttled(), True),
        (ServerError("503 Service Unavailable", 503), True),
        (NoAnswer("timed out"), True),
        (Rejected(Rejection("21211", "not a number")), False),
        (Rejected(Rejection("1", "no"), status=422), False),
        (Refused("401 Unauthorized", 401), False),
        (Refused("402 Payment Required", 402), False),
        (Refused("404 Not Found", 404), False),
    ],
)
def test_each_outcome_has_its_row_of_the_table(outcome, retryable):
    assert is_retryable(outcome) is retryable


def test_our_own_denial_says_of_itself_what_the_table_says():
    denial = RateLimitExceeded(tenant_remaining=0, traffic_account_remaining=7)
    assert denial.message == DENIED
    assert denial.reason == denial.code == "rate_limit_exceeded"
    assert denial.retryable is True
    assert is_retryable(denial)
    assert (denial.tenant_remaining, denial.traffic_account_remaining) == (0, 7)
    assert NotFoundError("campaign", 7).retryable is False


def test_the_wait_doubles_after_each_failed_try():
    policy = RetryPolicy()
    assert [policy.delay_ms(n) for n in range(1, 6)] == [3000, 6000, 12000, 24000, 48000]


def test_the_first_wait_is_the_setting():
    assert [RetryPolicy(5, 100).delay_ms(n) for n in (1, 2, 3)] == [100, 200, 400]


@pytest.mark.parametrize(
    ("failed_tries", "retry_after_ms", "wait"),
    [(1, None, 3000), (1, 0, 3000), (1, 2999, 3000), (1, 3001, 3001), (4, 60_000, 60_000)],
)
def test_the_wait_is_never_less_than_the_provider_asked_for(failed_tries, retry_after_ms, wait):
    assert RetryPolicy().delay_ms(failed_tries, retry_after_ms) == wait


def test_there_are_as_many_tries_as_the_setting_says():
    assert [RetryPolicy(attempts=3).exhausted(n) for n in (1, 2, 3, 4)] == [
        False,
        False,
        True,
        True,
    ]
    assert RetryPolicy(attempts=1).exhausted(1)
