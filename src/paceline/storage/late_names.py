"""Whose message is meant by a receipt with a name that nobody knows yet: the answer that would say
it is not indexed, or never came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import Connection, bindparam, func, select

from paceline.domain.message import parse_reference
from paceline.storage import provider_messages as names
from paceline.storage.among import among
from paceline.storage.database import AnyRow
from paceline.storage.schema import attempts, installation, messages, provider_messages

REFERENCE = "reference:"
"""Before the reference, in the name of a message whose receipt brings no other."""
Name: TypeAlias = tuple[int, str]
"""An account, and what its provider calls a message."""


@dataclass(slots=True)
class Late:
    """What was found of receipts whose names are not indexed, or were never given."""

    message_ids: dict[Name, int] = field(default_factory=dict)
    named: dict[Name, Name] = field(default_factory=dict)
    """The names of messages whose receipts say our reference only, if the answer gave them one."""
    adopted: list[dict[str, Any]] = field(default_factory=list)
    """Names to be kept, of messages whose answer never came: rows of ``provider_messages``."""


def match(connection: Connection, strangers: Sequence[AnyRow]) -> Late:
    """Match those whose answer is not indexed yet, or never came: then our own reference proves
    that the message was accepted.
    """
    late = Late()
    by_account: dict[int, list[AnyRow]] = defaultdict(list)
    for row in strangers:
        by_account[row.account_id].append(row)
    if strangers:
        names.index(connection)
    for account_id, rows in by_account.items():
        known = _known(connection, account_id, rows)
        late.message_ids |= {(account_id, name): found for name, found in known.items()}
        lost = [row for row in rows if row.reference and row.provider_id not in known]
        if lost:
            _match_by_reference(connection, account_id, lost, late)
    return late


def _known(connection: Connection, account_id: int, rows: list[AnyRow]) -> dict[str, int]:
    ids = sorted({row.provider_id for row in rows})
    known = connection.execute(_KNOWN, {"account": account_id, "provider_ids": ids})
    return {row.provider_message_id: row.message_id for row in known}


def _match_by_reference(
    connection: Connection, account_id: int, rows: list[AnyRow], late: Late
) -> None:
    prefix = connection.execute(select(installation.c.prefix)).scalar_one()
    for row in rows:
        ours = parse_reference(row.reference)
        if ours is None or ours[0] != prefix:
            continue
        which = {"account": account_id, "message": ours[1], "generation": ours[2]}
        attempt = connection.execute(_ATTEMPT_OF, which).first()
        if attempt is None:
            continue
        name = account_id, row.provider_id
        late.message_ids[name] = ours[1]
        if attempt.name is not None and row.provider_id.startswith(REFERENCE):
            late.named[name] = account_id, attempt.name
        else:
            late.adopted.append(
                {
                    "account_id": account_id,
                    "provider_message_id": row.provider_id,
                    "message_id": ours[1],
                    "attempt_id": attempt.id,
                }
            )


_KNOWN = select(provider_messages.c.provider_message_id, provider_messages.c.message_id).where(
    provider_messages.c.account_id == bindparam("account"),
    among(provider_messages.c.provider_message_id, "provider_ids"),
)
_ATTEMPT_OF = (
    select(
        attempts.c.id,
        select(func.min(provider_messages.c.provider_message_id))
        .where(
            provider_messages.c.message_id == bindparam("message"),
            provider_messages.c.attempt_id == attempts.c.id,
        )
        .scalar_subquery()
        .label("name"),
    )
    .join(messages, messages.c.batch_id == attempts.c.batch_id)
    .where(
        messages.c.id == bindparam("message"),
        attempts.c.account_id == bindparam("account"),
        attempts.c.generation == bindparam("generation"),
    )
    .order_by(attempts.c.id.desc())
    .limit(1)
)
