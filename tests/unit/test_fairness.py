"""Turns between lanes, counted in permits: the bound of promise 5."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from paceline.domain.fairness import Lane, next_lane, served, start_of


class Account:
    """One account that serves whoever has work, one permit at a time."""

    def __init__(self) -> None:
        self.lanes: dict[int, Lane] = {}
        self.turn = 0

    def serve(self, busy: set[int], cost: int = 1) -> int:
        for tenant in busy:
            self.lanes.setdefault(tenant, Lane(tenant, 0))
        lane = next_lane((self.lanes[tenant] for tenant in busy), self.turn)
        assert lane is not None
        self.lanes[lane.tenant_id], self.turn = served(lane, self.turn, cost)
        return lane.tenant_id


def test_nobody_is_served_when_nobody_has_work():
    assert next_lane([], turn=7) is None


def test_of_equals_the_one_that_waited_longer_then_the_lower_id_goes_first():
    assert next_lane([Lane(2, 9), Lane(1, 9)], turn=9) == Lane(1, 9)
    assert next_lane([Lane(1, 9), Lane(2, 4)], turn=9) == Lane(2, 4)


def test_a_served_lane_moves_on_by_its_cost_from_where_it_stands():
    assert served(Lane(1, 3), turn=3, cost=5) == (Lane(1, 8), 3)
    assert served(Lane(1, 3), turn=10, cost=1) == (Lane(1, 11), 10)
    assert start_of(Lane(1, 12), turn=10) == 12


@given(
    busy=st.integers(1, 6), before=st.integers(0, 40), own=st.integers(1, 12), later=st.booleans()
)
def test_a_small_campaign_is_done_in_as_many_times_its_time_as_there_are_lanes(
    busy, before, own, later
):
    account = Account()
    others, small = set(range(2, busy + 2)), 1 if later else busy + 2
    for _ in range(before):
        account.serve(others)
    used = left = 0
    left = own
    while left:
        used += 1
        left -= account.serve({*others, small}) == small
    assert used <= (busy + 1) * own


@given(st.lists(st.booleans(), min_size=1, max_size=200), st.integers(1, 4))
def test_a_lane_that_comes_and_goes_takes_nothing_from_those_that_stay(present, busy):
    account = Account()
    others = set(range(1, busy + 1))
    permits = Counter(account.serve({*others, 99} if there else others) for there in present)
    fair_share = len(present) // (busy + 1)
    assert all(permits[tenant] >= fair_share for tenant in others)


def test_a_lane_back_from_idling_has_no_hoard():
    account = Account()
    account.serve({1, 2})
    for _ in range(1000):
        account.serve({2})
    served_now = [account.serve({1, 2}) for _ in range(100)]
    assert served_now[0] == 1
    assert Counter(served_now)[2] >= 49


def test_a_lane_back_from_idling_is_not_punished_for_having_been_busy():
    account = Account()
    for _ in range(1000):
        account.serve({1})
    assert Counter(account.serve({1, 2}) for _ in range(10)) == {1: 5, 2: 5}


@given(st.lists(st.integers(1, 20), min_size=2, max_size=60))
def test_lanes_of_unequal_batches_get_equal_permits(costs):
    account = Account()
    permits: Counter[int] = Counter()
    for cost in costs:
        permits[account.serve({1, 2}, cost)] += cost
    assert abs(permits[1] - permits[2]) <= max(costs)
