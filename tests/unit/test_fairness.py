"""Turns between lanes, counted in permits: the bound of promise 5."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from paceline.domain.fairness import (
    MOST_CREDIT,
    Lane,
    credit_of,
    next_lane,
    served,
    start_of,
)
from paceline.domain.limits import Limit

CREDIT = 20


class Account:
    """One account that serves whoever has work, one permit at a time."""

    def __init__(self) -> None:
        self.lanes: dict[int, Lane] = {}
        self.turn = 0

    def serve(self, busy: set[int], cost: int = 1) -> int:
        for tenant in busy:
            self.lanes.setdefault(tenant, Lane(tenant, 0))
        lane = next_lane((self.lanes[tenant] for tenant in busy), self.turn, CREDIT)
        assert lane is not None
        self.lanes[lane.tenant_id], self.turn = served(lane, self.turn, CREDIT, cost)
        return lane.tenant_id


def test_nobody_is_served_when_nobody_has_work():
    assert next_lane([], turn=7, credit=CREDIT) is None


def test_of_equals_the_one_that_waited_longer_then_the_lower_id_goes_first():
    assert next_lane([Lane(2, 9), Lane(1, 9)], turn=9, credit=0) == Lane(1, 9)
    assert next_lane([Lane(1, 9), Lane(2, 4)], turn=9, credit=0) == Lane(2, 4)


def test_a_served_lane_moves_on_by_its_cost_from_where_it_stands():
    assert served(Lane(1, 3), turn=3, credit=0, cost=5) == (Lane(1, 8), 3)
    assert served(Lane(1, 3), turn=10, credit=0, cost=1) == (Lane(1, 11), 10)
    assert start_of(Lane(1, 12), turn=10, credit=0) == 12


def test_an_idle_lane_keeps_the_turns_of_a_window_and_the_accounts_turn_never_goes_back():
    assert start_of(Lane(1, 3), turn=50, credit=20) == 30
    assert served(Lane(1, 3), turn=50, credit=20, cost=1) == (Lane(1, 31), 50)
    assert start_of(Lane(1, 45), turn=50, credit=20) == 45


def test_the_credit_is_a_windows_worth_but_not_without_end():
    assert credit_of(Limit(200, 1000, 50)) == 200
    assert credit_of(Limit(1_000_000, 1000, 50)) == MOST_CREDIT


@given(busy=st.integers(1, 6), before=st.integers(CREDIT, 60), own=st.integers(1, 60))
def test_a_small_campaign_is_done_in_the_promised_time_beside_busy_tenants(busy, before, own):
    """In permits, which open a window's worth (``CREDIT``) at a time. Alone on an idle account the
    first window's are free; beside the others they are used up, and open one by one.
    """
    account = Account()
    others, small = set(range(2, busy + 2)), 1
    for _ in range(before * (busy + 1)):
        account.serve(others)
    used, left = 0, own
    while left:
        used += 1
        left -= account.serve({*others, small}) == small
    alone = max(own - CREDIT, 0)
    assert used <= (busy + 1) * alone + CREDIT


@given(
    st.lists(st.booleans(), min_size=1, max_size=200),
    st.integers(1, 4),
)
def test_a_lane_that_comes_and_goes_takes_a_windows_worth_at_most_from_those_that_stay(
    present, busy
):
    account = Account()
    others = set(range(1, busy + 1))
    permits = Counter(account.serve({*others, 99} if there else others) for there in present)
    fair_share = len(present) // (busy + 1)
    assert sum(permits[tenant] for tenant in others) >= fair_share * busy - CREDIT
    assert max(permits[each] for each in others) - min(permits[each] for each in others) <= 1


def test_a_lane_back_from_idling_hoards_no_more_than_a_windows_worth():
    account = Account()
    account.serve({1, 2})
    for _ in range(1000):
        account.serve({2})
    served_now = [account.serve({1, 2}) for _ in range(100)]
    assert served_now[:CREDIT] == [1] * CREDIT
    assert Counter(served_now[CREDIT:])[2] >= (100 - CREDIT) // 2 - 1


def test_a_lane_back_from_idling_is_not_punished_for_having_been_busy():
    account = Account()
    for _ in range(1000):
        account.serve({1})
    assert Counter(account.serve({1, 2}) for _ in range(CREDIT + 10)) == {1: 5, 2: CREDIT + 5}


@given(st.lists(st.integers(1, 20), min_size=2, max_size=60))
def test_lanes_of_unequal_batches_get_equal_permits(costs):
    account = Account()
    permits: Counter[int] = Counter()
    for cost in costs:
        permits[account.serve({1, 2}, cost)] += cost
    assert abs(permits[1] - permits[2]) <= max(costs)
