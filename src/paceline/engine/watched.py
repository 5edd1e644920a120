"""Campaigns as those see them who watch: the API's status and events, and the dashboard's pages.

All of them share each look at the database. Who polls the status alone has a look of its own each
time; whoever else watches a campaign costs two looks a second together, however many they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from paceline.domain.campaign import FINAL
from paceline.engine.orders import Orders, Shown
from paceline.engine.readings import Readings
from paceline.storage import standings
from paceline.storage.standings import Standing

T = TypeVar("T")
_POLLED_S = 0.25
"""How old a reading may be that one of a crowd which polls is given."""
_FOLLOWED_S = 0.5
"""How far apart looks are for those who follow."""

_RECEIPTS_COME_MS = 3 * 24 * 3_600_000
"""How long after its end a campaign's receipts may come."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A campaign at one moment."""

    standing: Standing
    shown: Shown
    _made: dict[Callable[[Any], Any], Any] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Nothing about it will change any more, but for receipts."""
        return self.shown.campaign.status in FINAL and self.shown.campaign.queued == 0

    @property
    def settled(self) -> bool:
        """And no receipts are to be expected either."""
        campaign = self.shown.campaign
        since = self.standing.at - (campaign.completed_at or campaign.updated_at)
        return self.over and (campaign.delivered == campaign.sent or since > _RECEIPTS_COME_MS)

    def once(self, make: Callable[[Seen], T]) -> T:
        """What ``make`` makes of it: made once for all who want the same."""
        if make not in self._made:
            self._made[make] = make(self)
        made: T = self._made[make]
        return made


Watched: TypeAlias = Readings[tuple[int, int], Seen]
"""By tenant's and campaign's id."""


def watched(orders: Orders) -> Watched:
    """The campaigns of all tenants, each as its tenant may see it."""

    async def look(whose: tuple[int, int]) -> Seen:
        standing = await orders.database.of_tenant(whose[0]).glance(standings.of, *whose)
        return Seen(standing, orders.shown(standing))

    return Readings(look, good_for_s=_POLLED_S, apart_s=_FOLLOWED_S)
