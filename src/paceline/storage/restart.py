"""What a database needs to be told after its process, or itself, was away."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, func, select, update

from paceline.domain import limits
from paceline.domain.campaign import CampaignStatus
from paceline.domain.limits import Window
from paceline.domain.message import UNFINISHED, BatchStatus, MessageStatus
from paceline.storage import audit_log, counters
from paceline.storage.database import now
from paceline.storage.schema import (
    batches,
    campaigns,
    installation,
    launches,
    messages,
    tenants,
    traffic_accounts,
)

_ERROR = "The database was put back from a backup: it may have been sent after that."


def spend_windows(connection: Connection) -> None:
    """Count every recorded permit as used just now: nobody knows how long we were away."""
    at = now(connection)
    for table in (tenants, traffic_accounts, campaigns):
        _spend_windows_of(connection, table, at)


def _spend_windows_of(connection: Connection, table: Table, at: int) -> None:
    used = select(table.c.id, table.c.grants).where(table.c.grants != "")
    for row in connection.execute(used).all():
        window = Window.decode(row.grants)
        if window.grants:
            spent = limits.just_used(window, at).encode()
            connection.execute(update(table).where(table.c.id == row.id).values(grants=spent))


def after_restore(connection: Connection, *, actor: str = audit_log.SYSTEM) -> dict[str, int]:
    """Distrust what a backup says is queued: some of it may have gone out after the backup.

    Every campaign that sends is paused, and everything queued that might have been sent is put in
    doubt until an operator decides. A launch that was under way ends, and scheduled campaigns are
    drafts again: after the backup they may have gone out whole. References begin with a new prefix,
    so that none which the provider has seen since the backup is used for another message.

    Returns:
        How many campaigns were paused and unscheduled, and how many messages are unconfirmed.
    """
    at = now(connection)
    connection.execute(delete(launches))
    connection.execute(update(campaigns).values(launching=False))
    unscheduled = connection.execute(
        update(campaigns)
        .where(campaigns.c.status == CampaignStatus.SCHEDULED)
        .values(status=CampaignStatus.DRAFT, scheduled_at=None, updated_at=at)
    ).rowcount
    paused = connection.execute(
        update(campaigns)
        .where(campaigns.c.status == CampaignStatus.SENDING)
        .values(status=CampaignStatus.PAUSED, updated_at=at)
    ).rowcount
    connection.execute(
        update(messages)
        .where(messages.c.status == MessageStatus.QUEUED, messages.c.batch_id.in_(_open()))
        .values(in_doubt=True)
    )
    connection.execute(
        update(batches)
        .where(batches.c.id.in_(_open()))
        .values(
            status=BatchStatus.UNCONFIRMED,
            in_doubt=True,
            doubt_since=func.coalesce(batches.c.doubt_since, at),
            lease_until=None,
            # Under the new references nobody knows anything, which would seem to prove something.
            confirm_at=None,
            # An answer that is still on its way knows nothing of what went out after the backup.
            fence=batches.c.fence + 1,
            error=_ERROR,
            updated_at=at,
        )
    )
    connection.execute(_PROVEN, {"now": at})
    unconfirmed = _recount(connection, at)
    for campaign_id in connection.execute(_PAUSED_WITH_NOTHING_QUEUED).scalars().all():
        counters.complete_if_done(connection, campaign_id, at)
    connection.execute(update(installation).values(prefix=secrets.token_hex(4)))
    done = {
        "campaigns_paused": paused,
        "campaigns_unscheduled": unscheduled,
        "unconfirmed": unconfirmed,
    }
    audit_log.write(
        connection,
        tenant_id=None,
        actor=actor,
        action="database.restored",
        subject="installation",
        **done,
    )
    return done


_PROVEN = (
    update(batches)
    .where(
        batches.c.status == BatchStatus.UNCONFIRMED,
        ~select(messages.c.id)
        .where(messages.c.batch_id == batches.c.id, messages.c.status == MessageStatus.QUEUED)
        .exists(),
    )
    .values(status=BatchStatus.DONE, in_doubt=False, doubt_since=None, updated_at=bindparam("now"))
)
"""Unconfirmed batches with nothing left to decide: receipts have told of all of it."""
_PAUSED_WITH_NOTHING_QUEUED = select(campaigns.c.id).where(
    campaigns.c.status == CampaignStatus.PAUSED, campaigns.c.queued == 0
)


def _open() -> Any:
    return select(batches.c.id).where(batches.c.status.in_(UNFINISHED))


def _recount(connection: Connection, at: int) -> int:
    """Bring the campaigns' count of unconfirmed messages up to the rows; return the sum."""
    counted = connection.execute(
        select(messages.c.campaign_id, func.count().label("n"))
        .where(messages.c.in_doubt)
        .group_by(messages.c.campaign_id)
    ).all()
    for row in counted:
        if row.campaign_id is not None:
            before = connection.execute(
                select(campaigns.c.unconfirmed).where(campaigns.c.id == row.campaign_id)
            ).scalar_one()
            counters.add(connection, row.campaign_id, at=at, unconfirmed=row.n - before)
    return sum(row.n for row in counted)
