"""Events for tenants' own servers: written in the transaction of the change that they tell of, so
that neither is there without the other.

An event is written only if an enabled endpoint of the tenant wants its type, together with one
pending delivery for each such endpoint. A tenant without endpoints costs one look at an index.

Completion is the exception. A campaign is completed by whatever UPDATE takes its last message out
of the queue, in the middle of recording, and no statement is to be added there for the sake of a
thing that happens once. So ``completed`` looks for campaigns that were completed lately, and
``complete`` writes the event. A campaign completes once, therefore its event has an id of its own,
minus the campaign's: the primary key sees to it that there is one, however many workers look, how
often they look, and wherever one of them is killed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, delete, exists, insert, or_, select

from paceline.clock import iso
from paceline.domain.campaign import CampaignStatus
from paceline.domain.message import BatchStatus, MessageStatus
from paceline.domain.webhook_event import EventType
from paceline.storage.among import among
from paceline.storage.database import now
from paceline.storage.schema import batches as batches_table
from paceline.storage.schema import (
    campaigns,
    inbound_messages,
    suppressions,
    tenants,
    webhook_deliveries,
    webhook_endpoints,
    webhook_events,
)
from paceline.storage.schema import messages as messages_table
from paceline.storage.telling import Subject, Telling, tell

CHUNK = 5_000
"""Messages that one statement tells of."""
FORGET_AT_ONCE = 5_000


def campaign(connection: Connection, campaign_id: int, event: EventType) -> None:
    """Tell that a campaign's status has changed, in the transaction that changed it."""
    tell(connection, _THE_CAMPAIGN, [Telling(event, _CAMPAIGN, _IS_CAMPAIGN)], which=campaign_id)


def messages(connection: Connection, type_of: Mapping[int, EventType], at: int) -> None:
    """Tell what became of messages, in the transaction that wrote it down.

    Args:
        connection: of that transaction, after its own statements.
        type_of: message id → what to tell of it.
        at: when it happened.
    """
    by_type: dict[EventType, list[int]] = defaultdict(list)
    for message_id, event in type_of.items():
        by_type[event].append(message_id)
    for event, ids in by_type.items():
        for start in range(0, len(ids), CHUNK):
            some = ids[start : start + CHUNK]
            tell(connection, _OF_MESSAGES, [Telling(event, _MESSAGE, _LISTED)], at, ids=some)


def batches(connection: Connection, batch_ids: Sequence[int], at: int) -> None:
    """Tell what became of the messages of batches that this transaction has concluded.

    It is read off the rows: messages that were sent or failed at ``at``, those that are unconfirmed
    now and that we cannot ask about, and a campaign of which nothing else is left.

    Args:
        connection: of that transaction, after all its own statements.
        batch_ids: batches that an answer, a lease that ran out or a decision has moved.
        at: the time that the transaction wrote into its rows.
    """
    tell(connection, _OF_BATCHES, _CONCLUDED, at, ids=list(batch_ids), moved_at=at)


def reply(connection: Connection, inbound_message_id: int) -> None:
    """Tell of a reply; its text is not repeated."""
    tell(connection, _OF_REPLY, [_REPLY_RECEIVED], which=inbound_message_id)


def suppressed(connection: Connection, tenant_id: int, seq: int, at: int) -> None:
    """Tell of the suppressions that were added as the tenant's opt-out number ``seq``."""
    tell(connection, _THE_TENANT, [_SUPPRESSION_ADDED], at, tenant=tenant_id, number=seq)


