"""Undoing an import in chunks: each is a transaction, and any call goes on where one ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, select, update

from paceline.domain.errors import ConflictError, NotFoundError
from paceline.domain.hours import DAY_MS
from paceline.storage.among import among
from paceline.storage.database import AnyRow, now
from paceline.storage.import_history import KEPT_MS
from paceline.storage.schema import (
    campaigns,
    contacts,
    import_changes,
    imports,
    inbound_messages,
    list_members,
    messages,
)

CHUNK = 2_000
"""Contacts that one transaction looks at."""


class LeftAlone(StrEnum):
    """Why a contact stays as it is."""

    CHANGED = "changed"
    """By the API or another import since."""
    WRITTEN_TO = "written_to"
    """It is new, and a message to it was made since."""
    REPLIED = "replied"
    """It is new, and the person has written to us."""
    ON_OTHER_LIST = "on_other_list"
    """It is new, and somebody has put it on another list."""
    GONE = "gone"
    """It was deleted, or the person was erased."""


@dataclass(slots=True)
class Undone:
    """What was undone. ``removed``: new contacts that are gone. ``restored``: changed ones that are
    what they were.
    """

    removed: int = 0
    restored: int = 0
    left_alone: Counter[LeftAlone] = field(default_factory=Counter)
    finished: bool = False


def undo_some(connection: Connection, tenant_id: int, which: int) -> Undone:
    """Undo some of an import.

    Raises:
        NotFoundError: this tenant has no such import.
        ConflictError: it is undone, or too old for that.
    """
    made = _lock(connection, tenant_id, which)
    changes = _next_changes(connection, which)
    at = now(connection)
    if not changes and made.undone_at is not None:
        raise ConflictError("This import is undone already.")
    if made.undone_at is None and at - made.created_at > KEPT_MS:
        days = KEPT_MS // DAY_MS
        raise ConflictError(f"This import is too old: it could be undone for {days} days.")
    undone = _take_back(connection, made, changes)
    ids = [change.contact_id for change in changes]
    connection.execute(_FORGET, {"which": which, "ids": ids})
    if made.undone_at is None:
        connection.execute(update(imports).where(imports.c.id == which).values(undone_at=at))
    undone.finished = connection.execute(_ANY_LEFT, {"which": which}).first() is None
    return undone


def _lock(connection: Connection, tenant_id: int, which: int) -> AnyRow:
    row = connection.execute(_LOCK, {"tenant": tenant_id, "which": which}).first()
    if row is None:
        raise NotFoundError("import", which)
    return row


def _next_changes(connection: Connection, which: int) -> list[AnyRow]:
    return list(connection.execute(_CHANGES.limit(CHUNK), {"which": which}))


def _take_back(connection: Connection, made: AnyRow, changes: list[AnyRow]) -> Undone:
    ids = [change.contact_id for change in changes]
    found = connection.execute(_LOCK_CONTACTS, {"tenant": made.tenant_id, "ids": ids})
    updated_at = {row.id: row.updated_at for row in found}
    new = [change.contact_id for change in changes if change.before is None]
    used = _used(connection, made, new)
    undone = Undone()
    removed: list[int] = []
    restored: list[dict[str, Any]] = []
    unlisted: list[int] = []
    for change in changes:
        contact_id = change.contact_id
        if contact_id not in updated_at:
            undone.left_alone[LeftAlone.GONE] += 1
        elif updated_at[contact_id] != made.finished_at:
            undone.left_alone[LeftAlone.CHANGED] += 1
        elif contact_id in used:
            undone.left_alone[used[contact_id]] += 1
        elif change.before is None:
            removed.append(contact_id)
        else:
            restored.append({"contact": contact_id, **_restored(change.before)})
            if change.joined:
                unlisted.append(contact_id)
    connection.execute(_REMOVE, {"tenant": made.tenant_id, "ids": removed})
    if restored:
        connection.execute(_RESTORE, restored)
    connection.execute(_TAKE_OFF, {"list": made.list_id, "ids": unlisted})
    undone.removed, undone.restored = len(removed), len(restored)
    return undone


def _restored(before: dict[str, Any]) -> dict[str, Any]:
    names = ("first_name", "last_name", "attributes", "updated_at")
    return {f"its_{name}": before[name] for name in names}


def _used(connection: Connection, made: AnyRow, ids: list[int]) -> dict[int, LeftAlone]:
    """New contacts that something has used since, and what; the gravest counts."""
    if not ids:
        return {}
    asked = {
        "tenant": made.tenant_id,
        "since": made.created_at,
        "list": made.list_id or 0,
        "ids": ids,
    }
    used: dict[int, LeftAlone] = {}
    for why, query in _USES:
        used |= dict.fromkeys(connection.execute(query, asked).scalars(), why)
    return used


_LOCK = (
    select(imports)
    .where(
        imports.c.tenant_id == bindparam("tenant"),
        imports.c.id == bindparam("which"),
        imports.c.finished_at.is_not(None),
    )
    .with_for_update()
)
_OF_IMPORT = import_changes.c.import_id == bindparam("which")
_CHANGES = (
    select(import_changes).where(_OF_IMPORT).order_by(import_changes.c.contact_id).with_for_update()
)
_ANY_LEFT = select(import_changes.c.contact_id).where(_OF_IMPORT).limit(1)
_FORGET = delete(import_changes).where(_OF_IMPORT, among(import_changes.c.contact_id, "ids"))
_THESE = (contacts.c.tenant_id == bindparam("tenant"), among(contacts.c.id, "ids"))
_LOCK_CONTACTS = (
    select(contacts.c.id, contacts.c.updated_at)
    .where(*_THESE)
    .order_by(contacts.c.id)
    .with_for_update()
)
_REMOVE = delete(contacts).where(*_THESE)
_RESTORE = (
    update(contacts)
    .where(contacts.c.id == bindparam("contact"))
    .values(
        {
            name: bindparam(f"its_{name}", type_=contacts.c[name].type)
            for name in ("first_name", "last_name", "attributes", "updated_at")
        }
    )
)
_TAKE_OFF = delete(list_members).where(
    list_members.c.list_id == bindparam("list"), among(list_members.c.contact_id, "ids")
)
_IN_CAMPAIGN = exists().where(
    campaigns.c.tenant_id == bindparam("tenant"),
    campaigns.c.started_at >= bindparam("since"),
    messages.c.campaign_id == campaigns.c.id,
    messages.c.phone == contacts.c.phone,
)
_SINGLY = contacts.c.phone.in_(
    select(messages.c.phone).where(
        messages.c.tenant_id == bindparam("tenant"),
        messages.c.campaign_id.is_(None),
        messages.c.created_at >= bindparam("since"),
    )
)
_REPLIED = exists().where(
    inbound_messages.c.tenant_id == bindparam("tenant"),
    inbound_messages.c.phone == contacts.c.phone,
    inbound_messages.c.received_at >= bindparam("since"),
)
_ON_OTHER_LIST = exists().where(
    list_members.c.contact_id == contacts.c.id, list_members.c.list_id != bindparam("list")
)
_USES = tuple(
    (why, select(contacts.c.id).where(*_THESE, used))
    for why, used in (
        (LeftAlone.ON_OTHER_LIST, _ON_OTHER_LIST),
        (LeftAlone.REPLIED, _REPLIED),
        (LeftAlone.WRITTEN_TO, _IN_CAMPAIGN),
        (LeftAlone.WRITTEN_TO, _SINGLY),
    )
)
"""The later ones are the graver ones."""
