"""Sending a campaign again to those whom it failed to reach: a draft of its own, with a parent.

Its audience is found when it is launched: the people whose message in the parent is failed then,
for one of the reasons that it was made for. Whose message has been delivered meanwhile, though
late, is left out. People are known by their number, as everywhere: who has a new one is left out,
and so is who is no contact any more.

**Family.** A campaign that is sent again, what it was sent again from, and so on. Whom one of the
others has reached, or may yet reach, is left out, so that two drafts of one parent never write to
the same person both. Chunks of one family are written one after another, under the lock of its
oldest campaign: each sees what was written before.

The cursor of such a launch is a message of the parent, not a contact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    func,
    literal,
    select,
    union_all,
)

from paceline.domain.message import MessageStatus
from paceline.storage.schema import campaigns, contacts, messages
from paceline.storage.suppressions import SUPPRESSED

_failed = messages.alias("failed")
"""A failed message of the parent."""


def lock_family(connection: Connection, campaign_id: int) -> None:
    """Lock the oldest campaign of a family, if this one has others in its family. It comes before
    the lock of the campaign itself, as ids do; and it is over, so nobody sends under it.
    """
    oldest = campaign_id
    while (parent := connection.execute(_PARENT, {"campaign": oldest}).scalar()) is not None:
        oldest = parent
    if oldest != campaign_id:
        connection.execute(_LOCK, {"campaign": oldest})


def next_people(
    connection: Connection, campaign: Any, after: int, until: int, chunk: int
) -> tuple[int, int]:
    """How many failed messages of the parent the next chunk looks at, and the last one's id. Each
    reason is looked up by itself, so that the index gives no more than the chunk takes.
    """
    firsts = [
        _failed_for(campaign.parent_id, reason)
        .where(messages.c.id > after, messages.c.id <= until)
        .order_by(messages.c.id)
        .limit(chunk)
        .subquery()
        for reason in campaign.parent_reasons
    ]
    found = union_all(*(select(each.c.id) for each in firsts)).subquery()
    some = select(found.c.id).order_by(found.c.id).limit(chunk).subquery()
    count, last = connection.execute(select(func.count(), func.max(some.c.id))).one()
    return count, after if last is None else last


def failed(connection: Connection, campaign_id: int, reasons: Sequence[str]) -> bool:
    """Whether a message of the campaign failed for one of these reasons."""
    return any(
        connection.execute(_failed_for(campaign_id, reason).limit(1)).first() is not None
        for reason in reasons
    )


def _failed_for(campaign_id: int, reason: str) -> Select[Any]:
    return select(messages.c.id).where(
        messages.c.campaign_id == campaign_id, messages.c.reason == reason
    )


def eligible(
    connection: Connection,
    campaign: Any,
    merge_values: ColumnElement[Any],
    *,
    after: int,
    until: int | None,
) -> Select[Any]:
    """Whom to send to, of the parent's failed messages from the one behind ``after`` on: the
    message's id, the contact's, its number and merge values.
    """
    query = (
        whom(connection, campaign)
        .with_only_columns(
            _failed.c.id,
            contacts.c.id.label("contact_id"),
            contacts.c.phone,
            merge_values.label("merge_values"),
            contacts.c.region,
        )
        .where(_failed.c.id > after, ~SUPPRESSED)
        .order_by(_failed.c.id)
    )
    return query if until is None else query.where(_failed.c.id <= until)


def whom(connection: Connection, campaign: Any) -> Select[Any]:
    """The contacts whom the parent failed to reach, and no other of the family has reached or may
    yet reach; the suppressed too.
    """
    query = (
        select(contacts.c.id)
        .select_from(_failed)
        .join(
            contacts,
            and_(contacts.c.tenant_id == campaign.tenant_id, contacts.c.phone == _failed.c.phone),
        )
        .where(
            _failed.c.campaign_id == campaign.parent_id,
            _failed.c.reason.in_(campaign.parent_reasons),
            _failed.c.status == MessageStatus.FAILED,
            _failed.c.in_doubt.is_(False),
        )
    )
    if others := _others(connection, campaign):
        query = query.where(~_reached(others, contacts.c.phone))
    return query


def _reached(campaign_ids: Sequence[int], phone: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether one of these campaigns has reached the number, or may yet reach it."""
    reached = messages.alias("reached")
    return (
        select(literal(1))
        .where(
            reached.c.campaign_id.in_(campaign_ids),
            reached.c.phone == phone,
            reached.c.status != MessageStatus.FAILED,
        )
        .exists()
    )


def _others(connection: Connection, campaign: Any) -> list[int]:
    """The campaign's family, without itself and its parent."""
    parents = {
        row.id: row.parent_id
        for row in connection.execute(
            select(campaigns.c.id, campaigns.c.parent_id).where(
                campaigns.c.tenant_id == campaign.tenant_id, campaigns.c.parent_id.is_not(None)
            )
        )
    }

    def oldest_of(campaign_id: int) -> int:
        while campaign_id in parents:
            campaign_id = parents[campaign_id]
        return campaign_id

    oldest = oldest_of(campaign.parent_id)
    family = {oldest, *(each for each in parents if oldest_of(each) == oldest)}
    return sorted(family - {campaign.id, campaign.parent_id})


_CAMPAIGN: BindParameter[int] = bindparam("campaign")
_PARENT = select(campaigns.c.parent_id).where(campaigns.c.id == _CAMPAIGN)
_LOCK = select(campaigns.c.id).where(campaigns.c.id == _CAMPAIGN).with_for_update(key_share=True)
