"""The limits benchmark can tell a kept limit from a broken one, and a used one from an idle one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import limits
from benchmarks.limits import PHASES, Phase, Seen, broken_by, measure, share_used
from benchmarks.processes import ProcessFailedError
from paceline.domain.limits import Limit

MS = 1_000_000
TEN = Limit(10, 1_000, 0)
KEPT = Seen("10 per 1000 ms", 100, 0, 10, 10, 20, 20, 9, 1.0, 0.0)


def bursts(count: int, every_ms: int, size: int = 10) -> list[int]:
    """Bursts of calls, the calls of each a millisecond apart."""
    return [(burst * every_ms + call) * MS for burst in range(count) for call in range(size)]


def test_a_limit_used_in_full_is_used_in_full():
    assert share_used(bursts(6, 1_000), TEN, 5_500 * MS) == (4, 1.0)


def test_the_first_window_does_not_count():
    """A double burst at the start would hide what is missing later."""
    times = sorted(bursts(1, 1_000) + bursts(5, 1_000)[:-20])
    assert share_used(times, TEN, 5_500 * MS) == (4, 0.5)


def test_standing_idle_at_the_end_counts():
    assert share_used(bursts(3, 1_000), TEN, 5_500 * MS) == (4, 0.5)


def test_the_margin_is_not_called_idle():
    assert share_used(bursts(6, 1_050), Limit(10, 1_000, 50), 5_500 * MS) == (4, 1.0)


def test_less_than_two_windows_say_nothing():
    with pytest.raises(ProcessFailedError, match="too few seconds"):
        share_used(bursts(2, 1_000), TEN, 1_900 * MS)


@pytest.mark.parametrize(
    "change",
    [
        {"duplicates": 1},
        {"largest_of_a_tenant": 11},
        {"largest_of_the_account": 21},
        {"share_used": 0.9799},
    ],
)
def test_each_broken_promise_is_named(change):
    assert broken_by(KEPT) == []
    assert len(broken_by(replace(KEPT, **change))) == 1


def test_the_tenant_binds_alone_and_the_account_when_two_share_it():
    assert PHASES["tenant"].binding.max == 40
    assert PHASES["account"].binding.max == 50
    assert PHASES["slow"].binding == Limit(1, 2_000, 50)
    assert PHASES["minute"].binding == Limit(300, 60_000, 50)


def test_workers_share_a_limit_and_the_provider_never_sees_more(monkeypatch):
    two_tenants = Phase(Limit(6, 500, 100), Limit(10, 500, 100), tenants=2)
    monkeypatch.setitem(limits.PHASES, "account", two_tenants)
    figures = measure("postgres", workers=2, seconds=2.5, names=["account"])
    seen = figures.phases["account"]
    assert seen.windows == 3
    assert seen.calls >= 20
    assert seen.largest_of_a_tenant <= 6
    assert seen.largest_of_the_account <= 10
    assert 0 < seen.share_used <= (seen.windows + 1) / seen.windows  # the last one may be cut
