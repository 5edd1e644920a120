"""Contacts: the people in a tenant's book, one per number."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from sqlalchemy import (
    Connection,
    Text,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    true,
    type_coerce,
    union_all,
    update,
)
from sqlalchemy.exc import IntegrityError

from paceline.domain.contact import MAX_ATTRIBUTES, TOO_MANY
from paceline.domain.errors import ConflictError, InvalidInputError, NotFoundError
from paceline.domain.phone import region_of
from paceline.storage.among import among
from paceline.storage.database import AnyRow, is_postgres, now
from paceline.storage.schema import contacts, list_members

_NAMES_FROM = 1_000
"""How many of the newest contacts tell which attributes a tenant uses."""
_SMALL = str.maketrans(ascii_uppercase, ascii_lowercase)
_MOST_WORDS = 6
"""Of a first and a last name together; what is written behind them is not looked for."""
_FINAL_SIGMA, _SIGMA = "\u03c2", "\u03c3"
_LAST_CHARACTER = "\U0010ffff"


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


def search(
    connection: Connection,
    tenant_id: int,
    written: str,
    *,
    list_id: int | None = None,
    limit: int = 100,
) -> list[AnyRow]:
    """Contacts of whom a name begins as written, in any case; or, of several words, the first name
    by some and the last name by the others. Up to ``limit``, in the order of their names.

    Each way to read what is written is one range of an index, which is read until ``limit`` are
    found: however many contacts there are, a name alone takes no longer. Of several words, or on a
    list, those are passed over whose other name does not fit, or who are not on it.
    """
    found = [
        select(contacts.c.id)
        .where(contacts.c.tenant_id == tenant_id, *conditions, *_on_list(list_id))
        .order_by(key)
        .limit(limit)
        .subquery()
        for key, conditions in _readings(" ".join(written.split()))
    ]
    if not found:
        return []
    query = select(contacts).where(
        contacts.c.tenant_id == tenant_id,
        contacts.c.id.in_(union_all(*(select(each.c.id) for each in found))),
    )
    in_order = query.order_by(contacts.c.last_key, contacts.c.first_key, contacts.c.id)
    return list(connection.execute(in_order.limit(limit)))


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


def _readings(written: str) -> Iterator[tuple[Any, list[Any]]]:
    """What somebody may mean who writes the beginning of a name: the key whose index is to serve,
    and the conditions.
    """
    first, last = contacts.c.first_key, contacts.c.last_key
    for key in (first, last):
        for each in _spellings(written):
            yield key, [_begins(key, each)]
    words = written.split()[:_MOST_WORDS]
    for place in range(1, len(words)):
        for given, family in ((words[:place], words[place:]), (words[place:], words[:place])):
            named = or_(*(_begins(first, each) for each in _spellings(" ".join(given))))
            for each in _spellings(" ".join(family)):
                yield last, [_begins(last, each), named]


def _spellings(written: str) -> list[str]:
    """The beginnings of keys that a beginning of a name may stand for. A key is in small letters as
    the database makes them: SQLite knows none but a to z, and of a sigma's two it is the place in
    the word that decides, which a beginning does not tell.
    """
    if not written:
        return []
    upper = written.upper()
    cases = (written.lower(), upper.lower(), written, upper, written.title())
    sigmas = (each.replace(_FINAL_SIGMA, _SIGMA) for each in cases)
    return list(dict.fromkeys(each.translate(_SMALL) for each in (*cases, *sigmas)))


def _begins(key: Any, beginning: str) -> Any:
    return and_(key >= beginning, key < beginning + _LAST_CHARACTER)


def _on_list(list_id: int | None) -> list[Any]:
    if list_id is None:
        return []
    member = select(list_members.c.contact_id).where(
        list_members.c.list_id == list_id, list_members.c.contact_id == contacts.c.id
    )
    return [member.correlate(contacts).exists()]


def _of(tenant_id: int, contact_id: int) -> tuple[Any, Any]:
    return contacts.c.tenant_id == tenant_id, contacts.c.id == contact_id


def _taken(phone: str | None) -> ConflictError:
    return ConflictError(f"There is a contact with the number {phone} already.")
