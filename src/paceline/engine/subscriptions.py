"""Which tenants want to be told of their messages: kept for a moment, as whoever records asks for
it thousands of times a second.
"""

from __future__ import annotations

from collections.abc import Callable

from paceline.domain.webhook_event import MESSAGE_EVENTS, EventType
from paceline.storage import webhook_endpoints
from paceline.storage.database import Database

KEPT_S = 1.0
"""An endpoint that was just made may miss what happens so soon."""
_TOLD_BY_BATCH = frozenset({*MESSAGE_EVENTS, EventType.CAMPAIGN_NEEDS_DECISION})


class Subscriptions:
    """The tenants for whom ``webhook_events.batches`` and ``messages`` have something to write."""

    def __init__(self, database: Database, monotonic: Callable[[], float]) -> None:
        self._database = database
        self._monotonic = monotonic
        self._tenants: frozenset[int] = frozenset()
        self._until = float("-inf")

    async def tenants(self) -> frozenset[int]:
        """Their ids.

        Raises:
            DatabaseUnreachableError: as it says.
        """
        if self._monotonic() >= self._until:
            self._tenants = await self._database.glance(
                webhook_endpoints.tenants_wanting, _TOLD_BY_BATCH
            )
            self._until = self._monotonic() + KEPT_S
        return self._tenants
