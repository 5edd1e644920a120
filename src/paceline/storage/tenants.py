"""Tenants and their API keys."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from sqlalchemy import Connection, insert, select, update

from paceline.domain.errors import ConflictError, NotFoundError
from paceline.domain.scope import OF_A_TENANT, Scope
from paceline.storage import audit_log, postponed
from paceline.storage.database import READ_AT, AnyRow, insert_new, now, read_at
from paceline.storage.schema import api_keys, tenants

_HINT_LENGTH = 11
"""``pl_`` or ``pt_`` and eight characters: they tell keys apart, and are worth nothing alone."""
_USE_NOTED_EVERY_MS = 60_000
_NOT_LOGGED = frozenset({"sender", "stop_reply", "start_reply", "help_reply"})
_TIMING = frozenset({"timezone", "quiet_from", "quiet_until", "daily_cap"})
"""Columns by which batches wait for another time of the day."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who an API key speaks for, and what it may do."""

    tenant_id: int
    key_id: int
    scopes: tuple[Scope, ...]
    test: bool = False
    """What it makes reaches nobody but the simulator."""
    name: str = field(default="", compare=False)
    """The key's, to tell people apart in the audit log."""
    ends_in_ms: int | None = field(default=None, compare=False)
    """How long the key was in force when it was looked up; None: it does not end by itself."""

    @property
    def admin(self) -> bool:
        return Scope.ADMIN in self.scopes

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


def page(connection: Connection, *, after: int, limit: int) -> Sequence[AnyRow]:
    """Tenants by id, from the one behind ``after`` on."""
    return connection.execute(
        select(tenants).where(tenants.c.id > after).order_by(tenants.c.id).limit(limit)
    ).all()


def keep(connection: Connection, name: str, *, actor: str = audit_log.SYSTEM) -> AnyRow:
    """The tenant of this name, made if there is none."""
    found = connection.execute(select(tenants).where(tenants.c.name == name)).first()
    return found if found is not None else add(connection, name, {}, actor=actor)


def add(connection: Connection, name: str, values: Mapping[str, Any], *, actor: str) -> AnyRow:
    """Make a tenant.

    Raises:
        ConflictError: there is one of this name.
    """
    row = {**values, "name": name, "created_at": now(connection)}
    if not insert_new(connection, tenants, [row]):
        known = by_name(connection, name)
        raise ConflictError(f"There is a tenant “{name}” already: number {known.id}.")
    tenant = by_name(connection, name)
    audit_log.write(
        connection,
        tenant_id=tenant.id,
        actor=actor,
        action="tenant.add",
        subject=f"tenant {tenant.id}",
        **loggable(values),
    )
    return tenant


