"""What a check-up of an installation asks the database, each question on one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, or_, select
from sqlalchemy import text as sql

from paceline.domain.campaign import CampaignStatus
from paceline.domain.message import BatchStatus
from paceline.storage.database import AnyRow, is_postgres, now
from paceline.storage.schema import (
    attempts,
    batches,
    campaigns,
    import_rows,
    receipts,
    tenants,
    traffic_accounts,
)


@dataclass(frozen=True, slots=True)
class Work:
    """What waits for a worker, and whether one works. All figures are milliseconds."""

    waits_ms: int
    """For how long the oldest work could have been taken up; 0: there is none."""
    idle_ms: int | None
    """For how long nothing has been submitted; None: nothing ever was."""
    longest_window_ms: int
    """Of the tenants, accounts and campaigns that have a window of their own; 0: none has."""
    in_hand: int
    """Batches under a lease that runs."""


def work(connection: Connection) -> Work:
    """Look at the queue. What is paused, or whose account is held or closed, does not wait."""
    at = now(connection)
    account_open = (
        traffic_accounts.c.held_at.is_(None),
        or_(traffic_accounts.c.closed_until.is_(None), traffic_accounts.c.closed_until <= at),
    )
    queued_since = connection.execute(
        select(func.min(func.coalesce(func.nullif(batches.c.due_at, 0), batches.c.created_at)))
        .select_from(
            batches.join(traffic_accounts, traffic_accounts.c.id == batches.c.account_id).outerjoin(
                campaigns, campaigns.c.id == batches.c.campaign_id
            )
        )
        .where(
            batches.c.status == BatchStatus.QUEUED,
            or_(batches.c.campaign_id.is_(None), campaigns.c.status == CampaignStatus.SENDING),
            *account_open,
        )
    ).scalar()
    scheduled_for = connection.execute(
        select(func.min(campaigns.c.scheduled_at)).where(
            campaigns.c.status == CampaignStatus.SCHEDULED
        )
    ).scalar()
    since = min((each for each in (queued_since, scheduled_for) if each is not None), default=at)
    tried_at = connection.execute(_LAST_ATTEMPT).scalar()
    return Work(
        waits_ms=max(at - since, 0),
        idle_ms=None if tried_at is None else max(at - tried_at, 0),
        longest_window_ms=max(connection.execute(each).scalar() or 0 for each in _LONGEST_WINDOWS),
        in_hand=connection.execute(
            select(func.count()).select_from(batches).where(batches.c.lease_until > at)
        ).scalar_one(),
    )


def undecided_campaigns(connection: Connection) -> Sequence[AnyRow]:
    """Campaigns with unconfirmed messages: ``id``, ``tenant`` (its name) and ``unconfirmed``."""
    return connection.execute(_UNDECIDED).all()


def undecided_singles(connection: Connection) -> int:
    """Messages without a campaign that are unconfirmed."""
    return connection.execute(_UNDECIDED_SINGLES).scalar_one()


def late_receipts(connection: Connection, late_ms: int) -> int:
    """Receipts that should have been counted ``late_ms`` ago; unmatched ones have later turns."""
    late = receipts.c.due_at <= now(connection) - late_ms
    return connection.execute(select(func.count()).select_from(receipts).where(late)).scalar_one()


def commit_something(connection: Connection) -> None:
    """Leave everything as it is, by a change that the commit has to bring to the disk."""
    row = {"import_id": "checkup", "row": 0, "tenant_id": 0, "phone": "", "created_at": 0}
    connection.execute(insert(import_rows), row)
    connection.execute(delete(import_rows).where(import_rows.c.import_id == "checkup"))


def free_connections(connection: Connection) -> int | None:
    """How many more connections PostgreSQL would give us; None: another database has no limit."""
    if not is_postgres(connection):
        return None
    room = connection.execute(_CONNECTIONS).one()
    free = [room.allowed - room.used]
    free += [
        limit - used
        for limit, used in (
            (room.database_limit, room.used_of_database),
            (room.role_limit, room.used_of_role),
        )
        if limit >= 0
    ]
    return int(min(free))


_LAST_ATTEMPT = select(attempts.c.started_at).order_by(attempts.c.id.desc()).limit(1)
_LONGEST_WINDOWS = (
    select(func.max(tenants.c.rate_window_ms)),
    select(func.max(traffic_accounts.c.rate_window_ms)),
    select(func.max(campaigns.c.rate_window_ms)).where(
        campaigns.c.status == CampaignStatus.SENDING
    ),
)
_UNDECIDED = (
    select(campaigns.c.id, tenants.c.name.label("tenant"), campaigns.c.unconfirmed)
    .join(tenants, tenants.c.id == campaigns.c.tenant_id)
    .where(campaigns.c.unconfirmed > 0)
    .order_by(campaigns.c.id)
)
_UNDECIDED_SINGLES = select(func.count()).where(
    batches.c.campaign_id.is_(None), batches.c.status == BatchStatus.UNCONFIRMED
)
_CONNECTIONS = sql("""
    SELECT
        current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int AS allowed,
        count(*) FILTER (WHERE backend_type = 'client backend') AS used,
        count(*) FILTER (WHERE datname = current_database()) AS used_of_database,
        count(*) FILTER (WHERE usename = current_user) AS used_of_role,
        (SELECT datconnlimit FROM pg_database WHERE datname = current_database())
            AS database_limit,
        (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS role_limit
    FROM pg_stat_activity WHERE pid <> pg_backend_pid()
""")
