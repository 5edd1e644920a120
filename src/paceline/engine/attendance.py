"""Whether anybody does the work."""

from __future__ import annotations

from paceline.storage.checkup import Work
from paceline.storage.limits import Pacing

_PATIENCE_MS = 30_000


def is_left_lying(work: Work, pacing: Pacing) -> bool:
    """Work that is due is not taken up. A full window may keep it as long as the window is."""
    patience_ms = _PATIENCE_MS + max(
        pacing.tenant.window_ms, pacing.account.window_ms, work.longest_window_ms
    )
    idle = work.idle_ms is None or work.idle_ms > patience_ms
    return work.waits_ms > patience_ms and idle and not work.in_hand
