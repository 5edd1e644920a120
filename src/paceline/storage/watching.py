"""What the dashboard's pages show beside campaigns and messages, each read on one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    BindParameter,
    Connection,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
)

from paceline.domain.campaign import MAY_DOUBT, CampaignStatus
from paceline.domain.message import UNFINISHED, BatchStatus
from paceline.domain.outcome import OutcomeKind
from paceline.storage import doubt
from paceline.storage.among import among_those
from paceline.storage.database import AnyRow, now
from paceline.storage.schema import (
    attempts,
    batches,
    campaigns,
    messages,
    provider_messages,
    traffic_accounts,
)


@dataclass(frozen=True, slots=True)
class Throughput:
    """Messages handed to providers and answered for, and the calls for them, per step of time.

    Steps without any are there too, with zeros.
    """

    since: int
    step_ms: int
    messages: list[int]
    calls: list[int]


def throughput(
    connection: Connection,
    tenant_id: int,
    *,
    steps: int,
    step_ms: int,
    campaign_id: int | None = None,
) -> Throughput:
    """The last ``steps`` steps, of a tenant or one of its campaigns; the newest is under way."""
    at = now(connection)
    first = at // step_ms - steps + 1
    step = attempts.c.started_at // literal_column(str(step_ms))
    query = (
        select(
            step.label("step"),
            func.count().label("calls"),
            func.coalesce(
                func.sum(case((attempts.c.outcome == OutcomeKind.ANSWERED, attempts.c.size))), 0
            ).label("messages"),
        )
        .where(
            attempts.c.tenant_id == tenant_id,
            attempts.c.started_at >= first * step_ms,
            or_(attempts.c.outcome.is_(None), attempts.c.outcome != OutcomeKind.VOID),
        )
        .group_by(step)
    )
    if campaign_id is not None:
        query = query.where(attempts.c.campaign_id == campaign_id)
    found = {int(row.step): row for row in connection.execute(query)}
    span = range(first, first + steps)
    return Throughput(
        first * step_ms,
        step_ms,
        [int(found[each].messages) if each in found else 0 for each in span],
        [int(found[each].calls) if each in found else 0 for each in span],
    )


def under_way(connection: Connection, tenant_id: int, *statuses: CampaignStatus) -> list[int]:
    """A tenant's campaigns of these statuses, newest first: found by their index, however many
    others there are.
    """
    which = {"tenant": tenant_id, "statuses": list(statuses)}
    return sorted(connection.execute(_OF_STATUS, which).scalars(), reverse=True)


def scheduled(connection: Connection, tenant_id: int, *, limit: int) -> Sequence[AnyRow]:
    """A tenant's campaigns that are to start, the next one first."""
    return connection.execute(_SCHEDULED, {"tenant": tenant_id, "most": limit}).all()


def unsettled(connection: Connection, tenant_id: int, *, limit: int = 20) -> Sequence[AnyRow]:
    """A tenant's campaigns that have messages in doubt, newest first."""
    return connection.execute(_UNSETTLED, {"tenant": tenant_id, "most": limit}).all()


def unsettled_singles(connection: Connection, tenant_id: int) -> int:
    """How many of a tenant's messages without a campaign are unconfirmed."""
    return connection.execute(_UNSETTLED_SINGLES, {"tenant": tenant_id}).scalar_one()


def failing(connection: Connection, tenant_id: int, *, limit: int = 20) -> Sequence[AnyRow]:
    """A tenant's campaigns that are sending, of which at least one in twenty has failed."""
    return connection.execute(_FAILING, {"tenant": tenant_id, "most": limit}).all()


def batches_of(connection: Connection, campaign_id: int, *, limit: int = 100) -> Sequence[AnyRow]:
    """A campaign's batches that are not finished: those in hand or in doubt first, then those that
    were tried most.
    """
    return connection.execute(_BATCHES, {"campaign": campaign_id, "most": limit}).all()


def reasons(connection: Connection, campaign_id: int) -> Sequence[AnyRow]:
    """Why messages of a campaign failed (``reason``) and how many (``messages``), most first.

    Only failed messages have a reason, and an index of their own: it alone is read.
    """
    return connection.execute(_REASONS, {"campaign": campaign_id}).all()


def accounts_in_trouble(connection: Connection, tenant_id: int | None) -> Sequence[AnyRow]:
    """The accounts that a tenant may use and that send nothing at the moment; None: of all."""
    query = _TROUBLED
    if tenant_id is not None:
        its = traffic_accounts.c.tenant_id
        query = query.where(or_(its.is_(None), its == tenant_id))
    return connection.execute(query, {"now": now(connection)}).all()


