"""Campaigns: made, changed along the transition table, shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from sqlalchemy import ColumnElement, Connection, bindparam, insert, null, select, update

from paceline.domain import campaign as domain
from paceline.domain.campaign import CampaignStatus, CampaignVerb
from paceline.domain.errors import NotADraftError, NotFoundError, WrongStateError
from paceline.domain.message import BatchStatus, MessageStatus, Reason
from paceline.domain.webhook_event import EventType
from paceline.storage import audit_log, counters, drafts, postponed, webhook_events
from paceline.storage.database import AnyRow, folded, is_postgres, now
from paceline.storage.drafts import Described
from paceline.storage.schema import batches, campaigns, messages

CANCEL_CHUNK = 20_000
"""Messages that one transaction of a cancellation fails, about."""
_EVENTS = {
    CampaignVerb.PAUSE: EventType.CAMPAIGN_PAUSED,
    CampaignVerb.RESUME: EventType.CAMPAIGN_RESUMED,
}
"""What is told of a verb; making and scheduling a campaign is nobody's news."""


def create(
    connection: Connection,
    tenant_id: int,
    *,
    actor: str = audit_log.SYSTEM,
    parent_id: int | None = None,
    parent_reasons: Sequence[str] | None = None,
    **described: Unpack[Described],
) -> AnyRow:
    """Make a campaign: a draft, or scheduled when it has a time.

    Args:
        connection: of a write transaction.
        tenant_id: whose it is.
        actor: for the audit log.
        parent_id: the campaign whose failed messages it sends again.
        parent_reasons: those that failed for one of these reasons.
        described: the rest.

    Raises:
        NotFoundError: this tenant has no such list or segment.
        InvalidInputError: the filter names lists or campaigns that this tenant does not have.
    """
    columns = drafts.columns_of(connection, tenant_id, described)
    at = now(connection)
    campaign_id = connection.execute(
        insert(campaigns).returning(campaigns.c.id),
        {
            **{name: value for name, value in columns.items() if value is not None},
            "tenant_id": tenant_id,
            "parent_id": parent_id,
            "parent_reasons": parent_reasons if parent_reasons is None else list(parent_reasons),
            "created_at": at,
            "updated_at": at,
        },
    ).scalar_one()
    log(connection, tenant_id, campaign_id, "add", actor, scheduled_at=columns["scheduled_at"])
    return get(connection, tenant_id, campaign_id)


def replace(
    connection: Connection,
    tenant_id: int,
    campaign_id: int,
    *,
    actor: str = audit_log.SYSTEM,
    **described: Unpack[Described],
) -> AnyRow:
    """Make a draft another one: as if it had been made so, but that it sends again what it did. It
    is scheduled when it has a time.

    Args:
        connection: of a write transaction.
        tenant_id: whose it is.
        campaign_id: the draft.
        actor: for the audit log.
        described: all of it; what is left out is as in ``create`` when it is left out.

    Raises:
        NotFoundError: there is none, or it is another tenant's; or this tenant has no such list or
            segment.
        NotADraftError: it is no draft any more.
        InvalidInputError: the filter names lists or campaigns that this tenant does not have.
    """
    before = lock(connection, tenant_id, campaign_id)
    if before.status != CampaignStatus.DRAFT:
        raise NotADraftError(before.status)
    columns = drafts.columns_of(connection, tenant_id, described)
    changed = [name for name, value in columns.items() if value != getattr(before, name)]
    connection.execute(
        update(campaigns)
        .where(campaigns.c.id == campaign_id, campaigns.c.status == CampaignStatus.DRAFT)
        .values(
            **{name: null() if value is None else value for name, value in columns.items()},
            updated_at=now(connection),
        )
    )
    log(connection, tenant_id, campaign_id, "replace", actor, changed=sorted(changed))
    return get(connection, tenant_id, campaign_id)


def get(connection: Connection, tenant_id: int, campaign_id: int) -> AnyRow:
    """One campaign of this tenant.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    row = connection.execute(
        select(campaigns).where(campaigns.c.id == campaign_id, campaigns.c.tenant_id == tenant_id)
    ).first()
    if row is None:
        raise NotFoundError("campaign", campaign_id)
    return row


def page(
    connection: Connection,
    tenant_id: int,
    *,
    before: int | None = None,
    limit: int = 50,
    status: str | None = None,
    name: str | None = None,
) -> list[AnyRow]:
    """A tenant's campaigns, newest first, from the one before ``before`` on.

    Args:
        connection: of a read.
        tenant_id: whose.
        before: an id; None: from the newest on.
        limit: how many at most.
        status: only those with it.
        name: only those whose name has this in it, in small letters or large.
    """
    query = select(campaigns).where(campaigns.c.tenant_id == tenant_id)
    if before is not None:
        query = query.where(campaigns.c.id < before)
    if status is not None:
        query = query.where(campaigns.c.status == status)
    if name:
        query = query.where(_named(connection, name))
    return list(connection.execute(query.order_by(campaigns.c.id.desc()).limit(limit)))


def _named(connection: Connection, name: str) -> ColumnElement[bool]:
    """The name has this in it; its % and _ mean themselves."""
    if is_postgres(connection):
        return campaigns.c.name.icontains(name, autoescape=True)
    return folded(campaigns.c.name).contains(name.casefold(), autoescape=True)


def with_recipients(connection: Connection, tenant_id: int, *, limit: int) -> list[AnyRow]:
    """The newest of a tenant's campaigns of which somebody has a message."""
    query = select(campaigns).where(campaigns.c.tenant_id == tenant_id, campaigns.c.total > 0)
    return list(connection.execute(query.order_by(campaigns.c.id.desc()).limit(limit)))


