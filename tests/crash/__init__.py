"""Processes and databases that are killed, stopped, filled up and taken away in mid-campaign.

What a run of `python -m tests.crash` is made of, and the installation that other tests drive too.
"""

from tests.crash.installation import (
    CONCURRENCY,
    PATIENCE_S,
    Installation,
    Process,
    _free_port,
    database,
    environ_of,
    fetch,
    provider,
)
from tests.crash.judge import Report
from tests.crash.kills import crash

__all__ = [
    "CONCURRENCY",
    "PATIENCE_S",
    "Installation",
    "Process",
    "Report",
    "_free_port",
    "crash",
    "database",
    "environ_of",
    "fetch",
    "provider",
]
