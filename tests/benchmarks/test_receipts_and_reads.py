"""Receipts and status reads are measured on true runs, and what is not true is noticed."""

from __future__ import annotations

import json

import pytest

from benchmarks import api, receipts
from benchmarks.api import check_status
from benchmarks.installation import WrongRunError
from benchmarks.receipts import Sizes


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_every_accepted_receipt_is_folded_also_during_a_launch(kind):
    sizes = Sizes(messages=150, connections=8, seconds=0.5, launch=2_000)
    figures = receipts.measure(kind, sizes)
    assert figures.broken == []
    assert figures.during_launch is not None
    taken = figures.alone.receipts + figures.during_launch.receipts
    assert figures.delivered == min(taken, 150)
    assert figures.alone.accepted_per_s > 0
    assert figures.alone.p50_ms <= figures.alone.p99_ms
    assert figures.alone.backlog >= 0


def test_a_lost_receipt_is_noticed(monkeypatch):
    monkeypatch.setattr(receipts, "_delivered", lambda _: 0)
    figures = receipts.measure("sqlite", Sizes(messages=20, connections=2, seconds=0.2, launch=0))
    assert len(figures.broken) == 1
    assert "0 messages delivered" in figures.broken[0]


def test_status_is_polled_while_a_campaign_sends():
    figures = api.measure("sqlite", recipients=3_000, clients=5, every_ms=50)
    assert figures.reads >= 5
    assert figures.p50_ms <= figures.p95_ms <= figures.p99_ms
    assert figures.provider == {"accepted": 3_000, "distinct": 3_000, "duplicates": 0}


TRUE = {"queued": 2, "sent": 3, "processed": 4, "failed": 1, "delivered": 3, "unconfirmed": 2}


@pytest.mark.parametrize(
    "change", [{"queued": 3}, {"processed": 5}, {"delivered": 4}, {"unconfirmed": 3}]
)
def test_a_status_that_contradicts_itself_is_noticed(change):
    def document(metrics):
        return json.dumps({"campaign": {"total": 6}, "metrics": metrics}).encode()

    check_status(document(TRUE))
    with pytest.raises(WrongRunError):
        check_status(document(TRUE | change))