def lock(connection: Connection, tenant_id: int | None, campaign_id: int) -> AnyRow:
    """Lock a campaign, against intents too.

    Raises:
        NotFoundError: there is none, or it is another tenant's.
    """
    query = select(campaigns).where(campaigns.c.id == campaign_id)
    if tenant_id is not None:
        query = query.where(campaigns.c.tenant_id == tenant_id)
    row = connection.execute(query.with_for_update()).first()
    if row is None:
        raise NotFoundError("campaign", campaign_id)
    return row


def lock_for(
    connection: Connection, tenant_id: int | None, campaign_id: int, verb: CampaignVerb
) -> AnyRow:
    """Lock a campaign, against intents too, and make sure that its status allows ``verb``.

    Raises:
        NotFoundError: there is none, or it is another tenant's.
        WrongStateError: its status does not allow it.
    """
    row = lock(connection, tenant_id, campaign_id)
    domain.after(verb, CampaignStatus(row.status))
    return row


def change(
    connection: Connection,
    tenant_id: int,
    campaign_id: int,
    verb: CampaignVerb,
    *,
    actor: str = audit_log.SYSTEM,
    **values: Any,
) -> AnyRow:
    """Move a campaign along the table (schedule, unschedule, pause, resume).

    Raises:
        NotFoundError: there is none, or it is another tenant's.
        WrongStateError: its status does not allow it.
    """
    row = lock_for(connection, tenant_id, campaign_id, verb)
    _set(connection, campaign_id, domain.after(verb, CampaignStatus(row.status)), **values)
    log(connection, tenant_id, campaign_id, verb, actor, **values)
    if (event := _EVENTS.get(verb)) is not None:
        webhook_events.campaign(connection, campaign_id, event)
    return get(connection, tenant_id, campaign_id)


def lock_unfinished(connection: Connection, tenant_id: int, campaign_id: int) -> AnyRow:
    """Lock a campaign, against intents too, that has something to send yet.

    Raises:
        NotFoundError: there is none, or it is another tenant's.
        WrongStateError: it is over.
    """
    row = lock(connection, tenant_id, campaign_id)
    if row.status in domain.FINAL:
        unfinished = tuple(each for each in CampaignStatus if each not in domain.FINAL)
        raise WrongStateError("change", row.status, unfinished)
    return row


def set_pace(
    connection: Connection, tenant_id: int, campaign_id: int, values: Mapping[str, Any]
) -> None:
    """Set how a campaign is sent, of a row that is locked: ``start_by``, ``window_from`` and
    ``window_until``, ``rate_max`` and ``rate_window_ms``. What waits for its window asks anew.
    """
    if not values:
        return
    connection.execute(
        update(campaigns)
        .where(campaigns.c.id == campaign_id, campaigns.c.tenant_id == tenant_id)
        .values(**values, updated_at=now(connection))
    )
    if not {"window_from", "window_until"}.isdisjoint(values):
        postponed.look_again(connection, tenant_id, campaign_id)


def fail(connection: Connection, campaign_id: int, why: str) -> None:
    """Fail a scheduled campaign that has nobody to send to, or is too late."""
    row = lock_for(connection, None, campaign_id, CampaignVerb.FAIL)
    _set(connection, row.id, CampaignStatus.FAILED, completed_at=now(connection), error=why)
    log(connection, row.tenant_id, row.id, CampaignVerb.FAIL, audit_log.SYSTEM)
    webhook_events.campaign(connection, row.id, EventType.CAMPAIGN_FAILED)


