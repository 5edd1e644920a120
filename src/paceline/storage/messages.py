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
)

from paceline.domain import zones
from paceline.domain.errors import NotFoundError
from paceline.domain.message import BatchStatus, MessageStatus
from paceline.domain.phone import region_of
from paceline.storage import suppressions
from paceline.storage.batches import new_block, open_lane
from paceline.storage.database import AnyRow, now
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
    query = select(messages.c.id).where(
        messages.c.tenant_id == tenant_id,
        messages.c.id > after,
        messages.c.campaign_id.is_(None)
        if campaign_id is None
        else messages.c.campaign_id == campaign_id,
    )
    if status is not None:
        query = query.where(messages.c.status == status)
    if status == MessageStatus.FAILED:
        query = query.where(messages.c.reason.is_not(None))  # lets the index of failures serve
    if reason is not None:
        query = query.where(messages.c.reason == reason)
    if in_doubt is not None:
        query = query.where(messages.c.in_doubt.is_(in_doubt))
    return shown(connection, query.order_by(messages.c.id).limit(limit))


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
    return list(connection.execute(query.order_by(messages.c.id)))


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
    """What a person is shown; what a provider calls a message may still be in its answer alone."""
    of_attempt = attempts.alias("of_attempt")
    return (
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
            of_attempt.c.bulk_id,
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
        .outerjoin(
            of_attempt,
            of_attempt.c.id
            == case(
                (name_in_answer.is_not(None), answers.c.attempt_id),
                else_=provider_messages.c.attempt_id,
            ),
        )
    )