def test(connection: Connection, tenant_id: int, endpoint_id: int) -> int:
    """Queue an event that tells nothing, for one endpoint; return the id of its delivery."""
    at = now(connection)
    payload = f'{{"type":"{EventType.TEST}","timestamp":"{iso(at)}","data":{{}}}}'
    event_id = connection.execute(
        insert(webhook_events).returning(webhook_events.c.id),
        {
            "tenant_id": tenant_id,
            "type": EventType.TEST,
            "subject_id": endpoint_id,
            "payload": payload,
            "created_at": at,
        },
    ).scalar_one()
    delivery_id: int = connection.execute(
        insert(webhook_deliveries).returning(webhook_deliveries.c.id),
        {"event_id": event_id, "endpoint_id": endpoint_id, "due_at": at},
    ).scalar_one()
    return delivery_id


def completed(connection: Connection, *, within_ms: int) -> list[int]:
    """Campaigns that were completed within this time, the oldest first, and of which nobody was
    told who wants to be.
    """
    made_at = _wanting_since(connection, EventType.CAMPAIGN_COMPLETED)
    if not made_at:
        return []
    since = max(now(connection) - within_ms, min(made_at.values()))
    found = connection.execute(_UNTOLD, {"tenants": sorted(made_at), "since": since})
    return [row.id for row in found if row.completed_at >= made_at[row.tenant_id]]


def complete(connection: Connection, campaign_id: int) -> None:
    """Tell that a campaign is completed, unless that was told."""
    at = connection.execute(_COMPLETED_AT, {"which": campaign_id}).scalar()
    if at is not None:
        tell(connection, _THE_CAMPAIGN, [_COMPLETION], at, which=campaign_id)


def forget(connection: Connection, *, older_than_ms: int) -> int:
    """Remove some of the events that are older, with their deliveries; return how many."""
    before = now(connection) - older_than_ms
    return sum(_forget(connection, oldest_first, before) for oldest_first in _OLDEST_FIRST)


def _forget(connection: Connection, oldest_first: Select[Any], before: int) -> int:
    some = oldest_first.limit(FORGET_AT_ONCE).subquery()
    old = select(some.c.id).where(some.c.created_at < before)
    return connection.execute(delete(webhook_events).where(webhook_events.c.id.in_(old))).rowcount


def _wanting_since(connection: Connection, event: EventType) -> dict[int, int]:
    """Tenant id → since when it has had an endpoint that wants this."""
    since: dict[int, int] = {}
    for row in connection.execute(_ENABLED):
        if event in row.events:
            since[row.tenant_id] = min(row.created_at, since.get(row.tenant_id, row.created_at))
    return since


_CAMPAIGN = Subject(
    campaigns,
    campaigns.c.id,
    {
        name: campaigns.c[name]
        for name in (
            *("id", "name", "status", "audience"),
            *("total", "queued", "sent", "failed", "processed", "delivered", "unconfirmed"),
        )
    },
)
_MESSAGE = Subject(
    messages_table,
    messages_table.c.id,
    {
        "id": messages_table.c.id,
        "campaign_id": messages_table.c.campaign_id,
        "to": messages_table.c.phone,
        "status": messages_table.c.status,
        "reason": messages_table.c.reason,
        "delivery": messages_table.c.delivery,
    },
)
_REPLY = Subject(
    inbound_messages,
    inbound_messages.c.id,
    {
        "id": inbound_messages.c.id,
        "from": inbound_messages.c.phone,
        "to": inbound_messages.c.number,
        "keyword": inbound_messages.c.keyword,
    },
)
_SUPPRESSION = Subject(
    suppressions,
    suppressions.c.seq,
    {name: suppressions.c[name] for name in ("phone", "reason", "source")},
)

