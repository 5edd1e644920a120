"""The limits in force: what the row says, else the default of the settings."""

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


CAMPAIGN_WINDOW_MS = 1_000
"""The window of a campaign's own speed, unless it says another."""


def speed_of(campaign: Any, pacing: Pacing) -> Limit | None:
    """The limit of a campaign's row, if it has a speed of its own; its margin is the tenant's."""
    if campaign.rate_max is None:
        return None
    window_ms = campaign.rate_window_ms or CAMPAIGN_WINDOW_MS
    return Limit(campaign.rate_max, window_ms, pacing.tenant.margin_ms)
