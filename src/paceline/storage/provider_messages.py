"""What providers call our messages."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import BigInteger, Connection, Text, bindparam, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY

from paceline.storage.database import insert_new, is_postgres
from paceline.storage.schema import provider_messages


def remember(
    connection: Connection, account_id: int, attempt_id: int, pairs: Sequence[tuple[str, int]]
) -> None:
    """Keep (provider's id, message id) pairs of one attempt; those known already stay as they are.

    On PostgreSQL the pairs travel as two arrays in one statement: row by row, this was the dearest
    part of recording a batch.
    """
    if is_postgres(connection):
        connection.execute(
            _INSERT_ARRAYS,
            {
                "account": account_id,
                "attempt": attempt_id,
                "provider_ids": [provider_id for provider_id, _ in pairs],
                "message_ids": [message_id for _, message_id in pairs],
            },
        )
        return
    rows = [
        {
            "account_id": account_id,
            "provider_message_id": provider_id,
            "message_id": message_id,
            "attempt_id": attempt_id,
        }
        for provider_id, message_id in pairs
    ]
    insert_new(connection, provider_messages, rows)


_PAIRS = (
    func.unnest(
        bindparam("provider_ids", type_=ARRAY(Text)),
        bindparam("message_ids", type_=ARRAY(BigInteger)),
    )
    .table_valued("provider_id", "message_id")
    .render_derived()
)
_INSERT_ARRAYS = (
    postgresql.insert(provider_messages)
    .from_select(
        ["account_id", "provider_message_id", "message_id", "attempt_id"],
        select(
            bindparam("account", type_=BigInteger),
            _PAIRS.c.provider_id,
            _PAIRS.c.message_id,
            bindparam("attempt", type_=BigInteger),
        ),
    )
    .on_conflict_do_nothing()
)