def loggable(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the audit log says of a tenant's columns: of its sender, which may be a number, and its
    answers to replies only that they changed.
    """
    said = {name: value for name, value in values.items() if name not in _NOT_LOGGED}
    changed = sorted(_NOT_LOGGED & values.keys())
    return {**said, "changed": changed} if changed else said


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
    connection: Connection,
    tenant_id: int,
    *,
    name: str,
    scopes: Collection[Scope] = OF_A_TENANT,
    test: bool = False,
    expires_at: int | None = None,
    actor: str = audit_log.SYSTEM,
) -> tuple[AnyRow, str]:
    """Make a key; its secret is returned here and kept nowhere."""
    row, secret = _new_key(
        connection,
        tenant_id,
        name=name,
        scopes=scopes,
        test=test,
        expires_at=expires_at,
        actor=actor,
    )
    detail = {"name": name, "scopes": list(row.scopes), "test": test, "expires_at": expires_at}
    _log_key(connection, row, "add", actor, **detail)
    return row, secret


def rotate_key(
    connection: Connection, tenant_id: int, key_id: int, *, grace_ms: int, actor: str
) -> tuple[AnyRow, str]:
    """Make a key that is as this one but for its secret; this one ends after ``grace_ms``, or
    earlier if it would have.

    Raises:
        NotFoundError: this tenant has no such key in force.
    """
    old = key_in_force(connection, tenant_id, key_id, lock=True)
    at = now(connection)
    ends_at = min(at + grace_ms, old.expires_at or at + grace_ms)
    ending = {"expires_at": ends_at} if grace_ms else {"revoked_at": at}
    connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(**ending))
    row, secret = _new_key(
        connection,
        tenant_id,
        name=old.name,
        scopes=old.scopes,
        test=old.test,
        expires_at=old.expires_at,
        actor=actor,
    )
    _log_key(connection, old, "rotate", actor, successor=row.id, ends_at=ends_at)
    return row, secret


def _new_key(
    connection: Connection,
    tenant_id: int,
    *,
    name: str,
    scopes: Collection[str],
    test: bool,
    expires_at: int | None,
    actor: str,
) -> tuple[AnyRow, str]:
    kind = "pt" if test else "pl"
    secret = f"{kind}_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"
    key_id = connection.execute(
        insert(api_keys).returning(api_keys.c.id),
        {
            "tenant_id": tenant_id,
            "name": name,
            "hint": secret[:_HINT_LENGTH],
            "digest": _digest(secret),
            "scopes": list(scopes),
            "test": test,
            "expires_at": expires_at,
            "created_at": now(connection),
            "made_by": actor[:200],
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


def key_page(connection: Connection, tenant_id: int, *, after: int, limit: int) -> Sequence[AnyRow]:
    """A tenant's keys, ended ones too, by id, from the one behind ``after`` on."""
    return connection.execute(
        select(api_keys)
        .where(api_keys.c.tenant_id == tenant_id, api_keys.c.id > after)
        .order_by(api_keys.c.id)
        .limit(limit)
    ).all()


def key_in_force(
    connection: Connection, tenant_id: int, key_id: int, *, lock: bool = False
) -> AnyRow:
    """One key that opens.

    Raises:
        NotFoundError: this tenant has no such key, or it was revoked or has expired.
    """
    query = select(api_keys).where(
        api_keys.c.id == key_id,
        api_keys.c.tenant_id == tenant_id,
        api_keys.c.revoked_at.is_(None),
    )
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None or (row.expires_at is not None and row.expires_at <= now(connection)):
        raise NotFoundError("key", f"{key_id} in force")
    return row


def revoke_key(
    connection: Connection, tenant_id: int, key_id: int, *, actor: str = audit_log.SYSTEM
) -> None:
    """End a key; an API that has just seen it knows within a second (``edge.KNOWN_S``).

    Raises:
        NotFoundError: this tenant has no such key in force.
    """
    row = key_in_force(connection, tenant_id, key_id, lock=True)
    connection.execute(
        update(api_keys).where(api_keys.c.id == key_id).values(revoked_at=now(connection))
    )
    _log_key(connection, row, "revoke", actor)


def authenticate(connection: Connection, key: PresentedKey) -> Caller | None:
    """Who presents this key; None if nobody may. Digests are compared in constant time."""
    for row in connection.execute(
        select(api_keys, READ_AT).where(
            api_keys.c.hint == key.hint, api_keys.c.revoked_at.is_(None)
        )
    ):
        if not hmac.compare_digest(row.digest, key.digest):
            continue
        ends_in_ms = None
        if row.expires_at is not None:
            ends_in_ms = row.expires_at - read_at(connection, row)
            if ends_in_ms <= 0:
                return None
        scopes = tuple(Scope(name) for name in row.scopes)
        return Caller(row.tenant_id, row.id, scopes, row.test, row.name, ends_in_ms)
    return None


def _log_key(connection: Connection, row: AnyRow, verb: str, actor: str, **detail: Any) -> None:
    audit_log.write(
        connection,
        tenant_id=row.tenant_id,
        actor=actor,
        action=f"key.{verb}",
        subject=f"key {row.id}",
        **detail,
    )


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
