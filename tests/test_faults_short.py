"""The fault programs in small, none in all its modes and only two on both databases: that takes
minutes, and is what `python -m tests.faults` is for.
"""

from __future__ import annotations

from pathlib import Path

from tests.faults_doubt import doubt
from tests.faults_outage import outage
from tests.faults_receipts import receipts_through_kills
from tests.faults_stop import stop


def test_doubt_ends_without_a_second_message(database_url: str) -> None:
    mode = "lookup" if database_url.startswith("sqlite") else "dedupe"
    report = doubt(database_url, mode_name=mode, receipts=False, messages=300, batch_size=10)
    assert report.broken == []


def test_an_outage_fails_no_message_and_the_campaign_goes_on_by_itself(tmp_path: Path) -> None:
    report = outage(
        f"sqlite:///{tmp_path}/paceline.db",
        outage_kind="refuse",
        seconds=1,
        recipients=650,
        batch_size=5,
        calls_per_second=40,
        backoff_ms=100,
    )
    assert report.broken == []


def test_a_kill_loses_no_receipt_that_was_acknowledged(postgres_url: str) -> None:
    report = receipts_through_kills(postgres_url, kills=1, recipients=1000)
    assert report.broken == []
    assert report.figures["never_acknowledged"] > 0


def test_whoever_says_stop_gets_no_more_than_its_confirmation(database_url: str) -> None:
    report = stop(database_url, recipients=300, batch_size=10, calls_per_second=20, stops=30)
    assert report.broken == []
    assert report.figures["opted_out"] > 0
