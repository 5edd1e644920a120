"""SIGTERM under load: a process ends by itself, in time, and leaves nothing behind."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Sequence

from sqlalchemy import Connection, func, or_, select

from paceline.domain.message import BatchStatus
from paceline.storage.schema import batches
from tests.crash.installation import Installation, Process
from tests.crash.judge import (
    Report,
    installed,
    is_work_left,
    judge,
    pacing,
    start_campaign,
    wait_for_calls,
)
from tests.crash.kills import SENDERS, Sender, start_sender

_TIMEOUT_MS = 5000
_ENDS_WITHIN_S = _TIMEOUT_MS / 1000 + 10
_SLOW = {"latency_ms": 200, "latency_jitter_ms": 1200}
"""Answers are on their way whenever the signal comes."""


def terms(
    database_url: str,
    *,
    times: int,
    recipients: int,
    batch_size: int,
    seed: int,
    senders: Sequence[Sender] = SENDERS,
) -> Report:
    """End `serve` so often, or `worker` beside an `api`, or each half of the times."""
    chance = random.Random(seed)
    with installed(database_url, pacing(batch_size, timeout_ms=_TIMEOUT_MS), _SLOW) as installation:
        report = Report({"terms": times, "longest_s": 0.0})
        campaign_id = 0
        for sender in senders:
            process = start_sender(installation, sender)
            campaign_id = campaign_id or start_campaign(installation, recipients)
            for _ in range(times // len(senders)):
                takes_it_up = wait_for_calls(installation, 3)
                report.require("the next one takes up the rest", holds=takes_it_up)
                time.sleep(chance.uniform(0, 0.7))
                _end(report, process)
                _judge_what_is_left(report, installation)
                process = installation.launch(sender)
        report.require("work is left at every end", holds=is_work_left(installation, campaign_id))
        process.wait_until_ready()
        judge(report, installation, campaign_id, recipients, disturbed={})
        return report


def _end(report: Report, process: Process) -> None:
    began = time.monotonic()
    process.send(signal.SIGTERM)
    try:
        status = process.popen.wait(_ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        report.require(f"it ends within {_ENDS_WITHIN_S:g} s", holds=False)
        process.end(signal.SIGKILL)
        return
    longest = max(report.figures["longest_s"], time.monotonic() - began)
    report.figures["longest_s"] = round(longest, 2)
    report.require("its exit status is 0", holds=status == 0)


def _judge_what_is_left(report: Report, installation: Installation) -> None:
    in_hand = installation.read(_in_hand)
    report.require("nothing stays in its hands or in doubt", holds=in_hand == 0)


def _in_hand(connection: Connection) -> int:
    held = batches.c.status.in_((BatchStatus.RESERVED, BatchStatus.SUBMITTING))
    query = select(func.count()).where(or_(held, batches.c.in_doubt))
    return int(connection.execute(query).scalar_one())