def cancel(
    connection: Connection, tenant_id: int, campaign_id: int, *, actor: str = audit_log.SYSTEM
) -> AnyRow:
    """Cancel a campaign. From this commit on no intent is written for it; its queued messages are
    failed by ``sweep_cancelled``, chunk by chunk, and calls in flight are recorded as they end.
    A launch that is under way is ended by whoever would write its next chunk: here we would have
    to wait for the one that is being written, while that one waits for us.

    Raises:
        NotFoundError: there is none, or it is another tenant's.
        WrongStateError: it is over already.
    """
    lock_for(connection, tenant_id, campaign_id, CampaignVerb.CANCEL)
    _set(
        connection,
        campaign_id,
        CampaignStatus.CANCELLED,
        launching=False,
        completed_at=now(connection),
    )
    log(connection, tenant_id, campaign_id, CampaignVerb.CANCEL, actor)
    webhook_events.campaign(connection, campaign_id, EventType.CAMPAIGN_CANCELLED)
    return get(connection, tenant_id, campaign_id)


def sweep_cancelled(connection: Connection, campaign_id: int) -> bool:
    """Fail some of a cancelled campaign's queued messages; say whether more are left.

    Those in doubt stay as they are: they may have been accepted.
    """
    status = counters.lock(connection, campaign_id)
    if status != CampaignStatus.CANCELLED:
        return False
    rows = connection.execute(
        select(batches.c.id, batches.c.size, batches.c.in_doubt)
        .where(batches.c.campaign_id == campaign_id, batches.c.status == BatchStatus.QUEUED)
        .order_by(batches.c.id)
        .limit(CANCEL_CHUNK)
        .with_for_update()
    ).all()
    chosen: list[AnyRow] = []
    taken = 0
    for row in rows:
        if chosen and taken + row.size > CANCEL_CHUNK:
            break
        chosen.append(row)
        taken += row.size
    at = now(connection)
    certain = [row.id for row in chosen if not row.in_doubt]
    doubtful = [row.id for row in chosen if row.in_doubt]
    failed = _cancel_messages(connection, certain, at)
    _end_batches(connection, certain, BatchStatus.CANCELLED, at)
    _end_batches(connection, doubtful, BatchStatus.UNCONFIRMED, at)
    counters.add(connection, campaign_id, at=at, queued=-failed, failed=failed)
    webhook_events.batches(connection, certain + doubtful, at)
    return len(chosen) < len(rows)


def cancelled_with_queue(connection: Connection) -> list[int]:
    """Cancelled campaigns that still have queued batches."""
    return list(connection.execute(_CANCELLED_WITH_QUEUE).scalars())


def due(connection: Connection) -> list[int]:
    """Scheduled campaigns whose time has come, the longest overdue first."""
    return list(connection.execute(_DUE, {"now": now(connection)}).scalars())


def is_due(connection: Connection, campaign: AnyRow) -> bool:
    """Whether it is scheduled and its time has come."""
    scheduled = campaign.status == CampaignStatus.SCHEDULED
    return scheduled and bool(campaign.scheduled_at <= now(connection))


def log(
    connection: Connection,
    tenant_id: int,
    campaign_id: int,
    verb: str,
    actor: str,
    **detail: Any,
) -> None:
    """Say in the audit log what was done to a campaign."""
    audit_log.write(
        connection,
        tenant_id=tenant_id,
        actor=actor,
        action=f"campaign.{verb}",
        subject=f"campaign {campaign_id}",
        **{name: value for name, value in detail.items() if value is not None},
    )


def _set(connection: Connection, campaign_id: int, status: CampaignStatus, **values: Any) -> None:
    connection.execute(
        update(campaigns)
        .where(campaigns.c.id == campaign_id)
        .values(status=status, updated_at=now(connection), **values)
    )


def _cancel_messages(connection: Connection, batch_ids: list[int], at: int) -> int:
    if not batch_ids:
        return 0
    return connection.execute(
        update(messages)
        .where(
            messages.c.batch_id.in_(batch_ids),
            messages.c.status == MessageStatus.QUEUED,
            messages.c.in_doubt.is_(False),
        )
        .values(status=MessageStatus.FAILED, reason=Reason.CANCELLED, failed_at=at)
    ).rowcount


def _end_batches(
    connection: Connection, batch_ids: list[int], status: BatchStatus, at: int
) -> None:
    if batch_ids:
        connection.execute(
            update(batches).where(batches.c.id.in_(batch_ids)).values(status=status, updated_at=at)
        )


_CANCELLED_WITH_QUEUE = select(campaigns.c.id).where(
    campaigns.c.status == CampaignStatus.CANCELLED,
    campaigns.c.queued > 0,
    select(batches.c.id)
    .where(batches.c.campaign_id == campaigns.c.id, batches.c.status == BatchStatus.QUEUED)
    .exists(),
)
_DUE = (
    select(campaigns.c.id)
    .where(
        campaigns.c.status == CampaignStatus.SCHEDULED,
        campaigns.c.scheduled_at <= bindparam("now"),
    )
    .order_by(campaigns.c.scheduled_at, campaigns.c.id)
)
