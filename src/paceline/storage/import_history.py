"""What was imported: begun, finished, listed, with the rows that were not taken.

An import that is under way has its row here already, and nobody is shown it before it is finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    Connection,
    Select,
    Table,
    and_,
    delete,
    false,
    func,
    insert,
    literal,
    literal_column,
    null,
    or_,
    select,
    update,
)

from paceline.domain.errors import NotFoundError
from paceline.domain.hours import DAY_MS
from paceline.storage.database import AnyRow, is_postgres, now
from paceline.storage.schema import (
    contacts,
    import_changes,
    import_rejects,
    import_rows,
    imports,
    list_members,
)

KEPT_MS = 30 * 24 * 3_600_000
"""How long an import can be undone, and its rejected rows be had."""
FORGET_AT_ONCE = 5_000


class Reject(NamedTuple):
    """One fault of a row: the ``position``-th of it. ``cells``: the row, with its first fault."""

    row: int
    position: int
    column: str
    reason: str
    cells: Sequence[str] | None


def begin(
    connection: Connection,
    tenant_id: int,
    import_id: str,
    *,
    name: str,
    header: Sequence[str],
    list_id: int | None,
    actor: str,
) -> int:
    """Note that an import is under way; return its id."""
    made: int = connection.execute(
        insert(imports).returning(imports.c.id),
        {
            "tenant_id": tenant_id,
            "import_id": import_id,
            "name": name[:255],
            "header": as_json(header),
            "list_id": list_id,
            "actor": actor[:200],
            "created_at": now(connection),
        },
    ).scalar_one()
    return made


def add_rejects(connection: Connection, which: int, rejects: Sequence[Reject]) -> None:
    """Keep rows that are not taken."""
    if not rejects:
        return
    rows = [
        {
            "import_id": which,
            "row": each.row,
            "position": each.position,
            "column": each.column,
            "reason": each.reason,
            "cells": None if each.cells is None else as_json(each.cells),
        }
        for each in rejects
    ]
    connection.execute(insert(import_rejects), rows)


def note_known(
    connection: Connection, which: int, staged: Any, of_same_number: Any, list_id: int | None
) -> None:
    """Keep what the contacts are that an import is about to change."""
    is_member = (
        select(list_members.c.contact_id)
        .where(list_members.c.list_id == list_id, list_members.c.contact_id == contacts.c.id)
        .exists()
    )
    rows = select(
        literal(which),
        contacts.c.id,
        _before(connection),
        ~is_member if list_id is not None else false(),
    ).join(import_rows, of_same_number)
    _insert_changes(connection, rows.where(staged))


def note_new(
    connection: Connection, which: int, staged: Any, of_same_number: Any, list_id: int | None
) -> None:
    """Note which contacts an import has just made."""
    known = select(import_changes.c.contact_id).where(
        import_changes.c.import_id == which, import_changes.c.contact_id == contacts.c.id
    )
    rows = select(literal(which), contacts.c.id, null(), literal(list_id is not None)).join(
        import_rows, of_same_number
    )
    _insert_changes(connection, rows.where(staged, ~known.exists()))


def finish(connection: Connection, which: int, at: int, *, imported: int, updated: int) -> None:
    """Say what an import did; from now on it is shown."""
    counts = {"imported": imported, "updated": updated}
    connection.execute(
        update(imports).where(imports.c.id == which).values(finished_at=at, **counts)
    )


def count(connection: Connection, which: int, *, duplicates: int, invalid: int) -> None:
    """Say how many rows an import did not take."""
    counts = {"duplicates": duplicates, "invalid": invalid}
    connection.execute(update(imports).where(imports.c.id == which).values(counts))


def get(connection: Connection, tenant_id: int, which: int) -> AnyRow:
    """One import of this tenant.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    row = connection.execute(_shown(tenant_id).where(imports.c.id == which)).first()
    if row is None:
        raise NotFoundError("import", which)
    return row


def page(
    connection: Connection, tenant_id: int, *, before: int | None = None, limit: int = 50
) -> list[AnyRow]:
    """A tenant's imports, newest first, from the one before ``before`` on."""
    query = _shown(tenant_id)
    if before is not None:
        query = query.where(imports.c.id < before)
    return list(connection.execute(query.order_by(imports.c.id.desc()).limit(limit)))


def rejects(
    connection: Connection, which: int, *, after: tuple[int, int] = (0, -1), limit: int
) -> list[AnyRow]:
    """Faults of an import by row, from the one behind ``after`` (row and position) on."""
    place = import_rejects.c
    return list(
        connection.execute(
            select(import_rejects)
            .where(
                place.import_id == which,
                or_(place.row > after[0], and_(place.row == after[0], place.position > after[1])),
            )
            .order_by(place.row, place.position)
            .limit(limit)
        )
    )


def forget_old(connection: Connection) -> bool:
    """Forget some changes and rejects of imports that are too old; say whether more are left. One
    whose undoing has begun is kept a day longer, for its end.
    """
    before = now(connection) - KEPT_MS
    old = select(imports.c.id).where(
        imports.c.created_at < before,
        or_(imports.c.undone_at.is_(None), imports.c.created_at < before - DAY_MS),
    )
    return any(
        [
            _forget_some(connection, import_changes, import_changes.c.contact_id, old),
            _forget_some(connection, import_rejects, import_rejects.c.row, old),
        ]
    )


def _forget_some(connection: Connection, table: Table, place: Any, old: Select[Any]) -> bool:
    which = connection.execute(
        select(table.c.import_id).where(table.c.import_id.in_(old)).limit(1)
    ).scalar()
    if which is None:
        return False
    some = select(place).where(table.c.import_id == which).order_by(place).limit(FORGET_AT_ONCE)
    last = select(func.max(some.subquery().c[0])).scalar_subquery()
    connection.execute(delete(table).where(table.c.import_id == which, place <= last))
    return True


def _shown(tenant_id: int) -> Select[Any]:
    return select(imports).where(
        imports.c.tenant_id == tenant_id, imports.c.finished_at.is_not(None)
    )


def _before(connection: Connection) -> Any:
    """A contact as JSON; its number too, by which it is found when the person is erased."""
    build = func.jsonb_build_object if is_postgres(connection) else func.json_object
    attributes = (
        contacts.c.attributes if is_postgres(connection) else func.json(contacts.c.attributes)
    )
    columns = ("phone", "first_name", "last_name", "updated_at")
    pairs: list[Any] = []
    for name in columns:
        pairs += [literal_column(f"'{name}'"), contacts.c[name]]
    return build(*pairs, literal_column("'attributes'"), attributes)


def _insert_changes(connection: Connection, rows: Select[Any]) -> None:
    columns = ["import_id", "contact_id", "before", "joined"]
    connection.execute(insert(import_changes).from_select(columns, rows))


def as_json(value: object) -> str:
    """A value as JSON text."""
    return msgspec.json.encode(value).decode()
