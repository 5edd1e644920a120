"""The time of the day: when a batch may be sent, and how much a tenant may send on one day.

Quiet hours are a tenant's and count on the clocks of the recipients: of every zone that the country
of their numbers has, or of the tenant's zone if they have no country. A send window is a campaign's
and counts on the tenant's clock, as the daily cap does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from paceline.domain import hours, zones
from paceline.domain.hours import Hours, Shut, WaitsFor
from paceline.storage.database import AnyRow
from paceline.storage.wishes import TakeApart, Untimely


def shut_for(tenant: AnyRow, campaign: AnyRow | None, region: str | None) -> list[Shut]:
    """What may keep a batch waiting.

    Args:
        tenant: has ``timezone``, ``quiet_from`` and ``quiet_until``.
        campaign: has ``window_from`` and ``window_until``; None: it is a single message.
        region: of the batch; None: of a single message that goes at any time.
    """
    home = zones.of_tenant(tenant.timezone)
    shut: list[Shut] = []
    quiet = hours_of(tenant.quiet_from, tenant.quiet_until)
    if quiet is not None and region is not None:
        there = zones.of_region(region) or (home,)
        shut += [Shut(quiet, zone, WaitsFor.QUIET_HOURS) for zone in there]
    if campaign is not None:
        window = hours_of(campaign.window_from, campaign.window_until)
        if window is not None:
            shut.append(Shut(window.others, home, WaitsFor.SEND_WINDOW))
    return shut


def is_quiet_sometimes(tenant: AnyRow) -> bool:
    """Whether a tenant has quiet hours."""
    return hours_of(tenant.quiet_from, tenant.quiet_until) is not None


def hours_of(start: int | None, end: int | None) -> Hours | None:
    """The hours of two columns, if they are set; from a minute to itself there are none."""
    if start is None or end is None or start == end:
        return None
    return Hours(start, end)


def untimely(shut: list[Shut], at: int) -> Untimely | None:
    """What a batch has to wait for, and until when all of it is over. Of what leaves no moment of
    the day it is said again after a day: it can be changed.
    """
    first = hours.shut_by(shut, at)
    if first is None:
        return None
    return Untimely(first.why, hours.opens_at(shut, at) or at + hours.DAY_MS)


@dataclass(slots=True)
class Day:
    """What a tenant has submitted on its day, as its row says and its batches at the gate add."""

    number: int
    """In days since 1970. It never goes back, also if the tenant moves to another zone."""
    messages: int
    cap: int | None
    ends_at: int

    @classmethod
    def of(cls, tenant: Any, at: int) -> Day:
        """A tenant's day, of its locked row."""
        zone = zones.of_tenant(tenant.timezone)
        today = hours.day_of(at, zone)
        same = tenant.day is not None and tenant.day >= today
        ends_at = at if tenant.daily_cap is None else hours.next_day(at, zone)
        return cls(
            tenant.day if same else today,
            tenant.day_messages if same else 0,
            tenant.daily_cap,
            ends_at,
        )

    def refuses(self, size: int) -> Untimely | TakeApart | None:
        """Why so many messages more are too many; None: they are not, and are counted."""
        if self.cap is not None:
            left = self.cap - self.messages
            if left <= 0:
                return Untimely(WaitsFor.DAILY_CAP, self.ends_at)
            if size > left:
                return TakeApart(left)
        self.messages += size
        return None
