"""Those who sign in to the dashboard: users, links from the terminal, and sessions.

Secrets are kept as their digests; they are random and long, so a plain SHA-256 is enough. Passwords
come here hashed (``engine.signing_in``).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from paceline.domain.errors import ConflictError, NotFoundError
from paceline.domain.role import Role
from paceline.storage.database import AnyRow, now
from paceline.storage.schema import sessions, sign_in_links, tenants, users

LINK_MS = 15 * 60_000
"""For how long a link from the terminal may be opened."""
SESSION_MS = 12 * 3_600_000
"""For how long somebody stays signed in."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who looks at the dashboard."""

    tenant_id: int
    tenant: str
    timezone: str
    role: Role
    user_id: int | None
    """None: by a link from the terminal."""
    login: str

    @property
    def actor(self) -> str:
        """What the audit log calls them."""
        return "dashboard link" if self.user_id is None else f"user {self.user_id} ({self.login})"


def add(connection: Connection, tenant_id: int, *, login: str, password: str, role: Role) -> AnyRow:
    """Make a user; ``password`` is its hash.

    Raises:
        ConflictError: somebody has this login already.
    """
    try:
        with connection.begin_nested():
            user_id = connection.execute(
                insert(users).returning(users.c.id),
                {
                    "tenant_id": tenant_id,
                    "login": login,
                    "password": password,
                    "role": role,
                    "created_at": now(connection),
                },
            ).scalar_one()
    except IntegrityError:
        raise ConflictError(f"There is a user “{login}” already.") from None
    return get(connection, tenant_id, user_id)


def get(connection: Connection, tenant_id: int, user_id: int) -> AnyRow:
    """One user.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    return _only(connection, _one(tenant_id, user_id), user_id)


def held(connection: Connection, tenant_id: int, user_id: int) -> AnyRow:
    """One user, whom nobody else changes before the transaction ends.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    return _only(connection, _one(tenant_id, user_id).with_for_update(), user_id)


def _one(tenant_id: int, user_id: int) -> Select[Any]:
    return select(users).where(users.c.tenant_id == tenant_id, users.c.id == user_id)


def _only(connection: Connection, query: Select[Any], user_id: int) -> AnyRow:
    row = connection.execute(query).first()
    if row is None:
        raise NotFoundError("user", user_id)
    return row


def of_tenant(connection: Connection, tenant_id: int) -> list[AnyRow]:
    """A tenant's users, oldest first."""
    query = select(users).where(users.c.tenant_id == tenant_id).order_by(users.c.id)
    return list(connection.execute(query))


def change(
    connection: Connection, tenant_id: int, user_id: int, values: Mapping[str, Any]
) -> AnyRow:
    """Change columns of a user. Whoever is disabled, or has another password or role, is signed out
    everywhere.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    get(connection, tenant_id, user_id)
    connection.execute(update(users).where(users.c.id == user_id).values(**values))
    if values.keys() & {"password", "role", "disabled_at"}:
        connection.execute(delete(sessions).where(sessions.c.user_id == user_id))
    return get(connection, tenant_id, user_id)


def by_login(connection: Connection, login: str) -> AnyRow | None:
    """Who may sign in under this name."""
    return connection.execute(
        select(users).where(users.c.login == login, users.c.disabled_at.is_(None))
    ).first()


def make_link(connection: Connection, tenant_id: int, role: Role) -> str:
    """What a link carries that signs in once, within ``LINK_MS``."""
    at = now(connection)
    connection.execute(delete(sign_in_links).where(sign_in_links.c.expires_at <= at))
    secret = secrets.token_urlsafe(32)
    connection.execute(
        insert(sign_in_links),
        {
            "digest": _digest(secret),
            "tenant_id": tenant_id,
            "role": role,
            "created_at": at,
            "expires_at": at + LINK_MS,
        },
    )
    return secret


def link(connection: Connection, secret: str) -> AnyRow | None:
    """For which ``tenant`` and ``role`` a link is; None if it does not count (any more)."""
    return connection.execute(
        select(tenants.c.name.label("tenant"), sign_in_links.c.role)
        .join(tenants, tenants.c.id == sign_in_links.c.tenant_id)
        .where(_counts(connection, secret))
    ).first()


def follow_link(connection: Connection, secret: str) -> str | None:
    """Use a link up; return the session's secret, None if it does not count (any more)."""
    used = connection.execute(
        delete(sign_in_links)
        .where(_counts(connection, secret))
        .returning(sign_in_links.c.tenant_id, sign_in_links.c.role)
    ).first()
    return None if used is None else _open(connection, used.tenant_id, Role(used.role), None)


def sign_in(connection: Connection, user_id: int, password: str) -> str | None:
    """Open a session for a user who has proven to know the password whose hash this is; return its
    secret. None: the user is disabled or has another password by now.
    """
    user = connection.execute(
        update(users)
        .where(users.c.id == user_id, users.c.password == password, users.c.disabled_at.is_(None))
        .values(last_seen_at=now(connection))
        .returning(users.c.tenant_id, users.c.role)
    ).first()
    if user is None:
        return None
    return _open(connection, user.tenant_id, Role(user.role), user_id)


def sign_out(connection: Connection, secret: str) -> None:
    """End a session."""
    connection.execute(delete(sessions).where(sessions.c.digest == _digest(secret)))


def signed_in(connection: Connection, secret: str) -> SignedIn | None:
    """Whose session this is; None: nobody's (any more)."""
    row = connection.execute(
        _SIGNED_IN.where(
            sessions.c.digest == _digest(secret), sessions.c.expires_at > now(connection)
        )
    ).first()
    if row is None:
        return None
    return SignedIn(
        row.tenant_id, row.tenant, row.timezone, Role(row.role), row.user_id, row.login or ""
    )


def _open(connection: Connection, tenant_id: int, role: Role, user_id: int | None) -> str:
    at = now(connection)
    connection.execute(delete(sessions).where(sessions.c.expires_at <= at))
    secret = secrets.token_urlsafe(32)
    connection.execute(
        insert(sessions),
        {
            "digest": _digest(secret),
            "tenant_id": tenant_id,
            "user_id": user_id,
            "role": role,
            "created_at": at,
            "expires_at": at + SESSION_MS,
        },
    )
    return secret


def _counts(connection: Connection, secret: str) -> ColumnElement[bool]:
    return and_(
        sign_in_links.c.digest == _digest(secret), sign_in_links.c.expires_at > now(connection)
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


_SIGNED_IN = (
    select(
        sessions.c.tenant_id,
        sessions.c.role,
        sessions.c.user_id,
        tenants.c.name.label("tenant"),
        tenants.c.timezone,
        users.c.login,
    )
    .join(tenants, tenants.c.id == sessions.c.tenant_id)
    .outerjoin(users, users.c.id == sessions.c.user_id)
    .where(or_(sessions.c.user_id.is_(None), users.c.disabled_at.is_(None)))
)
