"""What became of a campaign: a report of one snapshot, whose figures add up to the counters."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from paceline.domain import parts as counter
from paceline.domain import zones
from paceline.domain.campaign import FINAL
from paceline.domain.cost import Cost
from paceline.domain.hourly import hour_of, hours
from paceline.engine.previewing import text_with_empty_token
from paceline.engine.rendering import values_of
from paceline.storage import reports
from paceline.storage.database import AnyRow

_KEPT = 1_000
_MOST_HEADS = 10_000


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour on the tenant's clock; ``at`` is when it began. A message that was sent and then
    not delivered is in ``failed`` only.
    """

    at: int
    sent: int
    delivered: int
    failed: int


@dataclass(frozen=True, slots=True)
class Report:
    """A campaign's report, of the moment ``at``."""

    campaign: AnyRow
    at: int
    zone: ZoneInfo
    reasons: dict[str, int]
    """Why messages failed → how many."""
    hours: list[Hour]
    """From the first with anything in it to the last."""
    taken: int
    """Messages that the provider took: sent, or sent and not delivered. They are what costs."""
    parts: int
    """Of those."""
    cost: Cost
    duration_ms: int | None
    """From its start to its end, or to now; None: it has not started."""

    @property
    def per_second(self) -> float | None:
        """Messages a second that were sent or failed."""
        if not self.duration_ms:
            return None
        return round(float(self.campaign.processed) * 1000 / self.duration_ms, 2)


@dataclass(frozen=True, slots=True)
class _Head:
    """Messages to numbers that begin alike, as far as prices look."""

    head: str
    messages: int
    parts: int


class PartsKnown:
    """What was counted of the messages that a provider took, kept for the next report.

    A message that was taken stays taken, and its text what it is. So as long as a campaign has as
    many of them as before, they are the same, whatever receipts came meanwhile.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, int, int], list[_Head]] = OrderedDict()

    def of(self, key: tuple[int, int, int], count: Callable[[], list[_Head]]) -> list[_Head]:
        """What is known, or is counted now; ``key``: campaign, messages, digits of a head."""
        found = self._known.get(key)
        if found is None:
            found = count()
            if len(found) <= _MOST_HEADS:  # else prices are by whole numbers, and it is too much
                self._known[key] = found
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return found


def report(
    connection: Connection, tenant_id: int, campaign_id: int, known: PartsKnown | None = None
) -> Report:
    """A campaign's report, of one snapshot.

    Args:
        connection: of a read.
        tenant_id: whose it is.
        campaign_id: in any state.
        known: what earlier reports of this database have counted.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    found = reports.figures(connection, tenant_id, campaign_id)
    prices = reports.price_table(connection, tenant_id)
    heads = (known or PartsKnown()).of(
        (campaign_id, found.taken, prices.longest),
        lambda: _count(connection, found.campaign, prices.longest),
    )
    cost = Cost()
    for each in heads:
        cost.add(prices.of(each.head), each.parts, each.messages)
    zone = zones.of_tenant(found.timezone)
    return Report(
        found.campaign,
        found.at,
        zone,
        found.reasons,
        _hours(found, zone),
        found.taken,
        sum(each.parts for each in heads),
        cost,
        _duration(found.campaign, found.at),
    )


def _count(connection: Connection, campaign: AnyRow, digits: int) -> list[_Head]:
    """Count the parts of what the provider took."""
    template = text_with_empty_token(campaign.text)
    taken: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    for alike in reports.taken(connection, campaign.id, digits):
        values = values_of(alike.merge_values)
        taken[alike.head] += alike.count
        parts[alike.head] += counter.count(template.render(values)).parts * alike.count
    return [_Head(head, taken[head], parts[head]) for head in taken]


def _hours(found: reports.Figures, zone: ZoneInfo) -> list[Hour]:
    by_hour = {name: Counter[int]() for name in ("sent", "delivered", "failed")}
    for name, of_hours in by_hour.items():
        for quarter, count in getattr(found, name).items():
            of_hours[hour_of(quarter, zone)] += count
    seen = [*by_hour["sent"], *by_hour["delivered"], *by_hour["failed"]]
    if not seen:
        return []
    return [
        Hour(at, **{name: of_hours[at] for name, of_hours in by_hour.items()})
        for at in hours(min(seen), max(seen), zone)
    ]


def _duration(campaign: AnyRow, at: int) -> int | None:
    if campaign.started_at is None:
        return None
    end = campaign.completed_at if campaign.status in FINAL else None
    return int((end or at) - campaign.started_at)
