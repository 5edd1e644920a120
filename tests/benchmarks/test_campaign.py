"""The benchmark measures whole, true runs, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import tempfile
from functools import partial

import pytest

from benchmarks import campaign, installation, memory
from benchmarks.campaign import compare, measure
from benchmarks.installation import WrongRunError, insist
from paceline.storage.audit import Difference


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where the benchmark makes its folder, and nobody else does."""
    here = partial(tempfile.TemporaryDirectory, dir=tmp_path)
    monkeypatch.setattr(installation, "TemporaryDirectory", here)
    return tmp_path


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_run_sends_everything_once_and_reports_it(kind, home):
    figures = measure(kind, recipients=300, batch_size=100)
    assert figures.provider == {"accepted": 300, "distinct": 300, "duplicates": 0}
    assert figures.messages_per_s > 0
    assert figures.seconds > 0
    assert figures.peak_rss_mb > 10
    assert 0 <= figures.void_permits <= 1
    assert figures.machine["cores"] > 0
    assert figures.machine[kind][0].isdigit()
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_yardstick_sends_everything_too_and_the_middle_ratio_is_reported(kind):
    figures = compare(kind, recipients=250, batch_size=100)
    ratios = sorted(each.ratio for each in figures.rounds)
    assert len(ratios) == campaign.ROUNDS
    assert figures.ratio_to_yardstick == ratios[1]
    for each in figures.rounds:
        assert each.ratio == pytest.approx(
            each.messages_per_s / each.yardstick_messages_per_s, rel=0.01
        )


def test_a_yardstick_that_loses_messages_is_none(monkeypatch):
    monkeypatch.setattr(campaign, "printed_by", lambda *_: {"seconds": 1.0})
    with pytest.raises(WrongRunError, match="accepted"):
        compare("sqlite", recipients=10, batch_size=10)


@pytest.mark.parametrize(
    ("accepted", "distinct", "differences"),
    [(301, 300, []), (299, 299, []), (300, 300, [Difference(1, "sent", 299, 300)])],
    ids=["sent twice", "lost", "counted wrong"],
)
def test_a_run_that_broke_a_promise_has_no_figures(accepted, distinct, differences):
    with pytest.raises(WrongRunError):
        insist(300, {"accepted": accepted, "distinct": distinct}, differences)


def test_memory_is_compared_from_the_smallest_audience_to_the_largest():
    figures = memory.measure("sqlite", [400, 100], batch_size=100)
    small, large = figures.sizes
    assert (small.recipients, large.recipients) == (100, 400)
    assert figures.ratio == pytest.approx(large.peak_rss_mb / small.peak_rss_mb, abs=0.01)


def test_what_it_started_ends_when_it_is_interrupted(monkeypatch, home):
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def remember(*args, **kwargs):
        started.append(start(*args, **kwargs))
        return started[-1]

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", remember)
    monkeypatch.setattr(campaign, "complete", interrupt)
    with pytest.raises(KeyboardInterrupt):
        measure("sqlite", recipients=10, batch_size=10)
    assert len(started) == 2
    assert all(process.returncode is not None for process in started)
    assert list(home.iterdir()) == []
