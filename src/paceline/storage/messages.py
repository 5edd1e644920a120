"""Messages: queued one by one, and listed for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal,
    select,
    union_all,
)

from paceline.domain import zones
from paceline.domain.errors import NotFoundError
from paceline.domain.message import UNFINISHED, BatchStatus, MessageStatus, Reason
from paceline.domain.phone import region_of
from paceline.storage import suppressions
from paceline.storage.among import among_those
from paceline.storage.batches import new_block, open_lane
from paceline.storage.database import AnyRow, is_postgres, now
from paceline.storage.schema import (
    answers,
    attempts,
    batches,
    campaigns,
    messages,
    provider_messages,
    tenants,
)

_AT_ONCE = 500


def add_single(
    connection: Connection,
    tenant_id: int,
    *,
    to: str,
    text: str,
    sender: str,
    account_id: int,
    merge_values: str | None = None,
    respect_quiet_hours: bool = False,
) -> int:
    """Queue one message without a campaign; return its id. ``merge_values`` are what the tags of
    its text stand for, as JSON text. Its batch has a region only if it is to
    ``respect_quiet_hours``.

    Raises:
        InvalidInputError: the number is suppressed for this tenant.
    """
    opt_outs = connection.execute(_OPT_OUTS, {"tenant": tenant_id}).scalar_one()
    suppressions.refuse(connection, tenant_id, to)
    batch_id, at = new_block(connection), now(connection)
    open_lane(connection, account_id, tenant_id)
    connection.execute(
        insert(batches),
        {
            "id": batch_id,
            "tenant_id": tenant_id,
            "account_id": account_id,
            "campaign_id": None,
            "status": BatchStatus.QUEUED,
            "size": 1,
            "seen_opt_outs": opt_outs,
            "region": (region_of(to) or zones.UNKNOWN) if respect_quiet_hours else None,
            "created_at": at,
            "updated_at": at,
        },
    )
    message_id: int = connection.execute(
        insert(messages).returning(messages.c.id),
        {
            "tenant_id": tenant_id,
            "batch_id": batch_id,
            "phone": to,
            "merge_values": merge_values,
            "text": text,
            "sender": sender,
            "status": MessageStatus.QUEUED,
            "created_at": at,
        },
    ).scalar_one()
    return message_id


def get(connection: Connection, tenant_id: int, message_id: int) -> AnyRow:
    """One message as ``page`` gives them.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    chosen = select(messages.c.id).where(
        messages.c.tenant_id == tenant_id, messages.c.id == message_id
    )
    rows = shown(connection, chosen)
    if not rows:
        raise NotFoundError("message", message_id)
    return rows[0]


def these(connection: Connection, tenant_id: int, ids: Sequence[int]) -> list[AnyRow]:
    """Those of these messages that are the tenant's, as ``page`` gives them."""
    of_tenant = messages.c.tenant_id == tenant_id
    some = range(0, len(ids), _AT_ONCE)
    return [
        row
        for start in some
        for row in shown(
            connection,
            select(messages.c.id).where(
                of_tenant, messages.c.id.in_(ids[start : start + _AT_ONCE])
            ),
        )
    ]


def page(
    connection: Connection,
    tenant_id: int,
    *,
    campaign_id: int | None,
    after: int = 0,
    limit: int = 100,
    status: str | None = None,
    reason: str | None = None,
    in_doubt: bool | None = None,
) -> list[AnyRow]:
    """Messages by id, from the one behind ``after`` on; without a campaign, the single ones.

    Rows carry what a person is shown: number, snapshot and frozen text, status, reason, the tries
    of the batch, and what the provider calls the message (its newest attempt).
    """
    query = select(messages.c.id).where(messages.c.tenant_id == tenant_id, messages.c.id > after)
    if in_doubt is not None:
        # As a bare condition it is what the index of doubt has.
        query = query.where(messages.c.in_doubt if in_doubt else ~messages.c.in_doubt)
    if reason is not None:
        query = query.where(messages.c.reason == reason)
    if campaign_id is None:
        query = query.where(messages.c.campaign_id.is_(None))
    elif (status, reason) == (MessageStatus.FAILED, None):
        of_campaign = query.where(messages.c.campaign_id == campaign_id)
        return shown(connection, _failed(of_campaign, limit))
    elif (status, reason) == (MessageStatus.QUEUED, None) and _mostly_over(connection, campaign_id):
        query = query.where(_of_open_batches(campaign_id)).order_by(_by_id(connection))
    else:
        query = query.where(messages.c.campaign_id == campaign_id)
    if status is not None:
        query = query.where(messages.c.status == status)
    if status == MessageStatus.FAILED:
        query = query.where(messages.c.reason.is_not(None))  # lets the index of failures serve
    return shown(connection, query.order_by(messages.c.id).limit(limit))


def _failed(query: Select[Any], limit: int) -> Select[Any]:
    """The first failed messages of a campaign. By the index of failures, which has them by reason,
    so the first of each reason are taken: however many have failed, that is little.
    """
    firsts = [
        query.where(messages.c.reason == each).order_by(messages.c.id).limit(limit).subquery()
        for each in Reason
    ]
    ids = union_all(*(select(each.c.id) for each in firsts)).subquery()
    return select(ids.c.id).order_by(ids.c.id).limit(limit)


def _mostly_over(connection: Connection, campaign_id: int) -> bool:
    """Whether less than half of a campaign is queued: then most of what comes first is not."""
    query = select(campaigns.c.queued * 2 < campaigns.c.total).where(campaigns.c.id == campaign_id)
    return bool(connection.execute(query).scalar_one_or_none())


