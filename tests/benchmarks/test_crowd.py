"""The crowd benchmark knows what each account can reach, and a broken limit from a kept one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.crowd import CROWD, Record, Seen, SeenAccount, Shared, broken_by, measure
from paceline.domain.limits import Limit

MS = 1_000_000
KEPT = Seen("10 per 1000 ms", 100, 10, 99.0, 0.1)
ACCOUNT = SeenAccount("20 per 1000 ms", 200, 20, 99.0, 0.1, "its limit", {"one": KEPT, "two": KEPT})
SHARED = Shared(Limit(20, 1_000, 50), {"one": Limit(10, 1_000, 50), "two": Limit(10, 500, 50)})
SMALL = {
    "own": Shared(Limit(6, 400, 50), {"one": Limit(5, 400, 50), "two": Limit(4, 300, 50)}),
    "theirs": Shared(Limit(9, 400, 50), {"three": Limit(3, 400, 50), "four": Limit(2, 400, 50)}),
}


def test_the_smaller_of_the_accounts_limit_and_the_sum_of_its_tenants_binds():
    assert SHARED.binds == "its limit"
    assert SHARED.bound == pytest.approx(20 / 1.05)
    wide = replace(SHARED, limit=Limit(40, 1_000, 50))
    assert wide.binds == "its tenants'"
    assert wide.bound == pytest.approx(10 / 1.05 + 10 / 0.55)


def test_three_accounts_and_six_tenants_all_have_limits_of_their_own():
    limits = [shared.limit for shared in CROWD.values()]
    limits += [limit for shared in CROWD.values() for limit in shared.tenants.values()]
    assert len(limits) == len(set(limits)) == 3 + 6
    assert {shared.binds for shared in CROWD.values()} == {"its limit", "its tenants'"}


def test_what_went_out_before_all_were_at_work_is_not_called_used():
    limit = Limit(10, 1_000, 0)
    times_ns = [second * 1_000 * MS for second in range(10) for _ in range(10 if second < 4 else 5)]
    record = Record({"one": times_ns}, {}, begin_ns=4_000 * MS, until_ns=9_500 * MS)
    assert record.rate("one", limit) == 5.0
    assert record.seen("one", limit, 5.0, 10.0)["used_percent"] == 50.0


def test_a_window_counts_all_calls_but_those_a_whole_window_apart():
    times_ns = [0, 1, 999 * MS, 1_000 * MS, 1_001 * MS]
    record = Record({"one": times_ns}, {}, begin_ns=0, until_ns=0)
    assert record.seen("one", Limit(9, 1_000, 0), 0.0, 1.0)["fullest_window"] == 3


@pytest.mark.parametrize(
    ("account", "duplicates"),
    [
        (ACCOUNT, 1),
        (replace(ACCOUNT, fullest_window=21), 0),
        (replace(ACCOUNT, tenants={"one": KEPT, "two": replace(KEPT, fullest_window=11)}), 0),
        (replace(ACCOUNT, used_percent=97.99), 0),
    ],
)
def test_each_broken_promise_is_named(account, duplicates):
    assert broken_by({"shared": SHARED}, {"shared": ACCOUNT}, 0) == []
    assert len(broken_by({"shared": SHARED}, {"shared": account}, duplicates)) == 1


def test_who_began_too_late_has_used_nothing():
    record = Record({"one": [8_000 * MS]}, {}, begin_ns=0, until_ns=9_500 * MS)
    assert record.rate("one", Limit(10, 1_000, 0)) == 0.0
    assert record.rate("one", Limit(10, 500, 0)) == 0.0  # the first window is left out


def test_workers_share_all_limits_and_the_provider_never_sees_more():
    figures = measure("postgres", workers=3, seconds=2, crowd=SMALL)
    assert figures.duplicates == 0
    assert sum(seen.calls for seen in figures.accounts.values()) > 0
    for name, shared in SMALL.items():
        seen = figures.accounts[name]
        assert seen.fullest_window <= shared.limit.max
        for tenant, limit in shared.tenants.items():
            assert seen.tenants[tenant].fullest_window <= limit.max
