"""Everything that is kept about one person, by their number."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BindParameter, Connection, bindparam, select

from paceline.storage import messages
from paceline.storage.database import AnyRow
from paceline.storage.schema import (
    campaigns,
    contacts,
    inbound_messages,
    list_members,
    lists,
    suppressions,
)
from paceline.storage.schema import messages as messages_table


@dataclass(frozen=True, slots=True)
class Person:
    """Rows as their tables have them; ``messages`` as ``messages.page`` gives them."""

    contact: AnyRow | None
    lists: list[AnyRow]
    suppression: AnyRow | None
    messages: list[AnyRow]
    replies: list[AnyRow]


def of(connection: Connection, tenant_id: int, phone: str) -> Person:
    """What a tenant keeps about whoever has this number (E.164)."""
    asked = {"tenant": tenant_id, "number": phone}
    ids = [id_ for query in _MESSAGES for id_ in connection.execute(query, asked).scalars()]
    return Person(
        connection.execute(_CONTACT, asked).first(),
        list(connection.execute(_LISTS, asked)),
        connection.execute(_SUPPRESSION, asked).first(),
        messages.these(connection, tenant_id, ids),
        list(connection.execute(_REPLIES, asked)),
    )


_TENANT: BindParameter[int] = bindparam("tenant")
_NUMBER: BindParameter[str] = bindparam("number")
_CONTACT = select(contacts).where(contacts.c.tenant_id == _TENANT, contacts.c.phone == _NUMBER)
_LISTS = (
    select(lists.c.id, lists.c.name)
    .join(list_members, list_members.c.list_id == lists.c.id)
    .join(contacts, contacts.c.id == list_members.c.contact_id)
    .where(contacts.c.tenant_id == _TENANT, contacts.c.phone == _NUMBER)
    .order_by(lists.c.id)
)
_SUPPRESSION = select(suppressions).where(
    suppressions.c.tenant_id == _TENANT, suppressions.c.phone == _NUMBER
)
_MESSAGES = (
    select(messages_table.c.id)
    .join(campaigns, campaigns.c.id == messages_table.c.campaign_id)
    .where(campaigns.c.tenant_id == _TENANT, messages_table.c.phone == _NUMBER),
    select(messages_table.c.id).where(
        messages_table.c.tenant_id == _TENANT,
        messages_table.c.campaign_id.is_(None),
        messages_table.c.phone == _NUMBER,
    ),
)
_REPLIES = (
    select(inbound_messages)
    .where(inbound_messages.c.tenant_id == _TENANT, inbound_messages.c.phone == _NUMBER)
    .order_by(inbound_messages.c.id)
)
