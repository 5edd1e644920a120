"""kill -9 of PostgreSQL itself, all its processes at once, while a campaign is sent."""

from __future__ import annotations

import random
import time

from tests.crash.judge import (
    Report,
    installed,
    is_work_left,
    judge,
    pacing,
    start_campaign,
    wait_for_calls,
)
from tests.postgres import PostgresServer

_BACK_WITHIN_S = 30.0


def database_kills(
    server: PostgresServer, *, times: int, recipients: int, batch_size: int, seed: int
) -> Report:
    """Kill the server so often, start it again on the same data, and do nothing else."""
    chance = random.Random(seed)
    with installed(server.create_database(), pacing(batch_size)) as installation:
        report = Report({"kills": times, "longest_standstill_s": 0.0})
        serving = installation.start("serve")
        campaign_id = start_campaign(installation, recipients)
        for _ in range(times):
            wait_for_calls(installation)
            time.sleep(chance.uniform(0, 0.7))
            server.kill()
            time.sleep(chance.uniform(0, 0.7))
            server.start()
            back = time.monotonic()
            goes_on = wait_for_calls(installation, within_s=_BACK_WITHIN_S)
            report.require("it goes on by itself", holds=goes_on)
            longest = max(report.figures["longest_standstill_s"], time.monotonic() - back)
            report.figures["longest_standstill_s"] = round(longest, 2)
        report.require("work is left at every kill", holds=is_work_left(installation, campaign_id))
        report.require("the process outlives its database", holds=serving.runs())
        disturbed = {serving.name: times}
        judge(report, installation, campaign_id, recipients, disturbed=disturbed)
        return report
