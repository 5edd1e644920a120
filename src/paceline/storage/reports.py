"""What became of a campaign: its figures, counted from its messages on one snapshot.

Two passes over the campaign's rows, each a grouping that the database makes, however many there
are: one for the hours, one for the parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Connection,
    bindparam,
    func,
    literal_column,
    or_,
    select,
)

from paceline.domain.cost import PriceTable
from paceline.domain.hourly import QUARTER_MS
from paceline.domain.message import Delivery, MessageStatus
from paceline.storage import campaigns, prices
from paceline.storage.database import AnyRow, now
from paceline.storage.schema import messages, tenants

_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Figures:
    """One campaign's figures, of one moment."""

    campaign: AnyRow
    timezone: str
    """The tenant's."""
    at: int
    reasons: dict[str, int]
    """Why messages failed → how many."""
    sent: Counter[int]
    """Quarter of an hour (when it began) → messages that were sent in it and still count as
    sent."""
    delivered: Counter[int]
    failed: Counter[int]


@dataclass(frozen=True, slots=True)
class Alike:
    """Messages that the provider took and that cost the same."""

    head: str
    """How their numbers begin, as far as prices look."""
    merge_values: str | None
    count: int


def figures(connection: Connection, tenant_id: int, campaign_id: int) -> Figures:
    """A campaign's figures.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    campaign = campaigns.get(connection, tenant_id, campaign_id)
    timezone = connection.execute(_TIMEZONE, {"tenant": tenant_id}).scalar_one()
    reasons = {row.reason: row.n for row in connection.execute(_REASONS, {"campaign": campaign_id})}
    found = Figures(campaign, timezone, now(connection), reasons, Counter(), Counter(), Counter())
    for row in connection.execute(_QUARTERS, {"campaign": campaign_id}):
        if row.status == MessageStatus.SENT:
            found.sent[row.sent * QUARTER_MS] += row.n
        if row.status == MessageStatus.FAILED:
            found.failed[row.failed * QUARTER_MS] += row.n
        if row.delivery == Delivery.DELIVERED:
            found.delivered[row.delivered * QUARTER_MS] += row.n
    return found


def price_table(connection: Connection, tenant_id: int) -> PriceTable:
    return prices.table(connection, tenant_id)


def taken(connection: Connection, campaign_id: int, digits: int) -> Iterator[Alike]:
    """The messages of a campaign that the provider took: sent, or sent and not delivered. Those
    with the same beginning of the number and the same merge values come together.

    Args:
        connection: of a read, used until the last one was taken.
        campaign_id: whose.
        digits: of the beginning.
    """
    rows = connection.execute(
        _TAKEN,
        {"campaign": campaign_id, "length": digits + 1},
        execution_options={"yield_per": _AT_ONCE},
    )
    for row in rows:
        yield Alike(*row)


_CAMPAIGN: BindParameter[int] = bindparam("campaign")
_TIMEZONE = select(tenants.c.timezone).where(tenants.c.id == bindparam("tenant"))
_REASONS = (
    select(messages.c.reason, func.count().label("n"))
    .where(
        messages.c.campaign_id == _CAMPAIGN,
        messages.c.reason.is_not(None),  # lets the index of failures serve
        messages.c.status == MessageStatus.FAILED,
    )
    .group_by(messages.c.reason)
)


def _quarter(moment: Any) -> Any:
    return moment // literal_column(str(QUARTER_MS), BigInteger)


_QUARTERS = (
    select(
        messages.c.status,
        messages.c.delivery,
        _quarter(messages.c.sent_at).label("sent"),
        _quarter(messages.c.failed_at).label("failed"),
        _quarter(messages.c.delivered_at).label("delivered"),
        func.count().label("n"),
    )
    .where(messages.c.campaign_id == _CAMPAIGN)
    .group_by("status", "delivery", "sent", "failed", "delivered")
)
_HEAD = func.substr(messages.c.phone, 1, bindparam("length"))
_TAKEN = (
    select(_HEAD.label("head"), messages.c.merge_values, func.count().label("n"))
    .where(
        messages.c.campaign_id == _CAMPAIGN,
        or_(messages.c.sent_at.is_not(None), messages.c.delivery != Delivery.NONE),
    )
    .group_by("head", messages.c.merge_values)
)
