"""What became of a campaign: its figures, counted from its messages on one snapshot.

Two passes over the campaign's rows, each a grouping that the database makes, however many there
are: one for the hours, one for the parts. They go by way of the batches, whose messages lie side by
side; the index of a campaign's messages is in the order of their numbers, and leads to and fro.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Connection,
    bindparam,
    case,
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
from paceline.storage.schema import batches, messages, tenants

_AT_ONCE = 5_000
_QUARTERS = 1 << 21
"""More quarters of an hour than any campaign lasts: sixty years."""
_EARLIER = 1_000
"""Quarters of an hour that a clock may be set back by."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One campaign's figures, of one moment."""

    campaign: AnyRow
    timezone: str
    """The tenant's."""
    at: int
    reasons: dict[str, int]
    """Why messages failed → how many."""
    taken: int
    """Messages that the provider took: sent, or sent and not delivered."""
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
    reasons = _reasons(connection, campaign_id)
    counted = {name: Counter[int]() for name in ("sent", "failed", "delivered")}
    taken = 0
    base = campaign.created_at // QUARTER_MS - _EARLIER
    for row in connection.execute(_COUNTED, {"campaign": campaign_id, "base": base}):
        kind = _Kind.of(row.key, base)
        taken += row.n if kind.taken else 0
        if kind.moved is not None:
            counted["failed" if kind.failed else "sent"][kind.moved] += row.n
        if kind.delivered is not None:
            counted["delivered"][kind.delivered] += row.n
    return Figures(campaign, timezone, now(connection), reasons, taken=taken, **counted)


def reasons(connection: Connection, tenant_id: int, campaign_id: int) -> dict[str, int]:
    """Why messages of a campaign failed, and how many did.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    campaigns.get(connection, tenant_id, campaign_id)
    return _reasons(connection, campaign_id)


def _reasons(connection: Connection, campaign_id: int) -> dict[str, int]:
    return {row.reason: row.n for row in connection.execute(_REASONS, {"campaign": campaign_id})}


@dataclass(frozen=True, slots=True)
class _Kind:
    """Messages that are alike in all that a report has by the hour; see ``_KEY``."""

    moved: int | None
    """When they were sent or failed, by the quarter of an hour; None: they are queued."""
    failed: bool
    taken: bool
    delivered: int | None

    @classmethod
    def of(cls, key: int, base: int) -> Self:
        rest, delivered = divmod(key, _QUARTERS)
        rest, taken = divmod(rest, 2)
        moved, failed = divmod(rest, 2)
        return cls(
            (moved + base) * QUARTER_MS if moved else None,
            failed == 1,
            taken == 1,
            (delivered + base) * QUARTER_MS if delivered else None,
        )


def price_table(connection: Connection, tenant_id: int) -> PriceTable:
    return prices.table(connection, tenant_id)


def taken(connection: Connection, campaign_id: int, digits: int) -> Iterator[Alike]:
    """The messages of a campaign that the provider took. Those with the same beginning of the
    number and the same merge values come together.

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


_BASE = bindparam("base", type_=BigInteger)


def _quarter(moment: Any) -> Any:
    return moment // literal_column(str(QUARTER_MS), BigInteger) - bindparam(
        "base", type_=BigInteger
    )


_FAILED = messages.c.status == MessageStatus.FAILED
_IS_TAKEN = or_(messages.c.sent_at.is_not(None), messages.c.delivery != Delivery.NONE)
_MOVED = case(
    (messages.c.status == MessageStatus.SENT, _quarter(messages.c.sent_at)),
    (_FAILED, _quarter(messages.c.failed_at)),
    else_=0,
)
_ARRIVED = case(
    (messages.c.delivery == Delivery.DELIVERED, _quarter(messages.c.delivered_at)), else_=0
)
_KEY = ((_MOVED * 2 + case((_FAILED, 1), else_=0)) * 2 + case((_IS_TAKEN, 1), else_=0)) * (
    literal_column(str(_QUARTERS), BigInteger)
) + _ARRIVED
"""All that a report has by the hour as one number: databases group a million rows by one number
several times as fast as by five columns."""
_COUNTED = (
    select(_KEY.label("key"), func.count().label("n"))
    .join_from(batches, messages, messages.c.batch_id == batches.c.id)
    .where(batches.c.campaign_id == _CAMPAIGN)
    .group_by("key")
)
_HEAD = func.substr(messages.c.phone, 1, bindparam("length"))
_TAKEN = (
    select(_HEAD.label("head"), messages.c.merge_values, func.count().label("n"))
    .join_from(batches, messages, messages.c.batch_id == batches.c.id)
    .where(batches.c.campaign_id == _CAMPAIGN, _IS_TAKEN)
    .group_by("head", messages.c.merge_values)
)