def tries_of(connection: Connection, tenant_id: int, message_id: int) -> Sequence[AnyRow]:
    """The tries that a message was part of, oldest first: those of its batch, and those that gave
    it a name while it was in another one. ``delivery``: what receipts said of that try, if it had a
    name of its own.
    """
    which = {"tenant": tenant_id, "message": message_id}
    return connection.execute(_TRIES, which).all()


_MOST: BindParameter[int] = bindparam("most")
_TENANT: BindParameter[int] = bindparam("tenant")
_OF_ITS_ACCOUNTS = among_those(
    campaigns.c.account_id,
    select(traffic_accounts.c.id).where(
        or_(traffic_accounts.c.tenant_id.is_(None), traffic_accounts.c.tenant_id == _TENANT)
    ),
)
"""So that the index of account, tenant and status serves: by tenant alone, all that are over would
be read as well."""
_NEWEST_FIRST = (campaigns.c.id + literal_column("0")).desc()
"""Said so that no index is in this order: one that is would be read to its end for the few that are
looked for."""
_OF_STATUS = select(campaigns.c.id).where(
    _OF_ITS_ACCOUNTS,
    campaigns.c.tenant_id == _TENANT,
    campaigns.c.status.in_(bindparam("statuses", expanding=True)),
)
_SCHEDULED = (
    select(campaigns.c.id, campaigns.c.name, campaigns.c.scheduled_at)
    .where(campaigns.c.status == CampaignStatus.SCHEDULED, campaigns.c.tenant_id == _TENANT)
    .order_by(campaigns.c.scheduled_at, campaigns.c.id)
    .limit(_MOST)
)
_UNSETTLED = (
    select(campaigns.c.id, campaigns.c.name, campaigns.c.status, campaigns.c.unconfirmed)
    .where(
        _OF_ITS_ACCOUNTS,
        campaigns.c.tenant_id == _TENANT,
        campaigns.c.status.in_(MAY_DOUBT),
        campaigns.c.unconfirmed > 0,
    )
    .order_by(_NEWEST_FIRST)
    .limit(_MOST)
)
_UNSETTLED_SINGLES = doubt.SINGLES_IN_DOUBT.where(batches.c.tenant_id == _TENANT)
_FAILING = (
    select(campaigns.c.id, campaigns.c.name, campaigns.c.failed, campaigns.c.processed)
    .where(
        _OF_ITS_ACCOUNTS,
        campaigns.c.tenant_id == _TENANT,
        campaigns.c.status.in_((CampaignStatus.SENDING, CampaignStatus.PAUSED)),
        campaigns.c.failed > 0,
        campaigns.c.failed * 20 >= campaigns.c.processed,
    )
    .order_by(_NEWEST_FIRST)
    .limit(_MOST)
)
_BATCHES = (
    select(
        batches.c.id,
        batches.c.status,
        batches.c.size,
        batches.c.tries,
        batches.c.in_doubt,
        batches.c.due_at,
        batches.c.error,
        batches.c.updated_at,
    )
    .where(
        batches.c.campaign_id == bindparam("campaign"),
        batches.c.status.in_(UNFINISHED),
    )
    .order_by(batches.c.status == BatchStatus.QUEUED, batches.c.tries.desc(), batches.c.id)
    .limit(_MOST)
)
_REASONS = (
    select(messages.c.reason, func.count().label("messages"))
    .where(messages.c.campaign_id == bindparam("campaign"), messages.c.reason.is_not(None))
    .group_by(messages.c.reason)
    .order_by(func.count().desc(), messages.c.reason)
)
_TROUBLED = (
    select(traffic_accounts)
    .where(
        or_(
            traffic_accounts.c.held_at.is_not(None),
            and_(
                traffic_accounts.c.closed_until.is_not(None),
                traffic_accounts.c.closed_until > bindparam("now"),
            ),
        ),
    )
    .order_by(traffic_accounts.c.id)
)
_MESSAGE: BindParameter[int] = bindparam("message")
_ITS_BATCH = (
    select(messages.c.batch_id)
    .where(messages.c.tenant_id == _TENANT, messages.c.id == _MESSAGE)
    .scalar_subquery()
)
_named = provider_messages.alias("named")
_OF_BATCH = select(attempts.c.id).where(
    attempts.c.tenant_id == _TENANT, attempts.c.batch_id == _ITS_BATCH
)
_NAMED_IT = select(provider_messages.c.attempt_id).where(provider_messages.c.message_id == _MESSAGE)
_TRIES = (
    select(attempts, _named.c.delivery, _named.c.provider_message_id)
    .outerjoin(_named, and_(_named.c.attempt_id == attempts.c.id, _named.c.message_id == _MESSAGE))
    .where(
        attempts.c.tenant_id == _TENANT,
        # Found first, each by its index; with an OR no index would serve.
        or_(among_those(attempts.c.id, _OF_BATCH), among_those(attempts.c.id, _NAMED_IT)),
    )
    .order_by(attempts.c.id)
)
