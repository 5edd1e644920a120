"""A worker that is silent beyond its lease, and wakes up (SIGSTOP, then SIGCONT).

The answers to its calls have come meanwhile, and it reads them when it wakes.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from typing import Literal

from sqlalchemy import Connection, func, select

from paceline.domain.outcome import OutcomeKind
from paceline.storage.schema import attempts
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

_TIMEOUT_MS = 1000
_SLACK_MS = 500
Meanwhile = Literal["calls", "waits for a lock", "nothing"]
_LEASE_S = (_TIMEOUT_MS + _SLACK_MS) / 1000


def stops(database_url: str, *, times: int, recipients: int, batch_size: int, seed: int) -> Report:
    """Stop what sends past its lease and let it go on, so often. On PostgreSQL there are two
    workers, of which the other one finds what the stopped one has in hand; on SQLite it finds that
    itself when it wakes.
    """
    environ = pacing(batch_size, timeout_ms=_TIMEOUT_MS) | {
        "PACELINE_LEASE_SLACK_MS": str(_SLACK_MS)
    }
    chance = random.Random(seed)
    with installed(database_url, environ) as installation:
        report = Report({"stops": times})
        senders = _senders(installation)
        campaign_id = start_campaign(installation, recipients)
        meanwhile: Counter[Meanwhile] = Counter()
        for number in range(times):
            wait_for_calls(installation)
            time.sleep(chance.uniform(0, 0.5))
            stopped = senders[number % len(senders)]
            meanwhile[_stop(installation, stopped, chance)] += 1
        report.require("work is left at every stop", holds=is_work_left(installation, campaign_id))
        report.require("what was stopped goes on", holds=all(each.runs() for each in senders))
        report.figures["meanwhile"] = dict(meanwhile)
        goes_on = len(senders) == 1 or not meanwhile["nothing"]
        report.require("another one goes on meanwhile", holds=goes_on)
        disturbed = {each.name: times for each in senders}
        judge(report, installation, campaign_id, recipients, disturbed=disturbed)
        report.figures["late_answers"] = late = installation.read(_late_answers)
        report.require("a late answer still settles", holds=late > 0)
        return report


def _senders(installation: Installation) -> list[Process]:
    if installation.environ["DATABASE_URL"].startswith("sqlite"):
        return [installation.start("serve")]
    installation.start("api")
    return [installation.start("worker"), installation.start("worker")]


def _stop(installation: Installation, sender: Process, chance: random.Random) -> Meanwhile:
    """Stop it past its lease; what others do meanwhile."""
    sender.send(signal.SIGSTOP)
    time.sleep(0.1)
    before = installation.calls()
    time.sleep(_LEASE_S + chance.uniform(0.1, 1.0))
    called = installation.calls() > before
    seen: Meanwhile = "calls" if called else _waiting(installation)
    sender.send(signal.SIGCONT)
    return seen


def _waiting(installation: Installation) -> Meanwhile:
    """Who is stopped in a transaction keeps its locks, for which others have to wait."""
    if installation.environ["DATABASE_URL"].startswith("sqlite"):
        return "nothing"
    return "waits for a lock" if installation.read(_waits_for_lock) else "nothing"


def _waits_for_lock(connection: Connection) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    return bool(connection.exec_driver_sql(waiting).scalar_one())


def _late_answers(connection: Connection) -> int:
    """Answers that were recorded after the lease of their attempt."""
    query = select(func.count()).where(
        attempts.c.outcome == OutcomeKind.ANSWERED,
        attempts.c.finished_at - attempts.c.started_at > _LEASE_S * 1000,
    )
    return int(connection.execute(query).scalar_one())
