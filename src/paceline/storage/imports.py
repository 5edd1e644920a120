"""Imports: rows are staged in many short transactions and merged by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import (
    Connection,
    Table,
    and_,
    bindparam,
    cast,
    column,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite

from paceline.domain.errors import PacelineError
from paceline.storage import lists
from paceline.storage.database import insert_new, is_postgres, now
from paceline.storage.schema import contacts, import_rows, list_members

CHUNK = 5_000
"""Rows that one transaction stages."""
_MANY = 5_000
"""An import of so many rows changes how queries are best planned."""


class ImportLostError(PacelineError):
    """Staged rows were cleaned away before they could be merged: nothing was imported."""

    code = "import_lost"
    retryable = True


@dataclass(frozen=True, slots=True)
class StagedContact:
    """One good row of the file. An empty cell is None, or missing from ``attributes``."""

    row: int
    phone: str
    first_name: str | None
    last_name: str | None
    attributes: dict[str, str]
    region: str | None = None
    """The country of the number."""


@dataclass(frozen=True, slots=True)
class Merged:
    """How many contacts are new, and how many were there before."""

    imported: int
    updated: int


def stage(
    connection: Connection, tenant_id: int, import_id: str, rows: Sequence[StagedContact]
) -> None:
    """Put rows aside under ``import_id``."""
    whose = {"import_id": import_id, "tenant_id": tenant_id, "created_at": now(connection)}
    if is_postgres(connection):
        # All rows as one parameter: a sixth of the cost of parameters for each.
        connection.execute(_STAGE_DOCUMENT, {**whose, "rows": _json(rows)})
    else:
        # Past SQLAlchemy's handling of parameters, which costs more than the insert itself.
        connection.exec_driver_sql(_STAGE_ROW, [whose | _values(each) for each in rows])


def _values(contact: StagedContact) -> dict[str, Any]:
    return {
        "row": contact.row,
        "phone": contact.phone,
        "first_name": contact.first_name,
        "last_name": contact.last_name,
        "attributes": _json(contact.attributes),
        "region": contact.region,
    }


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def merge(
    connection: Connection, tenant_id: int, import_id: str, *, expected: int, list_id: int | None
) -> Merged:
    """Make contacts of the staged rows, or bring those there are up to date, and forget the rows.

    An empty cell leaves the value that a contact has; attributes are added to the others.

    Args:
        connection: of a write transaction.
        tenant_id: whose contacts they become.
        import_id: under which the rows were staged, no number twice.
        expected: how many they were.
        list_id: the list that all of them are put on, if any.

    Raises:
        NotFoundError: this tenant has no such list.
        ImportLostError: rows are missing.
    """
    if list_id is not None:
        lists.get(connection, tenant_id, list_id)
    staged = and_(import_rows.c.import_id == import_id, import_rows.c.tenant_id == tenant_id)
    of_same_number = and_(
        contacts.c.tenant_id == import_rows.c.tenant_id, contacts.c.phone == import_rows.c.phone
    )
    found = connection.execute(select(func.count()).where(staged)).scalar_one()
    if found != expected:
        raise ImportLostError("The import took too long and was given up. Send it again.")
    if expected >= _MANY:
        _count_anew(connection, import_rows)
    there_before = select(func.count()).select_from(import_rows)
    updated = connection.execute(
        there_before.where(staged, exists().where(of_same_number))
    ).scalar_one()
    connection.execute(_upsert(connection, staged))
    if list_id is not None:
        members = select(literal(list_id), contacts.c.id).join(import_rows, of_same_number)
        insert_new(connection, list_members, members.where(staged), ["list_id", "contact_id"])
    discard(connection, import_id)
    if expected >= _MANY:
        _count_anew(connection, contacts, list_members)
    return Merged(imported=found - updated, updated=updated)


def _count_anew(connection: Connection, *tables: Table) -> None:
    """Let PostgreSQL look at tables that have just grown by much. Until it does so by itself, it
    takes a tenant or a list that it has never heard of for one row, and plans by that: starting a
    campaign to 200,000 can then take minutes.
    """
    if is_postgres(connection):
        for table in tables:
            connection.execute(text(f"ANALYZE {table.name}"))


def discard(connection: Connection, import_id: str) -> None:
    """Forget the staged rows of an import."""
    connection.execute(delete(import_rows).where(import_rows.c.import_id == import_id))


def forget_stale(connection: Connection, *, older_than_ms: int) -> int:
    """Forget rows that a died import left behind; return how many.

    A running import whose rows go is refused at its merge, so choose hours, not seconds.
    """
    before = now(connection) - older_than_ms
    return connection.execute(delete(import_rows).where(import_rows.c.created_at < before)).rowcount


def _upsert(connection: Connection, staged: Any) -> Any:
    at = now(connection)
    columns = ["tenant_id", "phone", "first_name", "last_name", "attributes", "region"]
    rows = (
        select(*(import_rows.c[name] for name in columns), literal(at), literal(at))
        .where(staged)
        .order_by(import_rows.c.row)  # contact ids, and so the order of sending, are the file's
    )
    make = postgresql.insert if is_postgres(connection) else sqlite.insert
    statement = make(contacts).from_select([*columns, "created_at", "updated_at"], rows)
    given = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["tenant_id", "phone"],
        set_={
            "first_name": func.coalesce(given.first_name, contacts.c.first_name),
            "last_name": func.coalesce(given.last_name, contacts.c.last_name),
            "attributes": contacts.c.attributes.op("||")(given.attributes)
            if is_postgres(connection)
            else func.json_patch(contacts.c.attributes, given.attributes),
            "region": given.region,
            "updated_at": at,
        },
    )


_WHOSE = ("import_id", "tenant_id", "created_at")
_OF_ROW = ("row", "phone", "first_name", "last_name", "attributes", "region")
_ROWS = (
    func.jsonb_to_recordset(cast(bindparam("rows"), postgresql.JSONB))
    .table_valued(*(column(name, import_rows.c[name].type) for name in _OF_ROW))
    .render_derived(with_types=True)
)
_STAGE_DOCUMENT = insert(import_rows).from_select(
    [*_WHOSE, *_OF_ROW],
    select(
        *(bindparam(name, type_=import_rows.c[name].type) for name in _WHOSE),
        *(_ROWS.c[name] for name in _OF_ROW),
    ),
)
_STAGE_ROW = str(
    insert(import_rows)
    .values({name: bindparam(name) for name in (*_WHOSE, *_OF_ROW)})
    .compile(dialect=sqlite.dialect(paramstyle="named"))
)
