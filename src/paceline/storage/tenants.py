"""Tenants and their API keys."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from sqlalchemy import Connection, insert, select, update

from paceline.domain.errors import NotFoundError
from paceline.storage import postponed
from paceline.storage.database import AnyRow, now
from paceline.storage.schema import api_keys, tenants

_HINT_LENGTH = 11
"""``pl_`` and eight characters: enough to tell keys apart, worth nothing without the rest."""
_USE_NOTED_EVERY_MS = 60_000
_TIMING = frozenset({"timezone", "quiet_from", "quiet_until", "daily_cap"})
"""Columns by which batches wait for another time of the day."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who an API key speaks for."""

    tenant_id: int
    key_id: int
    admin: bool
    name: str = field(default="", compare=False)
    """The key's, to tell people apart in the audit log."""

    @property
    def actor(self) -> str:
        """What the audit log calls them."""
        return f"key {self.key_id} ({self.name})"


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """An API key as somebody presents it, without its secret."""

    hint: str
    digest: str

    @classmethod
    def of(cls, secret: str) -> Self:
        return cls(secret[:_HINT_LENGTH], _digest(secret))


def get(connection: Connection, tenant_id: int) -> AnyRow:
    """One tenant.

    Raises:
        NotFoundError: there is none with this id.
    """
    row = connection.execute(select(tenants).where(tenants.c.id == tenant_id)).first()
    if row is None:
        raise NotFoundError("tenant", tenant_id)
    return row


def by_name(connection: Connection, name: str) -> AnyRow:
    """One tenant.

    Raises:
        NotFoundError: there is none of this name.
    """
    row = connection.execute(select(tenants).where(tenants.c.name == name)).first()
    if row is None:
        raise NotFoundError("tenant", f"“{name}”")
    return row


def all_of_them(connection: Connection) -> list[AnyRow]:
    return list(connection.execute(select(tenants).order_by(tenants.c.id)))


def keep(connection: Connection, name: str) -> AnyRow:
    """The tenant of this name, made if there is none."""
    found = connection.execute(select(tenants).where(tenants.c.name == name)).first()
    if found is not None:
        return found
    tenant_id = connection.execute(
        insert(tenants).returning(tenants.c.id), {"name": name, "created_at": now(connection)}
    ).scalar_one()
    return get(connection, tenant_id)


def change(connection: Connection, tenant_id: int, values: Mapping[str, Any]) -> AnyRow:
    """Change columns of a tenant, its limits among them; they hold from the next intent on, also
    for what waits for another time of the day.

    Raises:
        NotFoundError: there is none with this id.
    """
    if values:
        connection.execute(update(tenants).where(tenants.c.id == tenant_id).values(**values))
    if not _TIMING.isdisjoint(values):
        postponed.look_again(connection, tenant_id)
    return get(connection, tenant_id)


def create_key(
    connection: Connection, tenant_id: int, *, name: str, admin: bool = False
) -> tuple[AnyRow, str]:
    """Make a key; its secret is returned here and kept nowhere."""
    secret = f"pl_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"
    key_id = connection.execute(
        insert(api_keys).returning(api_keys.c.id),
        {
            "tenant_id": tenant_id,
            "name": name,
            "hint": secret[:_HINT_LENGTH],
            "digest": _digest(secret),
            "admin": admin,
            "created_at": now(connection),
        },
    ).scalar_one()
    return connection.execute(select(api_keys).where(api_keys.c.id == key_id)).one(), secret


def keys_of(connection: Connection, tenant_id: int) -> list[AnyRow]:
    """A tenant's keys, oldest first."""
    return list(
        connection.execute(
            select(api_keys).where(api_keys.c.tenant_id == tenant_id).order_by(api_keys.c.id)
        )
    )


def revoke_key(connection: Connection, tenant_id: int, key_id: int) -> None:
    """End a key; an API that has just seen it knows within a second (``edge.KNOWN_S``).

    Raises:
        NotFoundError: this tenant has no such key in force.
    """
    revoked = connection.execute(
        update(api_keys)
        .where(
            api_keys.c.id == key_id,
            api_keys.c.tenant_id == tenant_id,
            api_keys.c.revoked_at.is_(None),
        )
        .values(revoked_at=now(connection))
    )
    if revoked.rowcount == 0:
        raise NotFoundError("key", key_id)


def authenticate(connection: Connection, key: PresentedKey) -> Caller | None:
    """Who presents this key; None if nobody may. Digests are compared in constant time."""
    for row in connection.execute(
        select(api_keys).where(api_keys.c.hint == key.hint, api_keys.c.revoked_at.is_(None))
    ):
        if hmac.compare_digest(row.digest, key.digest):
            return Caller(row.tenant_id, row.id, row.admin, row.name)
    return None


def note_use(connection: Connection, key_id: int) -> None:
    """Note that a key is in use, at most once a minute."""
    at = now(connection)
    connection.execute(
        update(api_keys)
        .where(
            api_keys.c.id == key_id,
            api_keys.c.last_used_at.is_(None)
            | (api_keys.c.last_used_at < at - _USE_NOTED_EVERY_MS),
        )
        .values(last_used_at=at)
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
