"""What providers call our messages: written down per answer, indexed many answers at a time.

Their names are random, so an index of them is touched in as many places as there are names. Done
answer by answer, that was more than half of the cost of recording a batch; done for many answers
at once and in order, every place is touched once. Until then one row per answer keeps them safe.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
from sqlalchemy import BigInteger, Connection, Text, bindparam, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY

from paceline.storage.database import AnyRow, insert_new, is_postgres
from paceline.storage.schema import answers, attempts, provider_messages

INDEX_AT_ONCE = 20_000
"""Names in a transaction, give or take an answer: other writers on SQLite wait that long."""
_ANSWERS_AT_ONCE = 200

_Indexed: TypeAlias = tuple[int, str, int, int]
"""A row of ``provider_messages``: account id, provider's id, message id, attempt id."""

_decode = msgspec.json.Decoder(dict[int, str]).decode


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
    """Index what is not indexed yet, up to about ``INDEX_AT_ONCE`` names; return how many names
    that were. Those that are known already stay as they are.
    """
    return _index(connection, connection.execute(_WAITING, {"most": _ANSWERS_AT_ONCE}))


def index_batches(connection: Connection, batch_ids: Iterable[int]) -> None:
    """Index whatever was answered to attempts of these batches. With their campaigns locked,
    nothing is missing from the index then.
    """
    _index(connection, connection.execute(_WAITING_OF, {"batches": sorted(batch_ids)}))


def _index(connection: Connection, waiting: Iterable[AnyRow]) -> int:
    taken: list[int] = []
    names: list[_Indexed] = []
    for answer in waiting:
        if len(names) >= INDEX_AT_ONCE:
            break
        taken.append(answer.attempt_id)
        names += _names_in(answer.account_id, answer.attempt_id, answer.provider_ids)
    if taken:
        _insert(connection, sorted(names))
        connection.execute(delete(answers).where(answers.c.attempt_id.in_(taken)))
    return len(names)


def _names_in(account_id: int, attempt_id: int, provider_ids: str) -> Iterator[_Indexed]:
    for message_id, provider_id in _decode(provider_ids).items():
        yield account_id, provider_id, message_id, attempt_id


def _insert(connection: Connection, names: Sequence[_Indexed]) -> None:
    if is_postgres(connection):
        account_ids, provider_ids, message_ids, attempt_ids = zip(*names, strict=True)
        connection.execute(
            _INSERT_ARRAYS,
            {
                "account_ids": list(account_ids),
                "provider_ids": list(provider_ids),
                "message_ids": list(message_ids),
                "attempt_ids": list(attempt_ids),
            },
        )
    else:
        # Past SQLAlchemy's handling of parameters, which costs more than the insert itself.
        connection.exec_driver_sql(_INSERT_ROW, list(names))


_COLUMNS = ("account_id", "provider_message_id", "message_id", "attempt_id")
_WAITING = (
    select(answers)
    .order_by(answers.c.attempt_id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_WAITING_OF = (
    select(answers)
    .where(
        answers.c.attempt_id.in_(
            select(attempts.c.id).where(
                attempts.c.batch_id.in_(bindparam("batches", expanding=True))
            )
        )
    )
    .order_by(answers.c.attempt_id)
    .with_for_update()
)
_NAMES = (
    func.unnest(
        bindparam("account_ids", type_=ARRAY(BigInteger)),
        bindparam("provider_ids", type_=ARRAY(Text)),
        bindparam("message_ids", type_=ARRAY(BigInteger)),
        bindparam("attempt_ids", type_=ARRAY(BigInteger)),
    )
    .table_valued(*_COLUMNS)
    .render_derived()
)
_INSERT_ARRAYS = (
    postgresql.insert(provider_messages)
    .from_select(list(_COLUMNS), select(*(_NAMES.c[name] for name in _COLUMNS)))
    .on_conflict_do_nothing()
)
_INSERT_ROW = str(
    sqlite.insert(provider_messages)
    .values({name: bindparam(name) for name in _COLUMNS})
    .on_conflict_do_nothing()
    .compile(dialect=sqlite.dialect())
)
