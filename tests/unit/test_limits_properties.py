"""Promise 3: never over the limit, and at least 98 % of it used while there is work.

The oracle here knows only when permits were truly given. It never asks the module.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.domain.limits import (
    LONGEST_LEAD_MS,
    Denied,
    Granted,
    Limit,
    Window,
    free,
    moved,
    open_at,
    take,
)

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


@given(limits, limits, limits, st.lists(any_clock, max_size=40))
def test_no_span_holds_more_than_a_campaigns_own_limit_either(
    tenant_limit, account_limit, own_limit, requests
):
    tenant = account = own = Window.EMPTY
    true_time = clock = START
    given_at: list[tuple[int, int]] = []
    for request in requests:
        true_time += request.after
        clock += request.after - request.set_back
        usages = (tenant, tenant_limit), (account, account_limit)
        result = take(*usages, request.wanted, clock, campaign=(own, own_limit))
        assert result.campaign is not None
        tenant, account, own = result.tenant, result.account, result.campaign
        if isinstance(result, Granted):
            given_at.append((true_time, result.permits))
    for each in (tenant_limit, account_limit, own_limit):
        assert most_in_any_span(given_at, each.span_ms) <= each.max


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
            for window in (result.tenant, result.account):
                assert any(time == clock for time, _ in window.grants)
        else:
            for before, after in ((tenant, result.tenant), (account, result.account)):
                assert sum(p for _, p in before.grants) == sum(p for _, p in after.grants)
                assert after is before or before.grants[-1][0] > clock + LONGEST_LEAD_MS
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


# --- stamped ahead, and moved to where they were used


@dataclass(frozen=True)
class Send:
    """A request for permits that are stamped ahead, used before that, and perhaps told of."""

    after: int
    set_back: int
    maximum: int
    """Of the tenant, from now on; 0 leaves it."""
    wanted: int
    lead: int
    used: int
    """Of the lead, in percent."""
    overstated: int
    """By so many ms what is told is later than the use."""
    told: int
    """Before so many more steps, or as soon as they are used; -1: never."""
    order: int
    """Of several that are told of in one step, the smallest first."""


def seldom(strategy: st.SearchStrategy[int]) -> st.SearchStrategy[int]:
    """Once in five times, else 0."""
    return st.integers(0, 4).flatmap(lambda n: strategy if n == 4 else st.just(0))


def sends(
    *, after: int, lead: st.SearchStrategy[int], set_back: int
) -> st.SearchStrategy[list[Send]]:
    """Enough of them for two to meet."""
    send = st.builds(
        Send,
        after=st.integers(0, after),
        set_back=seldom(st.integers(1, set_back)),
        maximum=seldom(st.integers(1, 600)),
        wanted=st.one_of(st.integers(1, 3), st.integers(1, 300)),
        lead=lead,
        used=st.integers(0, 100),
        overstated=st.one_of(st.just(0), st.integers(0, 30)),
        told=st.integers(-1, 6),
        order=st.integers(0, 9),
    )
    return st.lists(send, min_size=8, max_size=40)


any_lead = st.one_of(st.just(LONGEST_LEAD_MS), st.integers(0, LONGEST_LEAD_MS))
apart = sends(after=900, lead=any_lead, set_back=4000)
close = sends(after=4, lead=st.integers(0, 12), set_back=12)
jumpy = sends(after=40, lead=any_lead, set_back=300)
any_sends = st.one_of(apart, close, jumpy)
# Cells of one to six milliseconds, several of which a few sends have in common.
gridded = st.builds(
    Limit, max=st.integers(257, 600), window_ms=st.integers(256, 1500), margin_ms=st.integers(0, 60)
)
any_limit = st.one_of(limits, gridded)


@dataclass
class Permits:
    """Permits of one grant. Times without a name are true ones."""

    send: Send
    number: int
    step: int
    granted_at: int
    clock_then: int
    told: bool = False

    @property
    def used_at(self) -> int:
        return self.granted_at + self.send.lead * self.send.used // 100

    @property
    def needed_at(self) -> int:
        """When they were used, or may be for all that anybody knows."""
        return self.used_at if self.told else self.granted_at + self.send.lead

    def are_told(self, step: int, true_time: int) -> bool:
        due = 0 <= self.send.told <= step - self.step
        return due and not self.told and self.used_at <= true_time

    def moved_in(self, window: Window, limit: Limit) -> Window:
        use = self.clock_then + self.used_at - self.granted_at + self.send.overstated
        for _ in range(self.number):
            window = moved(window, limit, self.clock_then + self.send.lead, use)
        return window


class Sending:
    """Sends through both windows, one step after another, with a clock that may be set back."""

    def __init__(self, tenant_limit: Limit, account_limit: Limit) -> None:
        self.limits = [tenant_limit, account_limit]
        self.windows = [Window.EMPTY, Window.EMPTY]
        self.true_time = self.clock = START
        self.step = 0
        self.given: list[Permits] = []

    def send(self, send: Send) -> None:
        self.step += 1
        self.true_time += send.after
        self.clock += send.after - send.set_back
        if send.maximum:
            old = self.limits[0]
            self.limits[0] = Limit(send.maximum, old.window_ms, old.margin_ms)
        told = [each for each in self.given if each.are_told(self.step, self.true_time)]
        for each in sorted(told, key=lambda each: each.send.order):
            both = zip(self.windows, self.limits, strict=True)
            self.windows = [each.moved_in(*usage) for usage in both]
            each.told = True
        tenant, account = zip(self.windows, self.limits, strict=True)
        result = take(tenant, account, send.wanted, self.clock, send.lead)
        self.windows = [result.tenant, result.account]
        if isinstance(result, Granted):
            self.given.append(Permits(send, result.permits, self.step, self.true_time, self.clock))

    def uses(self) -> list[tuple[int, int]]:
        return sorted((each.used_at, each.number) for each in self.given)

    def assert_each_permit_is_counted(self) -> None:
        """Each that is younger than a span has a count of its own at or after its use: from every
        such moment on there are as many counts as permits.
        """
        set_back = self.true_time - self.clock
        needs = [(each.needed_at - set_back, each.number) for each in self.given]
        for window, limit in zip(self.windows, self.limits, strict=True):
            for moment, _ in needs:
                if moment > self.clock - limit.span_ms:
                    counted = sum(n for time, n in window.grants if time >= moment)
                    assert counted >= sum(n for time, n in needs if time >= moment)


@given(any_limit, any_limit, any_sends)
def test_no_span_of_uses_holds_more_than_either_limit_whatever_is_told_of_them_and_when(
    tenant_limit, account_limit, steps
):
    sending = Sending(tenant_limit, account_limit)
    for step in steps:
        sending.send(replace(step, maximum=0))
    assert most_in_any_span(sending.uses(), tenant_limit.span_ms) <= tenant_limit.max
    assert most_in_any_span(sending.uses(), account_limit.span_ms) <= account_limit.max


@given(any_limit, any_limit, any_sends)
def test_every_permit_is_counted_at_or_after_its_use_even_when_the_maximum_changes(
    tenant_limit, account_limit, steps
):
    sending = Sending(tenant_limit, account_limit)
    for step in steps:
        sending.send(step)
        sending.assert_each_permit_is_counted()
        for window in sending.windows:
            assert list(window.grants) == sorted(window.grants)
            assert Window.decode(window.encode()) == window


@given(limits, any_sends)
def test_what_is_told_at_once_and_exactly_leaves_a_small_window_as_if_it_were_never_stamped_ahead(
    limit, steps
):
    """While the clock runs on: what is moved is free again a span after its use, no later."""
    exact = Limit(min(limit.max, 256), limit.window_ms, limit.margin_ms)
    ahead = plain = Window.EMPTY
    now = START
    for step in steps:
        now += step.after
        nobody = (Window.EMPTY, NO_LIMIT)
        result = take((ahead, exact), nobody, step.wanted, now, step.lead)
        same = take((plain, exact), nobody, step.wanted, now)
        ahead, plain = result.tenant, same.tenant
        assert isinstance(result, Granted) == isinstance(same, Granted)
        if isinstance(result, Granted):
            for _ in range(result.permits):
                ahead = moved(ahead, exact, now + step.lead, now)
        assert ahead.grants == plain.grants


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
