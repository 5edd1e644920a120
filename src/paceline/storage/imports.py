"""Imports: rows are staged in many short transactions and merged by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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

from paceline.domain.contact import MAX_ATTRIBUTES
from paceline.domain.errors import PacelineError
from paceline.storage import erased, import_history, lists
from paceline.storage.among import among
from paceline.storage.database import insert_new, is_postgres, now
from paceline.storage.schema import contacts, import_rows, list_members
from paceline.storage.schema import imports as imports_table

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
    """How many contacts are new, how many were there before, and the rows of those which would
    have had too many attributes.
    """

    imported: int
    updated: int
    overfull: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """How a merge can be undone: under which import. ``erased``: how many people were erased when
    its rows were looked at.
    """

    which: int
    erased: int
    widest: int
    """Attributes that a row has at most."""


def stage(
    connection: Connection, tenant_id: int, import_id: str, rows: Sequence[StagedContact]
) -> None:
    """Put rows aside under ``import_id``."""
    whose = {"import_id": import_id, "tenant_id": tenant_id, "created_at": now(connection)}
    if is_postgres(connection):
        # All rows as one parameter: a sixth of the cost of parameters for each.
        connection.execute(_STAGE_DOCUMENT, {**whose, "rows": import_history.as_json(rows)})
    else:
        # Past SQLAlchemy's handling of parameters, which costs more than the insert itself.
        connection.exec_driver_sql(_STAGE_ROW, [whose | _values(each) for each in rows])


def _values(contact: StagedContact) -> dict[str, Any]:
    return {
        "row": contact.row,
        "phone": contact.phone,
        "first_name": contact.first_name,
        "last_name": contact.last_name,
        "attributes": import_history.as_json(contact.attributes),
        "region": contact.region,
    }


def merge(
    connection: Connection,
    tenant_id: int,
    import_id: str,
    *,
    expected: int,
    list_id: int | None,
    kept: Kept | None = None,
) -> Merged:
    """Make contacts of the staged rows, or bring those there are up to date, and forget the rows.

    An empty cell leaves the value that a contact has; attributes are added to the others.

    Args:
        connection: of a write transaction.
        tenant_id: whose contacts they become.
        import_id: under which the rows were staged, no number twice.
        expected: how many they were.
        list_id: the list that all of them are put on, if any.
        kept: how it can be undone; None: it cannot.

    Raises:
        NotFoundError: this tenant has no such list.
        ImportLostError: rows are missing, or somebody was erased meanwhile.
    """
    if list_id is not None:
        lists.get(connection, tenant_id, list_id)
    staged = and_(import_rows.c.import_id == import_id, import_rows.c.tenant_id == tenant_id)
    _refuse_lost(connection, tenant_id, staged, expected, kept)
    if expected >= _MANY:
        _count_anew(connection, import_rows)
    overfull = _drop_overfull(connection, staged, kept.widest) if kept else ()
    there_before = select(func.count()).select_from(import_rows)
    updated = connection.execute(
        there_before.where(staged, exists().where(_OF_SAME_NUMBER))
    ).scalar_one()
    at = now(connection)
    if kept:
        import_history.note_known(connection, kept.which, staged, _OF_SAME_NUMBER, list_id)
    connection.execute(_upsert(connection, staged, at))
    if kept:
        import_history.note_new(connection, kept.which, staged, _OF_SAME_NUMBER, list_id)
    if list_id is not None:
        members = select(literal(list_id), contacts.c.id).join(import_rows, _OF_SAME_NUMBER)
        insert_new(connection, list_members, members.where(staged), ["list_id", "contact_id"])
    _forget_staged(connection, import_id)
    if expected >= _MANY:
        _count_anew(connection, contacts, list_members)
    imported = expected - len(overfull) - updated
    if kept:
        import_history.finish(connection, kept.which, at, imported=imported, updated=updated)
    return Merged(imported, updated, overfull)


def _refuse_lost(
    connection: Connection, tenant_id: int, staged: Any, expected: int, kept: Kept | None
) -> None:
    erased.hold(connection, tenant_id)
    if kept is not None and erased.count(connection, tenant_id) != kept.erased:
        raise ImportLostError("A person was erased while the file was read. Send it again.")
    query = select(func.count()).select_from(import_rows).where(staged)
    if connection.execute(query).scalar_one() != expected:
        raise ImportLostError("The import took too long and was given up. Send it again.")


def _drop_overfull(connection: Connection, staged: Any, widest: int) -> tuple[int, ...]:
    """Leave out rows whose contacts would have more attributes than one may have."""
    merged = _merged_attributes(connection, contacts.c.attributes, import_rows.c.attributes)
    query = (
        select(import_rows.c.row)
        .join(contacts, _OF_SAME_NUMBER)
        .where(
            staged,
            _count_of(connection, contacts.c.attributes) > MAX_ATTRIBUTES - widest,
            _count_of(connection, merged) > MAX_ATTRIBUTES,
        )
        .order_by(import_rows.c.row)
    )
    rows = tuple(connection.execute(query).scalars()) if widest else ()
    if rows:
        connection.execute(
            delete(import_rows).where(staged, among(import_rows.c.row, "rows")), {"rows": rows}
        )
    return rows


def _merged_attributes(connection: Connection, there: Any, given: Any) -> Any:
    return there.op("||")(given) if is_postgres(connection) else func.json_patch(there, given)


def _count_of(connection: Connection, attributes: Any) -> Any:
    each = func.jsonb_object_keys if is_postgres(connection) else func.json_each
    names = each(attributes).table_valued("value" if is_postgres(connection) else "key")
    return select(func.count()).select_from(names).scalar_subquery()


def _count_anew(connection: Connection, *tables: Table) -> None:
    """Let PostgreSQL look at tables that have just grown by much. Until it does so by itself, it
    takes a tenant or a list that it has never heard of for one row, and plans by that: starting a
    campaign to 200,000 can then take minutes.
    """
    if is_postgres(connection):
        for table in tables:
            connection.execute(text(f"ANALYZE {table.name}"))


def discard(connection: Connection, import_id: str) -> None:
    """Forget an import that is not finished, with its staged rows and its rejects."""
    _forget_staged(connection, import_id)
    connection.execute(
        delete(imports_table).where(
            imports_table.c.import_id == import_id, imports_table.c.finished_at.is_(None)
        )
    )


def _forget_staged(connection: Connection, import_id: str) -> None:
    connection.execute(delete(import_rows).where(import_rows.c.import_id == import_id))


def forget_stale(connection: Connection, *, older_than_ms: int) -> int:
    """Forget rows that a died import left behind; return how many.

    A running import whose rows go is refused at its merge, so choose hours, not seconds.
    """
    before = now(connection) - older_than_ms
    connection.execute(
        delete(imports_table).where(
            imports_table.c.finished_at.is_(None), imports_table.c.created_at < before
        )
    )
    return connection.execute(delete(import_rows).where(import_rows.c.created_at < before)).rowcount


def _upsert(connection: Connection, staged: Any, at: int) -> Any:
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
            "attributes": _merged_attributes(connection, contacts.c.attributes, given.attributes),
            "region": given.region,
            "updated_at": at,
        },
    )


_OF_SAME_NUMBER = and_(
    contacts.c.tenant_id == import_rows.c.tenant_id, contacts.c.phone == import_rows.c.phone
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
