"""What became of a campaign: a report of one snapshot, whose figures add up to the counters."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection

from paceline.domain import parts as counter
from paceline.domain.campaign import FINAL
from paceline.domain.cost import Cost
from paceline.domain.hourly import hour_of, hours
from paceline.engine.previewing import text_with_empty_token
from paceline.storage import reports
from paceline.storage.database import AnyRow

_VALUES = msgspec.json.Decoder(dict[str, str | None])


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


def report(connection: Connection, tenant_id: int, campaign_id: int) -> Report:
    """A campaign's report, of one snapshot.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    found = reports.figures(connection, tenant_id, campaign_id)
    zone = ZoneInfo(found.timezone)
    taken, parts, cost = _cost(connection, found.campaign)
    return Report(
        found.campaign,
        found.at,
        zone,
        found.reasons,
        _hours(found, zone),
        taken,
        parts,
        cost,
        _duration(found.campaign, found.at),
    )


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


def _cost(connection: Connection, campaign: AnyRow) -> tuple[int, int, Cost]:
    """How many messages the provider took, in how many parts, at what cost."""
    prices = reports.price_table(connection, campaign.tenant_id)
    template = text_with_empty_token(campaign.text)
    taken = parts = 0
    cost = Cost()
    for alike in reports.taken(connection, campaign.id, prices.longest):
        values = _VALUES.decode(alike.merge_values) if alike.merge_values else {}
        in_all = counter.count(template.render(values)).parts * alike.count
        taken += alike.count
        parts += in_all
        cost.add(prices.of(alike.head), in_all, alike.count)
    return taken, parts, cost


def _duration(campaign: AnyRow, at: int) -> int | None:
    if campaign.started_at is None:
        return None
    end = campaign.completed_at if campaign.status in FINAL else None
    return int((end or at) - campaign.started_at)
