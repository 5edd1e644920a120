"""Who may sign in to the dashboard, as somebody of the tenant's changes it; changes are logged."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import Connection

from paceline.domain.errors import ConflictError, InvalidInputError
from paceline.domain.role import Role
from paceline.engine.signing_in import (
    SigningIn,
    WrongPasswordError,
    hashed,
    refuse_login,
    refuse_password,
)
from paceline.storage import audit_log, users
from paceline.storage.database import Database, now
from paceline.storage.users import SignedIn


async def add(database: Database, by: SignedIn, *, login: str, password: str, role: Role) -> None:
    """Make a user of the same tenant.

    Raises:
        InvalidInputError: the login or the password cannot be used.
        ConflictError: somebody has this login, or the role is more than one has oneself.
    """
    refuse_login(login)
    _refuse_more_than_own(by, role)
    kept = await asyncio.to_thread(hashed, password)

    def carry_out(connection: Connection) -> None:
        row = users.add(connection, by.tenant_id, login=login, password=kept, role=role)
        _log(connection, by, "user.add", row.id, role=role)

    await database.write(carry_out)


async def change(
    database: Database,
    by: SignedIn,
    user_id: int,
    *,
    role: Role | None = None,
    password: str | None = None,
    disabled: bool | None = None,
) -> None:
    """Change a user of the same tenant, who is signed out everywhere; None leaves a thing as it is.

    Raises:
        NotFoundError: the tenant has no such user.
        InvalidInputError: the password cannot be used, or nothing is to be changed.
        ConflictError: it is oneself (``change_own_password``), or somebody with a higher role than
            one's own.
    """
    kept = None if password is None else await asyncio.to_thread(hashed, password)

    def carry_out(connection: Connection) -> None:
        user = users.get(connection, by.tenant_id, user_id)
        _refuse_more_than_own(by, Role(user.role))
        if user_id == by.user_id:
            raise ConflictError(
                "Somebody else has to change your role or disable you; "
                "your password you change yourself, with the old one."
            )
        values: dict[str, Any] = {}
        if role is not None:
            _refuse_more_than_own(by, role)
            values["role"] = role
        if kept is not None:
            values["password"] = kept
        if (role, kept, disabled) == (None, None, None):
            raise InvalidInputError.of("action", "say what is to be changed")
        if disabled is not None:
            values["disabled_at"] = now(connection) if disabled else None
        users.change(connection, by.tenant_id, user_id, values)
        _log(connection, by, "user.change", user_id, changed=sorted(values))

    await database.write(carry_out)


async def change_own_password(
    database: Database, signing_in: SigningIn, by: SignedIn, *, old: str, new: str, address: str
) -> str:
    """Give oneself another password; every session ends, and the secret of a new one is returned.

    Raises:
        ConflictError: they came by a link and have no password.
        InvalidInputError: the new password cannot be used.
        WrongPasswordError: the old one is not theirs.
        TooManyTriesError: there were too many of those.
    """
    if by.user_id is None:
        raise ConflictError("Whoever signed in by a link from the terminal has no password.")
    refuse_password(new)
    proven = await signing_in.proven(by.login, old, address=address)
    kept = await asyncio.to_thread(hashed, new)

    def carry_out(connection: Connection) -> str:
        if users.held(connection, by.tenant_id, proven.id).password != proven.password:
            raise WrongPasswordError
        users.change(connection, by.tenant_id, proven.id, {"password": kept})
        _log(connection, by, "user.password", proven.id)
        secret = users.sign_in(connection, proven.id, kept)
        if secret is None:
            raise WrongPasswordError
        return secret

    return await database.write(carry_out)


def _refuse_more_than_own(by: SignedIn, role: Role) -> None:
    if not by.role.may(role):
        raise ConflictError(f"Only a user with the role {role} can do that.")


def _log(connection: Connection, by: SignedIn, action: str, user_id: int, **detail: Any) -> None:
    audit_log.write(
        connection,
        tenant_id=by.tenant_id,
        actor=by.actor,
        action=action,
        subject=f"user {user_id}",
        **detail,
    )
