"""Contacts: the people in a tenant's book, one per number."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Text, delete, func, insert, select, true, type_coerce, update
from sqlalchemy.exc import IntegrityError

from paceline.domain.contact import MAX_ATTRIBUTES, TOO_MANY
from paceline.domain.errors import ConflictError, InvalidInputError, NotFoundError
from paceline.domain.phone import region_of
from paceline.storage.among import among
from paceline.storage.database import AnyRow, is_postgres, now
from paceline.storage.schema import contacts, list_members

_NAMES_FROM = 1_000
"""How many of the newest contacts tell which attributes a tenant uses."""


def create(
    connection: Connection,
    tenant_id: int,
    *,
    phone: str,
    first_name: str | None = None,
    last_name: str | None = None,
    attributes: Mapping[str, str] | None = None,
) -> AnyRow:
    """Make a contact; ``phone`` is E.164.

    Raises:
        ConflictError: the tenant has a contact with this number.
    """
    at = now(connection)
    values = {
        "tenant_id": tenant_id,
        "phone": phone,
        "first_name": first_name,
        "last_name": last_name,
        "attributes": dict(attributes or {}),
        "region": region_of(phone),
        "created_at": at,
        "updated_at": at,
    }
    try:
        statement = insert(contacts).returning(contacts.c.id)
        contact_id = connection.execute(statement, values).scalar_one()
    except IntegrityError as error:
        raise _taken(phone) from error
    return get(connection, tenant_id, contact_id)


def get(connection: Connection, tenant_id: int, contact_id: int) -> AnyRow:
    """One contact of this tenant.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    row = connection.execute(select(contacts).where(*_of(tenant_id, contact_id))).first()
    if row is None:
        raise NotFoundError("contact", contact_id)
    return row


def page(
    connection: Connection,
    tenant_id: int,
    *,
    after: int = 0,
    limit: int = 100,
    phone: str | None = None,
    list_id: int | None = None,
) -> list[AnyRow]:
    """Contacts by id, from the one behind ``after`` on; of one list, or with one number."""
    query = select(contacts).where(contacts.c.tenant_id == tenant_id, contacts.c.id > after)
    if phone is not None:
        query = query.where(contacts.c.phone == phone)
    if list_id is not None:
        query = query.join(list_members, list_members.c.contact_id == contacts.c.id).where(
            list_members.c.list_id == list_id
        )
    return list(connection.execute(query.order_by(contacts.c.id).limit(limit)))


def change(
    connection: Connection, tenant_id: int, contact_id: int, values: Mapping[str, Any]
) -> AnyRow:
    """Change a contact. Of ``attributes`` only those given change; None takes one away.

    Raises:
        NotFoundError: this tenant has none with this id.
        ConflictError: the number is another contact's.
        InvalidInputError: it would have too many attributes.
    """
    query = select(contacts).where(*_of(tenant_id, contact_id)).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        raise NotFoundError("contact", contact_id)
    changes = dict(values)
    if "phone" in changes:
        changes["region"] = region_of(changes["phone"])
    if "attributes" in changes:
        merged = row.attributes | changes["attributes"]
        changes["attributes"] = {name: text for name, text in merged.items() if text is not None}
        if len(changes["attributes"]) > MAX_ATTRIBUTES:
            raise InvalidInputError.of("attributes", TOO_MANY)
    try:
        connection.execute(
            update(contacts)
            .where(*_of(tenant_id, contact_id))
            .values(**changes, updated_at=now(connection))
        )
    except IntegrityError as error:
        raise _taken(changes.get("phone")) from error
    return get(connection, tenant_id, contact_id)


def remove(connection: Connection, tenant_id: int, contact_id: int) -> None:
    """Delete a contact and its memberships; messages to it stay.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    if connection.execute(delete(contacts).where(*_of(tenant_id, contact_id))).rowcount == 0:
        raise NotFoundError("contact", contact_id)


def known_attributes(connection: Connection, tenant_id: int, names: Collection[str]) -> set[str]:
    """Which of these attributes any of the tenant's contacts has."""
    return {name for name in names if _someone_has(connection, tenant_id, name)}


def how_many_of(connection: Connection, tenant_id: int, phones: Sequence[str]) -> int:
    """How many of these numbers the tenant has contacts for."""
    query = select(func.count()).where(
        contacts.c.tenant_id == tenant_id, among(type_coerce(contacts.c.phone, Text), "phones")
    )
    found: int = connection.execute(query, {"phones": phones}).scalar_one()
    return found


def all_attribute_names(connection: Connection, tenant_id: int) -> list[str]:
    """Every attribute that any contact of the tenant has, in order."""
    if is_postgres(connection):
        name = func.jsonb_object_keys(contacts.c.attributes)
        query = select(name).where(contacts.c.tenant_id == tenant_id).distinct()
    else:
        each = func.json_each(contacts.c.attributes).table_valued("key")
        query = (
            select(each.c.key)
            .select_from(contacts)
            .join(each, true())
            .where(contacts.c.tenant_id == tenant_id)
            .distinct()
        )
    return sorted(connection.execute(query).scalars())


def attribute_names(connection: Connection, tenant_id: int) -> set[str]:
    """The attributes of the tenant's newest contacts, as a suggestion to who misspelt one."""
    newest = (
        select(contacts.c.attributes)
        .where(contacts.c.tenant_id == tenant_id)
        .order_by(contacts.c.id.desc())
        .limit(_NAMES_FROM)
    )
    return {name for attributes in connection.execute(newest).scalars() for name in attributes}


def _someone_has(connection: Connection, tenant_id: int, name: str) -> bool:
    found = select(contacts.c.id).where(
        contacts.c.tenant_id == tenant_id, contacts.c.attributes[name].as_string().is_not(None)
    )
    return connection.execute(found.limit(1)).first() is not None


def _of(tenant_id: int, contact_id: int) -> tuple[Any, Any]:
    return contacts.c.tenant_id == tenant_id, contacts.c.id == contact_id


def _taken(phone: str | None) -> ConflictError:
    return ConflictError(f"There is a contact with the number {phone} already.")
