"""How long a campaign will take, played call by call."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.domain.eta import MOST_PLAYED, Account, Bound, Queue, Used, calls_for, estimate
from paceline.domain.limits import Limit, Window, grant, open_at

WIDE = Limit(1_000_000, 1000, 0)
limits = st.builds(Limit, st.integers(1, 20), st.integers(1, 3000), st.integers(0, 50))


def account(limit: Limit = WIDE, **values: int) -> Account:
    return Account(Used(limit), **({"turn": 0, "at_once": 1000, "call_ms": 0} | values))


def alone(limit: Limit = WIDE) -> Queue:
    return Queue(1, 0, Used(limit), ())


def granted(limit_a: Limit, limit_b: Limit, calls: int) -> int:
    """When the last of so many calls passes two windows that are empty at first."""
    one = other = Window.EMPTY
    at = 0
    for _ in range(calls):
        at = max(open_at(one, limit_a, at), open_at(other, limit_b, at))
        one, other = grant(one, limit_a, 1, at), grant(other, limit_b, 1, at)
    return at


@settings(max_examples=60)
@given(limits, limits, st.integers(1, 80))
def test_alone_on_an_idle_account_it_takes_as_long_as_the_windows_do(
    of_account: Limit, of_tenant: Limit, calls: int
) -> None:
    eta = estimate(account(of_account), [alone(of_tenant)], 1, calls)
    assert eta.ms == granted(of_account, of_tenant, calls)
    assert (eta.calls, eta.ahead) == (calls, 0)


@settings(max_examples=30)
@given(
    st.builds(Limit, st.integers(1, 300), st.integers(100, 3000), st.just(0)),
    st.integers(MOST_PLAYED + 1, 50 * MOST_PLAYED),
)
def test_many_calls_are_played_in_groups_and_take_about_as_long(limit: Limit, calls: int) -> None:
    exact = (calls - 1) // limit.max * limit.span_ms
    eta = estimate(account(limit), [alone()], 1, calls)
    assert abs(eta.ms - exact) <= 0.05 * exact + limit.span_ms


def test_beside_another_it_has_every_other_turn_until_that_is_done() -> None:
    other = Queue(2, 0, Used(WIDE), (10,))
    eta = estimate(account(Limit(1, 100, 0)), [alone(), other], 1, 10)
    assert eta.ms == 18 * 100
    assert (eta.ahead, eta.bound) == (9, Bound.TURNS)
    short = Queue(2, 0, Used(WIDE), (3,))
    eta = estimate(account(Limit(1, 100, 0)), [alone(), short], 1, 10)
    assert (eta.ms, eta.ahead) == (12 * 100, 3)
    assert eta.bound is Bound.ACCOUNT_LIMIT


@given(st.integers(1, 5), st.integers(1, 30))
def test_beside_k_busy_tenants_it_takes_at_most_k_and_one_times_its_time_alone(
    others: int, calls: int
) -> None:
    limit = Limit(2, 100, 0)
    busy = [Queue(n + 2, 0, Used(WIDE), (1000,)) for n in range(others)]
    by_itself = estimate(account(limit), [alone()], 1, calls).ms
    beside = estimate(account(limit), [alone(), *busy], 1, calls).ms
    assert by_itself <= beside <= (others + 1) * by_itself + limit.span_ms * (others + 1)


def test_campaigns_of_one_tenant_go_in_turn() -> None:
    queue = Queue(1, 0, Used(Limit(1, 100, 0)), (5, 5))
    eta = estimate(account(), [queue], 1, 5)
    assert eta.ms == 14 * 100


def test_the_tenants_limit_holds_though_the_account_is_free() -> None:
    other = Queue(2, 0, Used(WIDE), (50,))
    eta = estimate(account(Limit(100, 1000, 0)), [alone(Limit(1, 1000, 0)), other], 1, 6)
    assert eta.ms == 5000
    assert eta.bound is Bound.TENANT_LIMIT


def test_what_was_used_just_now_counts() -> None:
    limit = Limit(2, 1000, 0)
    used = Account(Used(limit, (400, 100)), turn=0, at_once=10, call_ms=0)
    assert estimate(used, [alone()], 1, 1).ms == 600
    assert estimate(used, [alone()], 1, 2).ms == 900


def test_a_campaigns_own_speed_keeps_nobody_else() -> None:
    mine = Queue(1, 0, Used(WIDE), (20,))
    eta = estimate(account(Limit(10, 100, 0)), [mine], 1, 5, Limit(1, 1000, 0))
    assert eta.ms == 4000
    assert eta.bound is Bound.CAMPAIGN_LIMIT


def test_slow_answers_and_few_hands_decide() -> None:
    eta = estimate(account(at_once=2, call_ms=300), [alone()], 1, 10)
    assert eta.ms == 5 * 300
    assert eta.bound is Bound.CALLS


def test_an_account_that_is_closed_begins_later() -> None:
    assert estimate(account(closed_ms=7000), [alone()], 1, 3).ms == 7000


def test_each_chunk_of_a_launch_is_cut_into_batches_by_itself() -> None:
    assert calls_for(10, 3, 4) == 2 + 2 + 1
    assert calls_for(8, 3, 4) == 4
    assert calls_for(1_000_000, 500, 5_000) == 2_000
