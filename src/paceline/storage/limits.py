"""The limits in force: an override on the row, else the default of the settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from paceline.domain.limits import Limit


class Strategy(StrEnum):
    """What happens when a window is full (``RATE_LIMIT_STRATEGY``)."""

    PACE = "pace"
    """Wait at the gate until it opens: costs no try."""
    BACKOFF = "backoff"
    """Deny: the batch is retried after its backoff, and fails when its tries run out."""


@dataclass(frozen=True, slots=True)
class Pacing:
    """How this process keeps to the limits."""

    tenant: Limit
    account: Limit
    strategy: Strategy = Strategy.PACE


def limit_of(row: Any, default: Limit) -> Limit:
    """The limit of a tenant's or an account's row (``rate_max``, ``rate_window_ms``)."""
    if row.rate_max is None and row.rate_window_ms is None:
        return default
    return replace(
        default,
        max=default.max if row.rate_max is None else row.rate_max,
        window_ms=default.window_ms if row.rate_window_ms is None else row.rate_window_ms,
    )
