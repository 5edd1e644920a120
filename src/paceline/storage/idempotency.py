"""Idempotency keys: a request that is repeated under its key has its effect once.

The key, the effect and the answer are written by *one* transaction. So there is no moment at which
a key is taken and its effect is not there, nothing to clean up after a crash, and no guess after
how long a key may be used again: a repeat either finds the answer or is the first to succeed. Two
at the same time queue up at the key's row; the later one finds the answer of the earlier. A request
that fails leaves no key behind, because it had no effect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, delete, select, update

from paceline.domain.errors import InvalidInputError
from paceline.storage.database import insert_new, now
from paceline.storage.schema import idempotency_keys

KEPT_MS = 24 * 3_600_000
"""How long an answer is kept for repeats."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Once:
    """A request that must have its effect once."""

    key: str
    digest: str
    """Of everything that makes the request what it is; a repeat has the same."""
    status: int
    """Of the answer."""
    answer: Callable[[Any], str]
    """Writes the answer's body from what the effect returned."""


class AnsweredBefore(Exception):  # noqa: N818 - no error: the answer is here
    """The request was carried out before; this is its answer."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class KeyReusedError(InvalidInputError):
    """An idempotency key came with another request than the one it was first used for."""

    code = "idempotency_key_reused"


def run(
    connection: Connection,
    tenant_id: int,
    once: Once | None,
    effect: Callable[Concatenate[Connection, P], T],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Have an effect, once if ``once`` says so, in the transaction of ``connection``.

    Raises:
        AnsweredBefore: it has been had.
        KeyReusedError: by another request.
    """
    if once is None:
        return effect(connection, *args, **kwargs)
    row = {
        "tenant_id": tenant_id,
        "key": once.key,
        "request_digest": once.digest,
        "created_at": now(connection),
    }
    if not insert_new(connection, idempotency_keys, [row]):
        find(connection, tenant_id, once.key, once.digest)
    result = effect(connection, *args, **kwargs)
    connection.execute(
        update(idempotency_keys)
        .where(*_of(tenant_id, once.key))
        .values(status=once.status, body=once.answer(result))
    )
    return result


def find(connection: Connection, tenant_id: int, key: str, digest: str) -> None:
    """Look for the answer to an earlier request; return if there is none.

    Raises:
        AnsweredBefore: there is one.
        KeyReusedError: the key belongs to another request.
    """
    row = connection.execute(select(idempotency_keys).where(*_of(tenant_id, key))).first()
    if row is None:
        return
    if row.request_digest != digest:
        raise KeyReusedError.of(
            "Idempotency-Key", "was used for another request; use a new key for a new request"
        )
    raise AnsweredBefore(row.status, row.body)


def forget_old(connection: Connection) -> int:
    """Forget answers that are older than ``KEPT_MS``; return how many."""
    before = now(connection) - KEPT_MS
    return connection.execute(
        delete(idempotency_keys).where(idempotency_keys.c.created_at < before)
    ).rowcount


def _of(tenant_id: int, key: str) -> tuple[Any, Any]:
    return idempotency_keys.c.tenant_id == tenant_id, idempotency_keys.c.key == key
