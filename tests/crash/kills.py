"""kill -9 of what sends, again and again, while it starts and while it sends."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Sequence
from typing import Literal

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

Sender = Literal["serve", "worker"]
SENDERS: tuple[Sender, ...] = ("serve", "worker")
_KILLED_AT_START = 0.2
"""The share of kills that come before the process is ready."""
_STARTS_WITHIN_S = 2.0
_SENDS_FOR_S = 0.8


def kills(
    database_url: str,
    *,
    times: int,
    recipients: int,
    batch_size: int,
    seed: int,
    senders: Sequence[Sender] = SENDERS,
) -> Report:
    """Kill `serve` so often, or `worker` beside an `api`, or each half of the times."""
    with installed(database_url, pacing(batch_size)) as installation:
        return crash(installation, kills=times, recipients=recipients, seed=seed, senders=senders)


def crash(
    installation: Installation,
    *,
    kills: int,
    recipients: int,
    seed: int,
    senders: Sequence[Sender] = SENDERS,
) -> Report:
    """Run a campaign through the kills and hold the outcome against the provider's log."""
    chance = random.Random(seed)
    report = Report({"kills": kills})
    killed: list[Process] = []
    campaign_id = 0
    for sender in senders:
        process = start_sender(installation, sender)
        campaign_id = campaign_id or start_campaign(installation, recipients)
        for _ in range(kills // len(senders)):
            goes_on = _wait_for_the_moment(installation, chance)
            report.require("it goes on after a kill", holds=goes_on)
            process.end(signal.SIGKILL)
            killed.append(process)
            process = installation.launch(sender)
    report.require("work is left at every kill", holds=is_work_left(installation, campaign_id))
    process.wait_until_ready()
    disturbed = dict.fromkeys((each.name for each in killed), 1)
    judge(report, installation, campaign_id, recipients, disturbed=disturbed)
    met = report.figures.pop("workers_in_doubt")
    report.figures["kills_that_met_a_call"] = met
    report.require("a kill met a call", holds=met > 0)
    return report


def start_sender(installation: Installation, sender: Sender) -> Process:
    """Start what sends, and an API beside it if it has none, in place of all that runs."""
    for process in installation.processes:
        if process.runs():
            process.end()
    if sender == "worker":
        installation.start("api")
    return installation.start(sender)


def _wait_for_the_moment(installation: Installation, chance: random.Random) -> bool:
    """Some are killed while they start, the others while they send; False: it never does."""
    if chance.random() < _KILLED_AT_START:
        time.sleep(chance.uniform(0, _STARTS_WITHIN_S))
        return True
    sends = wait_for_calls(installation)
    time.sleep(chance.uniform(0, _SENDS_FOR_S))
    return sends
