"""How far ahead of their use a worker has its permits stamped.

A permit is good for half of the margin after its stamp. On a machine with time to spare the call's
first byte is out within a fraction of that; on a busy one the commit and the event loop can take
longer, and the permit would go void. So permits are stamped ahead by as much as the last ones have
shown to be needed, and the next intent tells when they were really used.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable

from paceline.domain.limits import LONGEST_LEAD_MS
from paceline.storage.batches import Attempt
from paceline.storage.wishes import Used

_REMEMBERED = 50
"""Permits whose use is looked at."""
_QUICK_S = 0.006
"""Who is this quick needs no lead: a quarter of what a permit is good for by the default margin."""
_LEAD_BY_SLOWEST = 3
"""The slowest of the last permits is not the slowest there will be."""


class Leads:
    """What one worker knows of the use of its permits.

    Args:
        monotonic: the clock of ``Attempt.granted_at``.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._took_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._used: dict[int, list[Used]] = defaultdict(list)
        """By account."""

    def ms(self) -> int:
        """The lead of the next permit."""
        slowest_s = max(self._took_s, default=0.0)
        if slowest_s < _QUICK_S:
            return 0
        return min(math.ceil(slowest_s * 1000) * _LEAD_BY_SLOWEST, LONGEST_LEAD_MS)

    def used(self, attempt: Attempt, at: float) -> None:
        """The first byte of a call had gone out at this moment."""
        took_s = at - attempt.granted_at
        self._took_s.append(took_s)
        used_at = attempt.started_at + math.ceil(took_s * 1000)
        if used_at < attempt.stamped_at:
            batch = attempt.batch
            self._used[batch.account_id].append(
                Used(batch.tenant_id, attempt.stamped_at, used_at, batch.campaign_id)
            )

    def missed(self, attempt: Attempt) -> None:
        """The permits of an attempt went void. They stay as they are stamped."""
        self._took_s.append(self._monotonic() - attempt.granted_at)

    def told_of(self, account_id: int) -> list[Used]:
        """What an intent of this account is to be told, once: if nobody knows whether it was
        committed, these permits count from their stamps.
        """
        return self._used.pop(account_id, [])
