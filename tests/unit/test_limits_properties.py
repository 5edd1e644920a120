"""Promise 3: never over the limit, and at least 98 % of it used while there is work.

The oracle here knows only when permits were truly given. It never asks the module.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.domain.limits import Denied, Granted, Limit, Window, free, open_at, take

START = 1_790_000_000_000
NO_LIMIT = Limit(10**9, 1, 0)
MAXIMA = [1, 2, 7, 50, 100, 255, 256, 257, 1000, 10_000]

times = st.integers(0, 5000)
limits = st.builds(
    Limit,
    max=st.one_of(st.integers(1, 12), st.integers(250, 600)),
    window_ms=st.one_of(st.integers(1, 20), st.integers(200, 1500)),
    margin_ms=st.integers(0, 60),
)


@dataclass(frozen=True)
class Request:
    """A request for permits, `after` ms of true time and a clock set back by `set_back` ms."""

    after: int
    wanted: int
    set_back: int = 0


steady_clock = st.builds(Request, after=st.integers(0, 900), wanted=st.integers(1, 300))
any_clock = st.builds(
    Request,
    after=st.integers(0, 900),
    wanted=st.integers(1, 300),
    set_back=st.one_of(st.just(0), st.just(0), st.integers(1, 4000)),
)


def most_in_any_span(given_at: list[tuple[int, int]], span: int) -> int:
    """The most permits in any [t, t + span), from the true times; the oracle."""
    most = inside = first = 0
    for time, permits in given_at:
        inside += permits
        while given_at[first][0] <= time - span:
            inside -= given_at[first][1]
            first += 1
        most = max(most, inside)
    return most


def test_the_oracle_sees_one_permit_too_many():
    assert most_in_any_span([(0, 5), (999, 1), (1000, 5)], 1000) == 6
    assert most_in_any_span([(0, 5), (1000, 5)], 1000) == 5


@given(limits, limits, st.lists(any_clock, max_size=60))
def test_no_span_holds_more_than_either_limit_whatever_is_asked_and_however_the_clock_is_set_back(
    tenant_limit, account_limit, requests
):
    tenant = account = Window.EMPTY
    true_time = clock = START
    given_at: list[tuple[int, int]] = []
    for request in requests:
        true_time += request.after
        clock += request.after - request.set_back
        result = take((tenant, tenant_limit), (account, account_limit), request.wanted, clock)
        tenant, account = result.tenant, result.account
        if isinstance(result, Granted):
            given_at.append((true_time, result.permits))
    assert most_in_any_span(given_at, tenant_limit.span_ms) <= tenant_limit.max
    assert most_in_any_span(given_at, account_limit.span_ms) <= account_limit.max


@given(
    st.integers(1, 1500),
    st.lists(st.tuples(steady_clock, st.integers(1, 600)), max_size=60),
)
def test_no_grant_breaks_the_maximum_in_force_when_it_changes_at_run_time(span, requests):
    window, now = Window.EMPTY, START
    given_at: list[tuple[int, int]] = []
    for request, maximum in requests:
        now += request.after
        result = take((window, Limit(maximum, span, 0)), (Window.EMPTY, NO_LIMIT), 300, now)
        window = result.tenant
        if isinstance(result, Granted):
            given_at.append((now, result.permits))
            assert sum(permits for time, permits in given_at if time > now - span) <= maximum


@given(limits, st.lists(steady_clock, max_size=40))
def test_a_small_limit_grants_all_that_the_true_times_leave_free(limit, requests):
    exact = Limit(min(limit.max, 256), limit.window_ms, limit.margin_ms)
    window, now = Window.EMPTY, START
    given_at: list[tuple[int, int]] = []
    for request in requests:
        now += request.after
        used = sum(permits for time, permits in given_at if time > now - exact.span_ms)
        assert free(window, exact, now) == exact.max - used
        result = take((window, exact), (Window.EMPTY, NO_LIMIT), request.wanted, now)
        window = result.tenant
        if isinstance(result, Granted):
            assert result.permits == min(request.wanted, exact.max - used)
            given_at.append((now, result.permits))
        else:
            assert used == exact.max


@given(limits, limits, st.lists(any_clock, max_size=40))
def test_both_windows_are_granted_from_or_neither(tenant_limit, account_limit, requests):
    tenant = account = Window.EMPTY
    clock = START
    for request in requests:
        clock += request.after - request.set_back
        result = take((tenant, tenant_limit), (account, account_limit), request.wanted, clock)
        if isinstance(result, Granted):
            assert 1 <= result.permits <= request.wanted
            assert result.tenant.grants[-1][0] == result.account.grants[-1][0] == clock
        else:
            for before, after in ((tenant, result.tenant), (account, result.account)):
                assert sum(p for _, p in before.grants) == sum(p for _, p in after.grants)
                assert after is before or before.grants[-1][0] > clock
        tenant, account = result.tenant, result.account


@given(limits, limits, st.lists(steady_clock, min_size=1, max_size=40))
def test_a_denial_names_the_first_moment_that_would_grant(tenant_limit, account_limit, requests):
    tenant = account = Window.EMPTY
    now = START
    for request in requests:
        now += request.after
        result = take((tenant, tenant_limit), (account, account_limit), request.wanted, now)
        tenant, account = result.tenant, result.account
        if isinstance(result, Denied):
            usage = (tenant, tenant_limit), (account, account_limit)
            assert result.open_at > now
            assert isinstance(take(*usage, 1, result.open_at - 1), Denied)
            assert isinstance(take(*usage, 1, result.open_at), Granted)
            assert result.open_at == max(open_at(*each, now) for each in usage)


@given(limits, st.lists(steady_clock, max_size=40))
def test_a_window_survives_storage(limit, requests):
    window, now = Window.EMPTY, START
    for request in requests:
        now += request.after
        window = take((window, limit), (Window.EMPTY, NO_LIMIT), request.wanted, now).tenant
        assert Window.decode(window.encode()) == window


@settings(max_examples=30)
@given(st.integers(257, 20_000), st.integers(257, 20_000), st.integers(1, 4000), times)
def test_the_record_stays_small_even_when_the_maximum_changes(before, after, window_ms, shift):
    window, now = Window.EMPTY, START + shift
    for maximum in (256, before, after):
        limit = Limit(maximum, window_ms, 50)
        for _ in range(600):
            now += 1 + limit.span_ms // 500
            window = take((window, limit), (Window.EMPTY, NO_LIMIT), 1, now).tenant
            assert len(window.grants) <= 2 * 257


def served(limit: Limit, spans: int, wanted: int, tick_ms: int | None) -> float:
    """The share of the limit that a gate uses in so many spans of unbroken demand.

    The gate asks again at `open_at`, or every `tick_ms`. Checks the limit on the way.
    """
    window, now = Window.EMPTY, START
    given_at: list[tuple[int, int]] = []
    end = START + spans * limit.span_ms
    while now < end:
        result = take((window, limit), (Window.EMPTY, NO_LIMIT), wanted, now)
        if isinstance(result, Granted):
            window = result.tenant
            given_at.append((now, result.permits))
            now += tick_ms or 0
        else:
            now = now + tick_ms if tick_ms else result.open_at
    assert most_in_any_span(given_at, limit.span_ms) <= limit.max
    return sum(permits for _, permits in given_at) / (spans * limit.max)


@pytest.mark.parametrize(("maximum", "window_ms"), list(product(MAXIMA, [1000, 15_000])))
def test_a_gate_that_asks_at_open_at_uses_98_percent(maximum, window_ms):
    wanted = max(1, maximum // 500)
    assert served(Limit(maximum, window_ms, 50), 10, wanted, None) >= 0.98


@pytest.mark.parametrize("maximum", MAXIMA)
def test_a_gate_that_asks_every_millisecond_uses_98_percent(maximum):
    limit = Limit(maximum, 1000, 50)
    demand = -(-maximum * 5 // (limit.span_ms * 4))  # a fourth more than is permitted
    assert served(limit, 10, demand, 1) >= 0.98


@pytest.mark.parametrize("maximum", [7, 257, 10_000])
def test_a_long_window_asked_every_millisecond_uses_98_percent(maximum):
    assert served(Limit(maximum, 15_000, 50), 3, 1, 1) >= 0.98


@pytest.mark.parametrize("maximum", [257, 1000, 10_000])
def test_a_gate_that_comes_late_at_uneven_moments_loses_less_than_a_cell_each_time(maximum):
    """Lateness is the gate's loss; the grid may add less than 1/256 of a span to each grant."""
    limit = Limit(maximum, 15_000, 50)
    window, now, permits = Window.EMPTY, START, 0
    end = START + 10 * limit.span_ms
    step = 0
    while now < end:
        step = (step * 7 + 3) % 31
        result = take((window, limit), (Window.EMPTY, NO_LIMIT), maximum // 100, now)
        window = result.tenant
        permits += result.permits if isinstance(result, Granted) else 0
        now = max(now, result.open_at if isinstance(result, Denied) else now) + step
    assert permits >= 0.98 * 10 * maximum
