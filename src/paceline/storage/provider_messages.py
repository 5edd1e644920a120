"""What providers call our messages: written down per answer, indexed many answers at a time.

Their names are random, so an index of them is touched in as many places as there are names. Done
answer by answer, that was more than half of the cost of recording a batch; done for many answers
at once and in order, every place is touched once. Until then one row per answer keeps them safe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    TableValuedAlias,
    bindparam,
    cast,
    delete,
    func,
    select,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite

from paceline.storage.among import among
from paceline.storage.database import AnyRow, insert_new, is_postgres
from paceline.storage.schema import answers, attempts, installation, provider_messages

INDEX_AT_ONCE = 20_000
"""Messages of a transaction, give or take an answer: other writers on SQLite wait that long."""
_ANSWERS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Names:
    """What the provider calls the messages of one attempt: message id → provider's id."""

    account_id: int
    attempt_id: int
    of_messages: Mapping[int, str]


def remember(connection: Connection, names: Sequence[Names]) -> None:
    """Keep the names until they are indexed; those of an attempt that is known stay as they are."""
    rows = [
        {
            "attempt_id": each.attempt_id,
            "account_id": each.account_id,
            "provider_ids": msgspec.json.encode(each.of_messages).decode(),
        }
        for each in names
    ]
    insert_new(connection, answers, rows)


def index(connection: Connection) -> int:
    """Index what is not indexed yet, of answers to about ``INDEX_AT_ONCE`` messages; return to how
    many. Names that are known already stay as they are.
    """
    alone(connection)
    return _index(connection, connection.execute(_WAITING, {"most": _ANSWERS_AT_ONCE}))


def alone(connection: Connection) -> None:
    """Let nobody else index until this transaction ends. Whoever goes on to ``index_batches`` under
    other locks asks for this before them: else two could wait for each other.
    """
    if is_postgres(connection):
        connection.execute(_ALONE)


def index_batches(connection: Connection, batch_ids: Iterable[int]) -> None:
    """Index whatever was answered to attempts of these batches. With their campaigns locked,
    nothing is missing from the index then.
    """
    _index(connection, connection.execute(_WAITING_OF, {"batches": sorted(batch_ids)}))


def _index(connection: Connection, waiting: Iterable[AnyRow]) -> int:
    taken: list[int] = []
    messages = 0
    for answer in waiting:
        if messages >= INDEX_AT_ONCE:
            break
        taken.append(answer.attempt_id)
        messages += answer.size
    if taken:
        insert = _INSERT[connection.dialect.name]
        connection.execute(insert, {"taken": taken})
        connection.execute(
            delete(answers).where(among(answers.c.attempt_id, "taken")), {"taken": taken}
        )
    return messages


_ALONE = select(installation.c.id).with_for_update(key_share=True)
_TO_INDEX = select(answers.c.attempt_id, attempts.c.size).join(
    attempts, attempts.c.id == answers.c.attempt_id
)
_WAITING = (
    _TO_INDEX.order_by(answers.c.attempt_id)
    .limit(bindparam("most"))
    .with_for_update(of=answers, skip_locked=True)
)
_WAITING_OF = (
    _TO_INDEX.where(among(attempts.c.batch_id, "batches"))
    .order_by(answers.c.attempt_id)
    .with_for_update(of=answers)
)


def _insert(make: Any, names: TableValuedAlias, bytewise: str) -> Any:
    """The database itself takes the documents apart and sorts what is in them: as objects of ours
    the names would cost megabytes and most of the time. They are sorted ``bytewise``, as whoever
    adds others has to sort them, or two could each wait for a name that the other one has added.
    """
    columns = {
        "account_id": answers.c.account_id,
        "provider_message_id": names.c.value,
        "message_id": cast(names.c.key, BigInteger),
        "attempt_id": answers.c.attempt_id,
    }
    rows = (
        select(*columns.values())
        .select_from(answers.join(names, true()))
        .where(among(answers.c.attempt_id, "taken"))
        .order_by(answers.c.account_id, names.c.value.collate(bytewise))
    )
    return make(provider_messages).from_select(list(columns), rows).on_conflict_do_nothing()


_INSERT = {
    "postgresql": _insert(
        postgresql.insert,
        func.json_each_text(cast(answers.c.provider_ids, JSON)).table_valued("key", "value"),
        "C",
    ),
    "sqlite": _insert(
        sqlite.insert, func.json_each(answers.c.provider_ids).table_valued("key", "value"), "BINARY"
    ),
}
