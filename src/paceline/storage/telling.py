"""How events are written: for all subjects at once, by the database alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    func,
    insert,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from paceline.clock import iso
from paceline.domain.webhook_event import EventType
from paceline.storage.among import among, among_those
from paceline.storage.database import AnyRow, is_postgres, now
from paceline.storage.schema import webhook_deliveries, webhook_endpoints, webhook_events


@dataclass(frozen=True, slots=True)
class Subject:
    """What an event is about: a row, and what of it is told."""

    table: Table
    id: ColumnElement[int]
    data: Mapping[str, ColumnElement[Any]]


@dataclass(frozen=True, slots=True)
class Telling:
    """An event of one type for each subject that meets a condition."""

    event: EventType
    subject: Subject
    condition: ColumnElement[bool]
    event_id: ColumnElement[int] | None = None
    """None: the next one."""


def tell(
    connection: Connection,
    whose: Select[Any],
    tellings: Sequence[Telling],
    at: int | None = None,
    **values: Any,
) -> None:
    """Write the events that some endpoint wants, and their deliveries.

    Args:
        connection: of a write transaction.
        whose: the tenants concerned.
        tellings: of what.
        at: when it happened; None: now.
        values: of the parameters in ``whose`` and in the conditions.
    """
    # Locked, so that none is removed before its deliveries are committed.
    enabled = connection.execute(
        select(webhook_endpoints)
        .where(
            webhook_endpoints.c.disabled_at.is_(None),
            among_those(webhook_endpoints.c.tenant_id, whose),
        )
        .with_for_update(read=True, key_share=True),
        values,
    ).all()
    if not enabled:
        return
    at = now(connection) if at is None else at
    for telling in tellings:
        wanting = [row for row in enabled if telling.event in row.events and row.created_at <= at]
        if wanting:
            _write(connection, telling, wanting, at, values)


def _write(
    connection: Connection,
    telling: Telling,
    wanting: Sequence[AnyRow],
    at: int,
    values: Mapping[str, Any],
) -> None:
    subject = telling.subject
    columns = {
        "tenant_id": subject.table.c.tenant_id,
        "type": literal(str(telling.event)),
        "subject_id": subject.id,
        "payload": _payload(connection, telling, at),
        "created_at": literal(at),
    }
    if telling.event_id is not None:
        columns["id"] = telling.event_id
    rows = (
        select(*columns.values())
        .where(telling.condition, among(subject.table.c.tenant_id, "tenants"))
        .order_by(subject.id)
    )
    make = postgresql.insert if is_postgres(connection) else sqlite.insert
    event_ids = (
        connection.execute(
            make(webhook_events)
            .from_select(list(columns), rows)
            .on_conflict_do_nothing()
            .returning(webhook_events.c.id),
            {**values, "tenants": sorted({row.tenant_id for row in wanting})},
        )
        .scalars()
        .all()
    )
    if event_ids:
        endpoint_ids = [row.id for row in wanting]
        connection.execute(_DELIVER, {"events": event_ids, "endpoints": endpoint_ids, "at": at})


def _payload(connection: Connection, telling: Telling, at: int) -> ColumnElement[str]:
    """``{"type", "timestamp", "data"}`` as text, made by the database out of the subject's row."""
    make = func.json_build_object if is_postgres(connection) else func.json_object

    def document(members: Mapping[str, Any]) -> ColumnElement[Any]:
        pairs: list[ColumnElement[Any]] = []
        for name, value in members.items():
            pairs += [literal_column(f"'{name}'"), value]
        return make(*pairs)

    return cast(
        document(
            {
                "type": literal(str(telling.event)),
                "timestamp": literal(iso(at)),
                "data": document(telling.subject.data),
            }
        ),
        Text,
    )


_DELIVER = insert(webhook_deliveries).from_select(
    ["event_id", "endpoint_id", "due_at"],
    select(webhook_events.c.id, webhook_endpoints.c.id, bindparam("at", type_=BigInteger))
    .select_from(
        webhook_events.join(
            webhook_endpoints, webhook_endpoints.c.tenant_id == webhook_events.c.tenant_id
        )
    )
    .where(among(webhook_events.c.id, "events"), among(webhook_endpoints.c.id, "endpoints"))
    .order_by(webhook_events.c.id, webhook_endpoints.c.id),
)