def _of_open_batches(campaign_id: int) -> ColumnElement[Any]:
    """What is queued is in a batch that is not finished."""
    their_batches = select(batches.c.id).where(
        batches.c.campaign_id == campaign_id, batches.c.status.in_(UNFINISHED)
    )
    return among_those(messages.c.batch_id, their_batches)


def _by_id(connection: Connection) -> ColumnElement[Any]:
    """PostgreSQL is kept from walking along the ids in the hope to meet what is looked for."""
    return messages.c.id + 0 if is_postgres(connection) else messages.c.id


def to_number(
    connection: Connection,
    tenant_id: int,
    phone: str,
    *,
    campaign_id: int | None = None,
    limit: int = 100,
    status: str | None = None,
    reason: str | None = None,
    in_doubt: bool | None = None,
) -> list[AnyRow]:
    """The newest messages to a number, oldest first: of one campaign, or all of the tenant's."""
    of_campaigns = select(messages.c.id).where(
        messages.c.phone == phone,
        messages.c.tenant_id == tenant_id,
        messages.c.campaign_id.in_(select(campaigns.c.id).where(campaigns.c.tenant_id == tenant_id))
        if campaign_id is None
        else messages.c.campaign_id == campaign_id,
    )
    chosen: Any = of_campaigns
    if campaign_id is None:
        single = select(messages.c.id).where(
            messages.c.tenant_id == tenant_id,
            messages.c.campaign_id.is_(None),
            messages.c.phone == phone,
        )
        chosen = union_all(of_campaigns, single)
    ids = chosen.subquery()
    wanted = {messages.c.status: status, messages.c.reason: reason, messages.c.in_doubt: in_doubt}
    newest = (
        select(messages.c.id)
        .join(ids, ids.c.id == messages.c.id)
        .where(*(column == value for column, value in wanted.items() if value is not None))
        .order_by(messages.c.id.desc())
        .limit(limit)
    )
    return list(reversed(shown(connection, newest)))


def shown(connection: Connection, chosen: Select[Any]) -> list[AnyRow]:
    """The chosen ones. What each was called is looked up in a query of its own, which the database
    must not mix with the rest: statistics of a table that is empty now and then say anything.
    """
    named = (
        select(messages.c.id, _INDEXED_ID.label("indexed_id"), _WAITING_ID.label("waiting_id"))
        .where(messages.c.id.in_(chosen))
        .offset(0)
        .subquery()
    )
    query = _listed(_NAME_IN_ANSWER[connection.dialect.name], named)
    return list(connection.execute(query))


_OPT_OUTS = select(tenants.c.opt_outs).where(tenants.c.id == bindparam("tenant"))
_INDEXED_ID = (
    select(func.max(provider_messages.c.attempt_id))
    .where(provider_messages.c.message_id == messages.c.id)
    .correlate(messages)
    .scalar_subquery()
)
_ITS_ANSWER = (
    select(answers.c.attempt_id)
    .where(answers.c.attempt_id == attempts.c.id)
    .correlate(attempts)
    .limit(1)
    .scalar_subquery()
)
_WAITING_ID = (
    select(func.max(attempts.c.id))
    .where(attempts.c.batch_id == messages.c.batch_id, _ITS_ANSWER.is_not(None))
    .correlate(messages)
    .scalar_subquery()
)
_NAME_IN_ANSWER: dict[str, ColumnElement[Any]] = {
    "sqlite": func.json_extract(
        answers.c.provider_ids, literal('$."') + cast(messages.c.id, Text) + literal('"')
    ),
    "postgresql": cast(answers.c.provider_ids, JSON).op("->>")(cast(messages.c.id, Text)),
}


def _listed(name_in_answer: ColumnElement[Any], named: Any) -> Select[Any]:
    """What a person is shown; what a provider calls a message may still be in its answer alone.

    The attempt is joined last, by a plain column: with row-level security PostgreSQL looks nothing
    up by what it has yet to work out, but reads all of a tenant's attempts instead.
    """
    found = (
        select(
            messages.c.id,
            messages.c.campaign_id,
            messages.c.phone,
            messages.c.merge_values,
            func.coalesce(messages.c.text, campaigns.c.text).label("text"),
            messages.c.status,
            messages.c.reason,
            messages.c.error,
            messages.c.delivery,
            messages.c.in_doubt,
            batches.c.retry_count,
            func.coalesce(name_in_answer, provider_messages.c.provider_message_id).label(
                "provider_message_id"
            ),
            case(
                (name_in_answer.is_not(None), answers.c.attempt_id),
                else_=provider_messages.c.attempt_id,
            ).label("attempt_id"),
            messages.c.created_at,
            messages.c.sent_at,
            messages.c.failed_at,
            messages.c.delivered_at,
        )
        .select_from(named)
        .join(messages, messages.c.id == named.c.id)
        .join(batches, batches.c.id == messages.c.batch_id)
        .outerjoin(campaigns, campaigns.c.id == messages.c.campaign_id)
        .outerjoin(
            provider_messages,
            and_(
                provider_messages.c.message_id == messages.c.id,
                provider_messages.c.attempt_id == named.c.indexed_id,
            ),
        )
        .outerjoin(answers, answers.c.attempt_id == named.c.waiting_id)
        .offset(0)
        .subquery()
    )
    of_attempt = attempts.alias("of_attempt")
    return (
        select(*(column for column in found.c if column.key != "attempt_id"), of_attempt.c.bulk_id)
        .outerjoin(of_attempt, of_attempt.c.id == found.c.attempt_id)
        .order_by(found.c.id)
    )
