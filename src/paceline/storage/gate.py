"""What is locked, read and written at the gate: the statements of ``intents``."""

from __future__ import annotations

from sqlalchemy import bindparam, func, insert, select, update

from paceline.domain.message import BatchStatus, MessageStatus
from paceline.storage.among import among
from paceline.storage.database import READ_AT
from paceline.storage.schema import (
    attempts,
    batches,
    campaigns,
    messages,
    tenants,
    traffic_accounts,
)

_CAMPAIGNS = (
    select(
        campaigns.c.id,
        campaigns.c.status,
        campaigns.c.window_from,
        campaigns.c.window_until,
        campaigns.c.rate_max,
        campaigns.c.rate_window_ms,
        campaigns.c.grants,
    )
    .where(among(campaigns.c.id, "ids"))
    .order_by(campaigns.c.id)
)
# KEY SHARE: holds off whoever changes the status (FOR UPDATE), and nobody who counts
# (FOR NO KEY UPDATE). Records of one campaign would keep its intents waiting otherwise.
SHARE_CAMPAIGNS = _CAMPAIGNS.with_for_update(read=True, key_share=True)
LOCK_CAMPAIGNS = _CAMPAIGNS.with_for_update(key_share=True)
"""Of those whose own window is written too; who counts waits for it, and it for them."""
LOCK_TENANTS = (
    select(
        tenants.c.id,
        tenants.c.grants,
        tenants.c.rate_max,
        tenants.c.rate_window_ms,
        tenants.c.timezone,
        tenants.c.quiet_from,
        tenants.c.quiet_until,
        tenants.c.frequency_max,
        tenants.c.frequency_days,
        tenants.c.daily_cap,
        tenants.c.day,
        tenants.c.day_messages,
        tenants.c.opt_outs,
    )
    .where(among(tenants.c.id, "ids"))
    .order_by(tenants.c.id)
    .with_for_update(key_share=True)
)
LOCK_ACCOUNT = (
    select(
        traffic_accounts.c.id,
        traffic_accounts.c.grants,
        traffic_accounts.c.rate_max,
        traffic_accounts.c.rate_window_ms,
        traffic_accounts.c.closed_until,
        traffic_accounts.c.held_at,
        traffic_accounts.c.failures,
    )
    .where(traffic_accounts.c.id == bindparam("account"))
    .with_for_update(key_share=True)
)
LOCK_BATCHES = (
    select(
        batches.c.id,
        batches.c.fence,
        batches.c.in_doubt,
        batches.c.doubt_since,
        batches.c.tries,
        batches.c.region,
        READ_AT,
    )
    .where(among(batches.c.id, "ids"), batches.c.status == BatchStatus.RESERVED)
    .order_by(batches.c.id)
    .with_for_update()
)
QUEUED = (
    select(messages.c.batch_id, func.count().label("n"))
    .where(among(messages.c.batch_id, "ids"), messages.c.status == MessageStatus.QUEUED)
    .group_by(messages.c.batch_id)
)
SPEND_CAMPAIGN = (
    update(campaigns)
    .where(campaigns.c.id == bindparam("campaign"))
    .values(grants=bindparam("window"))
)
SPEND_TENANT = (
    update(tenants)
    .where(tenants.c.id == bindparam("tenant"))
    .values(grants=bindparam("window"), day=bindparam("today"), day_messages=bindparam("n"))
)
SPEND_ACCOUNT = (
    update(traffic_accounts)
    .where(traffic_accounts.c.id == bindparam("account"))
    .values(grants=bindparam("window"))
)
SUBMITTING = (
    update(batches)
    .where(among(batches.c.id, "ids"))
    .values(
        status=BatchStatus.SUBMITTING,
        lease_until=bindparam("lease"),
        updated_at=bindparam("now"),
    )
)
WRITE_ATTEMPTS = insert(attempts).returning(attempts.c.id, attempts.c.batch_id)
