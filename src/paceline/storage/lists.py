"""Lists: named sets of contacts, the audiences of campaigns."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from paceline.domain.campaign import CampaignStatus
from paceline.domain.errors import ConflictError, InvalidInputError, NotFoundError, Problem
from paceline.storage import segments
from paceline.storage.database import AnyRow, insert_new, now
from paceline.storage.schema import campaigns, contacts, list_members, lists

_CONTACTS = (
    select(func.count())
    .where(list_members.c.list_id == lists.c.id)
    .correlate(lists)
    .scalar_subquery()
    .label("contacts")
)
_SHOWN = select(lists, _CONTACTS)
"""A list and how many contacts are on it."""


def create(connection: Connection, tenant_id: int, *, name: str) -> AnyRow:
    """Make an empty list.

    Raises:
        ConflictError: the tenant has a list of this name.
    """
    values = {"tenant_id": tenant_id, "name": name, "created_at": now(connection)}
    try:
        list_id = connection.execute(insert(lists).returning(lists.c.id), values).scalar_one()
    except IntegrityError as error:
        raise _taken(name) from error
    return get(connection, tenant_id, list_id)


def get(connection: Connection, tenant_id: int, list_id: int) -> AnyRow:
    """One list of this tenant.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    row = connection.execute(_SHOWN.where(*_of(tenant_id, list_id))).first()
    if row is None:
        raise NotFoundError("list", list_id)
    return row


def page(
    connection: Connection, tenant_id: int, *, after: int = 0, limit: int = 100
) -> list[AnyRow]:
    """Lists by id, from the one behind ``after`` on."""
    query = _SHOWN.where(lists.c.tenant_id == tenant_id, lists.c.id > after)
    return list(connection.execute(query.order_by(lists.c.id).limit(limit)))


def names(connection: Connection, tenant_id: int, *, limit: int) -> list[AnyRow]:
    """Id and name of lists, in the order of their names, to choose from: nobody is counted."""
    query = select(lists.c.id, lists.c.name).where(lists.c.tenant_id == tenant_id)
    return list(connection.execute(query.order_by(lists.c.name, lists.c.id).limit(limit)))


def of_contact(connection: Connection, tenant_id: int, contact_id: int) -> list[AnyRow]:
    """Id and name of the lists that a contact is on."""
    return list(
        connection.execute(
            select(lists.c.id, lists.c.name)
            .join(list_members, list_members.c.list_id == lists.c.id)
            .where(lists.c.tenant_id == tenant_id, list_members.c.contact_id == contact_id)
            .order_by(lists.c.name, lists.c.id)
        )
    )


def rename(connection: Connection, tenant_id: int, list_id: int, *, name: str) -> AnyRow:
    """Give a list another name.

    Raises:
        NotFoundError: this tenant has none with this id.
        ConflictError: the tenant has another list of this name.
    """
    try:
        connection.execute(update(lists).where(*_of(tenant_id, list_id)).values(name=name))
    except IntegrityError as error:
        raise _taken(name) from error
    return get(connection, tenant_id, list_id)


def remove(connection: Connection, tenant_id: int, list_id: int) -> None:
    """Delete a list; its contacts stay.

    Raises:
        NotFoundError: this tenant has none with this id.
        ConflictError: a campaign that is not fully launched has it as its audience, or a filter
            names it.
    """
    _lock(connection, tenant_id, list_id)
    segments.refuse_loss(connection, tenant_id, list_id)
    user = connection.execute(_needs(tenant_id, list_id)).first()
    if user is not None:
        raise ConflictError(
            f"The list is the audience of campaign {user.id} “{user.name}” ({user.status}): "
            "cancel that one first."
        )
    connection.execute(delete(lists).where(*_of(tenant_id, list_id)))


def remove_empty(connection: Connection, tenant_id: int, list_id: int) -> None:
    """Delete a list if nobody is on it.

    Raises:
        NotFoundError, ConflictError: as ``remove``.
    """
    _lock(connection, tenant_id, list_id)  # who puts somebody on it has been waited for
    if get(connection, tenant_id, list_id).contacts == 0:
        remove(connection, tenant_id, list_id)


def _lock(connection: Connection, tenant_id: int, list_id: int) -> None:
    lock = select(lists.c.id).where(*_of(tenant_id, list_id)).with_for_update()
    if connection.execute(lock).first() is None:
        raise NotFoundError("list", list_id)


def add(connection: Connection, tenant_id: int, list_id: int, contact_ids: Collection[int]) -> int:
    """Put contacts on a list; return how many were not on it before.

    Raises:
        NotFoundError: this tenant has no such list.
        InvalidInputError: some of the contacts are not this tenant's; nothing is added.
    """
    get(connection, tenant_id, list_id)
    wanted = set(contact_ids)
    known = set(
        connection.execute(
            select(contacts.c.id).where(
                contacts.c.tenant_id == tenant_id, contacts.c.id.in_(wanted)
            )
        ).scalars()
    )
    if unknown := sorted(wanted - known):
        problems = [Problem("contact_ids", f"there is no contact {each}") for each in unknown]
        raise InvalidInputError("Some of the contacts do not exist.", tuple(problems))
    rows = [{"list_id": list_id, "contact_id": each} for each in sorted(known)]
    return insert_new(connection, list_members, rows) if rows else 0


def take_off(connection: Connection, tenant_id: int, list_id: int, contact_id: int) -> None:
    """Take a contact off a list.

    Raises:
        NotFoundError: this tenant has no such list, or the contact is not on it.
    """
    get(connection, tenant_id, list_id)
    removed = connection.execute(
        delete(list_members).where(
            list_members.c.list_id == list_id, list_members.c.contact_id == contact_id
        )
    )
    if removed.rowcount == 0:
        raise NotFoundError(f"contact on list {list_id} with the id", contact_id)


def _of(tenant_id: int, list_id: int) -> tuple[Any, Any]:
    return lists.c.tenant_id == tenant_id, lists.c.id == list_id


def _needs(tenant_id: int, list_id: int) -> Any:
    """A campaign that has yet to read the list, wholly or in part."""
    return (
        select(campaigns.c.id, campaigns.c.name, campaigns.c.status)
        .where(
            campaigns.c.tenant_id == tenant_id,
            campaigns.c.list_id == list_id,
            or_(
                campaigns.c.status.in_((CampaignStatus.DRAFT, CampaignStatus.SCHEDULED)),
                campaigns.c.launching,
            ),
        )
        .order_by(campaigns.c.id)
        .limit(1)
    )


def _taken(name: str) -> ConflictError:
    return ConflictError(f"There is a list named “{name}” already.")
