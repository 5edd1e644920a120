"""The fairness benchmark runs what it says and knows a broken bound."""

from __future__ import annotations

from benchmarks import fairness
from benchmarks.fairness import SCENARIOS, Sizes, _judged, measure
from paceline.domain.limits import Limit

SIZES = Sizes(batches=20, backlog=200, limit=Limit(20, 400, 50))


def test_the_bound_is_a_share_of_the_account_and_one_window():
    judged = _judged(SIZES, busy=5, alone=2.0, beside=3.0)
    assert judged.bound_s == 6 * 2.0 + 0.45
    assert judged.pace_s == 6 * 0.45


def test_a_small_campaign_is_timed_alone_and_beside_a_backlog(monkeypatch):
    monkeypatch.setattr(fairness, "SCENARIOS", {"1 busy tenant": SCENARIOS["1 busy tenant"]})
    figures = measure("sqlite", SIZES)
    beside = figures.scenarios["1 busy tenant"]
    assert beside.busy == 1
    assert 0 < beside.alone_s < beside.beside_s
    late = beside.beside_s > beside.bound_s
    assert bool(figures.broken) == late


def test_a_tenants_own_big_campaign_counts_as_one_competitor(monkeypatch):
    own = "a big campaign of its own"
    monkeypatch.setattr(fairness, "SCENARIOS", {own: SCENARIOS[own]})
    assert measure("sqlite", SIZES).scenarios[own].busy == 1
