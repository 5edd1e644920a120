"""What this process has done since it started, as Prometheus counts it.

Labels are words of a fixed set, never a name, a number or a text of somebody's: each value is a
series that is kept for months.
"""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from paceline.domain.outcome import Outcome, OutcomeKind
from paceline.storage.batches import Attempt
from paceline.storage.conclusion import Recorded
from paceline.storage.wishes import Gone, Intent, Untimely, Wait

# They would double the series, each only to say when the process started.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
"""Of our own, so that nothing is shown which a library happens to register."""
ProcessCollector(registry=REGISTRY)

_WAITS = (
    "tenant_limit",
    "account_limit",
    "campaign_limit",
    "quiet_hours",
    "send_window",
    "daily_cap",
    "account_held",
    "account_closed",
    "campaign_paused",
    "campaign_cancelled",
)

SUBMISSIONS = Counter(
    "paceline_submissions",
    "Tries to hand a batch to its provider, by what came of them.",
    ["outcome"],
    registry=REGISTRY,
)
MESSAGES_SENT = Counter(
    "paceline_messages_sent", "Messages that a provider accepted.", registry=REGISTRY
)
MESSAGES_FAILED = Counter(
    "paceline_messages_failed",
    "Messages that failed when they were tried; later receipts are not counted.",
    registry=REGISTRY,
)
PERMITS = Counter(
    "paceline_permits", "Permits taken from all windows, void ones among them.", registry=REGISTRY
)
VOID_PERMITS = Counter(
    "paceline_void_permits",
    "Permits that ran out before the first byte; nothing was sent.",
    registry=REGISTRY,
)
WAITS = Counter(
    "paceline_waits",
    "How often a batch had to wait at the gate, by what shut it.",
    ["cause"],
    registry=REGISTRY,
)
DISPATCH_DURATION = Histogram(
    "paceline_dispatch_duration_seconds",
    "From the reservation of a batch until it is settled or given back.",
    registry=REGISTRY,
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
CALL_DURATION = Histogram(
    "paceline_provider_call_duration_seconds",
    "From the first byte of a request to the end of its answer, or to giving up on it.",
    registry=REGISTRY,
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)

# A series that is there from the start can be alerted on when it first rises.
for _kind in OutcomeKind:
    if _kind is not OutcomeKind.VOID:  # no submission
        SUBMISSIONS.labels(_kind)
for _cause in _WAITS:
    WAITS.labels(_cause)


def count_intent(intent: Intent) -> None:
    """Count a permit, or why there is none."""
    match intent:
        case Attempt():
            PERMITS.inc()
        case Wait(denied=denied):
            count_wait(denied.held_by)
        case Untimely(waits_for=waits_for):
            WAITS.labels(waits_for).inc()
        case Gone(why):
            WAITS.labels(why.replace(" ", "_")).inc()


def count_wait(held_by: str) -> None:
    """Count a batch that waits for a window of its ``tenant``, ``account`` or ``campaign``."""
    WAITS.labels(f"{held_by}_limit").inc()


def count_outcome(outcome: Outcome, recorded: Recorded) -> None:
    """Count one submission and what became of its messages."""
    SUBMISSIONS.labels(outcome.kind).inc()
    count_messages(recorded)


def count_messages(recorded: Recorded) -> None:
    """Count messages that are settled now."""
    MESSAGES_SENT.inc(recorded.sent)
    MESSAGES_FAILED.inc(recorded.failed)
