"""The inbox of receipts: webhooks fill it, the fold (``receipts``) empties it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from sqlalchemy import BigInteger, Connection, Text, bindparam, func, insert, select
from sqlalchemy.dialects.postgresql import ARRAY

from paceline.storage.database import is_postgres, now
from paceline.storage.schema import receipts


@dataclass(frozen=True, slots=True)
class InboxRow:
    """One receipt as a webhook brought it."""

    provider_message_id: str
    reference: str
    delivery: str
    error: str
    occurred_at: int | None


def put(connection: Connection, account_id: int, rows: Sequence[InboxRow]) -> int:
    """Keep receipts until the fold takes them up; when this commits they are safe."""
    at = now(connection)
    if is_postgres(connection):
        columns = {name: [getattr(row, name) for row in rows] for name in _BROUGHT}
        connection.execute(_PUT_ARRAYS, {"account": account_id, "at": at, **columns})
    else:
        kept = {"account_id": account_id, "received_at": at, "due_at": at}
        connection.execute(
            insert(receipts),
            [{name: getattr(row, name) for name in _BROUGHT} | kept for row in rows],
        )
    return len(rows)


def waiting(connection: Connection) -> int:
    """How many receipts are in the inbox."""
    return int(connection.execute(select(func.count()).select_from(receipts)).scalar_one())


_BROUGHT = tuple(each.name for each in fields(InboxRow))
_ARRAYS = (
    func.unnest(
        *(
            bindparam(name, type_=ARRAY(BigInteger if name == "occurred_at" else Text))
            for name in _BROUGHT
        )
    )
    .table_valued(*_BROUGHT)
    .render_derived()
)
_PUT_ARRAYS = insert(receipts).from_select(
    ["account_id", "received_at", "due_at", *_BROUGHT],
    select(
        bindparam("account", type_=BigInteger),
        bindparam("at", type_=BigInteger),
        bindparam("at", type_=BigInteger),
        *_ARRAYS.c,
    ),
)