_IS_CAMPAIGN = campaigns.c.id == bindparam("which")
_THE_CAMPAIGN = select(campaigns.c.tenant_id).where(_IS_CAMPAIGN)
_COMPLETION = Telling(
    EventType.CAMPAIGN_COMPLETED, _CAMPAIGN, _IS_CAMPAIGN, event_id=-campaigns.c.id
)
_COMPLETED_AT = select(campaigns.c.completed_at).where(
    _IS_CAMPAIGN, campaigns.c.status == CampaignStatus.COMPLETED
)
_UNTOLD = (
    select(campaigns.c.id, campaigns.c.tenant_id, campaigns.c.completed_at)
    .where(
        among(campaigns.c.tenant_id, "tenants"),
        campaigns.c.status == CampaignStatus.COMPLETED,
        campaigns.c.completed_at >= bindparam("since"),
        ~exists().where(webhook_events.c.id == -campaigns.c.id),
    )
    .order_by(campaigns.c.completed_at, campaigns.c.id)
)
_AGES = select(webhook_events.c.id, webhook_events.c.created_at)
_OLDEST_FIRST = (
    _AGES.where(webhook_events.c.id > 0).order_by(webhook_events.c.id),
    _AGES.where(webhook_events.c.id < 0).order_by(webhook_events.c.id.desc()),  # completions
)
_ENABLED = select(webhook_endpoints).where(webhook_endpoints.c.disabled_at.is_(None))

_LISTED = among(messages_table.c.id, "ids")
_OF_MESSAGES = select(messages_table.c.tenant_id).where(_LISTED).distinct()

_IN_BATCHES = among(messages_table.c.batch_id, "ids")
_MOVED_BATCHES = among(batches_table.c.id, "ids")
_OF_BATCHES = select(batches_table.c.tenant_id).where(_MOVED_BATCHES).distinct()
_NOBODY_TO_ASK = and_(
    batches_table.c.status == BatchStatus.UNCONFIRMED, batches_table.c.confirm_at.is_(None)
)
_other = batches_table.alias("other")
_CONCLUDED = (
    Telling(
        EventType.MESSAGE_SENT,
        _MESSAGE,
        and_(
            _IN_BATCHES,
            messages_table.c.status == MessageStatus.SENT,
            messages_table.c.sent_at == bindparam("moved_at"),
        ),
    ),
    Telling(
        EventType.MESSAGE_FAILED,
        _MESSAGE,
        and_(
            _IN_BATCHES,
            messages_table.c.status == MessageStatus.FAILED,
            messages_table.c.failed_at == bindparam("moved_at"),
        ),
    ),
    Telling(
        EventType.MESSAGE_UNCONFIRMED,
        _MESSAGE,
        and_(
            messages_table.c.in_doubt,
            messages_table.c.batch_id.in_(
                select(batches_table.c.id).where(_MOVED_BATCHES, _NOBODY_TO_ASK)
            ),
        ),
    ),
    Telling(
        EventType.CAMPAIGN_NEEDS_DECISION,
        _CAMPAIGN,
        and_(
            campaigns.c.id.in_(select(batches_table.c.campaign_id).where(_MOVED_BATCHES)),
            campaigns.c.launching.is_(False),
            campaigns.c.unconfirmed > 0,
            campaigns.c.unconfirmed == campaigns.c.queued,
            ~exists().where(
                _other.c.campaign_id == campaigns.c.id,
                or_(
                    _other.c.status.in_(
                        (BatchStatus.QUEUED, BatchStatus.RESERVED, BatchStatus.SUBMITTING)
                    ),
                    and_(
                        _other.c.status == BatchStatus.UNCONFIRMED,
                        _other.c.confirm_at.is_not(None),
                    ),
                ),
            ),
        ),
    ),
)

_IS_REPLY = inbound_messages.c.id == bindparam("which")
_OF_REPLY = select(inbound_messages.c.tenant_id).where(_IS_REPLY)
_REPLY_RECEIVED = Telling(EventType.REPLY_RECEIVED, _REPLY, _IS_REPLY)
_THE_TENANT = select(tenants.c.id).where(tenants.c.id == bindparam("tenant"))
_SUPPRESSION_ADDED = Telling(
    EventType.SUPPRESSION_ADDED,
    _SUPPRESSION,
    and_(
        suppressions.c.tenant_id == bindparam("tenant"), suppressions.c.seq == bindparam("number")
    ),
)
