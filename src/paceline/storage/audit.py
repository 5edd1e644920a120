"""The audit: every counter and every state held against the rows it stands for."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Select, and_, case, exists, func, or_, select

from paceline.domain.campaign import TRANSITIONS, CampaignVerb
from paceline.domain.message import BatchStatus, Delivery, MessageStatus
from paceline.storage.schema import batches, campaigns, messages


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that does not add up."""

    campaign_id: int | None
    what: str
    stored: int | str
    counted: int | str


def differences(connection: Connection) -> list[Difference]:
    """Compare all campaigns, batches and messages, on one snapshot; an empty list is good news."""
    return [
        *_counters(connection),
        *_count(connection, "messages without their batch", _orphans()),
        *_count(connection, "failed messages without a reason", _unexplained()),
        *_count(connection, "messages in doubt that are not queued", _settled_in_doubt()),
        *_count(connection, "queued messages whose batch is over", _stuck()),
        *_count(connection, "campaigns that could be completed and are not", _unfinished()),
    ]


def _counters(connection: Connection) -> list[Difference]:
    counted = (
        select(
            messages.c.campaign_id,
            func.count().label("total"),
            _number(messages.c.status == MessageStatus.QUEUED).label("queued"),
            _number(messages.c.status == MessageStatus.SENT).label("sent"),
            _number(messages.c.status == MessageStatus.FAILED).label("failed"),
            _number(messages.c.delivery == Delivery.DELIVERED).label("delivered"),
            _number(messages.c.in_doubt).label("unconfirmed"),
        )
        .where(messages.c.campaign_id.is_not(None))
        .group_by(messages.c.campaign_id)
        .subquery()
    )
    query = select(campaigns, *(counted.c[name].label(f"n_{name}") for name in _COUNTED)).outerjoin(
        counted, counted.c.campaign_id == campaigns.c.id
    )
    return [
        Difference(row.id, name, getattr(row, name), getattr(row, f"n_{name}") or 0)
        for row in connection.execute(query)
        for name in _COUNTED
        if getattr(row, name) != (getattr(row, f"n_{name}") or 0)
    ]


_COUNTED = ("total", "queued", "sent", "failed", "delivered", "unconfirmed")


def _number(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _count(connection: Connection, what: str, query: Select[int]) -> list[Difference]:
    found = connection.execute(query).scalar_one()
    return [Difference(None, what, 0, found)] if found else []


def _orphans() -> Select[int]:
    return (
        select(func.count())
        .where(~exists().where(batches.c.id == messages.c.batch_id).correlate(messages))
        .select_from(messages)
    )


def _unexplained() -> Select[int]:
    return select(func.count()).where(
        or_(
            and_(messages.c.status == MessageStatus.FAILED, messages.c.reason.is_(None)),
            and_(messages.c.status != MessageStatus.FAILED, messages.c.reason.is_not(None)),
        )
    )


def _settled_in_doubt() -> Select[int]:
    return select(func.count()).where(
        messages.c.in_doubt, messages.c.status != MessageStatus.QUEUED
    )


def _stuck() -> Select[int]:
    return (
        select(func.count())
        .select_from(messages)
        .join(batches, batches.c.id == messages.c.batch_id)
        .where(
            messages.c.status == MessageStatus.QUEUED,
            batches.c.status.in_((BatchStatus.DONE, BatchStatus.CANCELLED)),
        )
    )


_MAY_COMPLETE, _ = TRANSITIONS[CampaignVerb.COMPLETE]


def _unfinished() -> Select[int]:
    return select(func.count()).where(
        campaigns.c.status.in_(sorted(_MAY_COMPLETE)),
        campaigns.c.launching.is_(False),
        campaigns.c.queued == 0,
    )
