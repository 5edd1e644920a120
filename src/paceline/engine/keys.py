"""API keys as people give them to each other: nobody gives what they do not have."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection

from paceline.domain.errors import InvalidInputError
from paceline.domain.scope import OF_A_TENANT, OF_A_TEST_KEY, Scope, ScopeMissingError, read_scopes
from paceline.storage import tenants
from paceline.storage.database import AnyRow, now

GRACE_S = 86_400
"""How long a rotated key is good for beside its successor."""
LONGEST_GRACE_S = 90 * 86_400
LONGEST_NAME = 100
_LATEST_END = 253_370_764_800_000
"""The year 9999, after which times cannot be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key as somebody describes it."""

    name: str
    scopes: Collection[str] | None = None
    """None: all that a tenant's key, or a test key, usually has."""
    expires_at: int | None = None
    """Milliseconds since 1970; None: it does not end by itself."""
    test: bool = False
    """It reaches nobody but the simulator."""


@dataclass(frozen=True, slots=True)
class Giver:
    """Who makes and ends keys."""

    actor: str
    scopes: Collection[Scope] = tuple(Scope)
    """What they may do themselves; who has the command line may everything."""

    def may_give(self, scopes: Collection[Scope]) -> None:
        """Make sure that they have all of these.

        Raises:
            ScopeMissingError: they have not.
        """
        if lacking := [scope for scope in scopes if scope not in self.scopes]:
            raise ScopeMissingError(lacking, self.scopes)


def create(
    connection: Connection, tenant_id: int, new: NewKey, *, giver: Giver
) -> tuple[AnyRow, str]:
    """Make a key for a tenant; its secret is returned here and kept nowhere.

    Raises:
        NotFoundError: there is no such tenant.
        InvalidInputError: with what is wrong with the description.
        ScopeMissingError: the giver has not all that the key would have.
    """
    tenants.get(connection, tenant_id)
    name = new.name.strip()
    if not 0 < len(name) <= LONGEST_NAME:
        raise InvalidInputError.of("name", f"must have 1 to {LONGEST_NAME} characters")
    usual = OF_A_TEST_KEY if new.test else OF_A_TENANT
    scopes = read_scopes(usual if new.scopes is None else new.scopes, test=new.test)
    giver.may_give(scopes)
    if new.expires_at is not None:
        _refuse_end(connection, new.expires_at)
    return tenants.create_key(
        connection,
        tenant_id,
        name=name,
        scopes=scopes,
        test=new.test,
        expires_at=new.expires_at,
        actor=giver.actor,
    )


def _refuse_end(connection: Connection, at: int) -> None:
    if at <= now(connection):
        raise InvalidInputError.of("expires_at", "is in the past")
    if at > _LATEST_END:
        raise InvalidInputError.of("expires_at", "is too far away")


def rotate(
    connection: Connection, tenant_id: int, key_id: int, *, grace_s: int, giver: Giver
) -> tuple[AnyRow, str]:
    """Make a key's successor: the same but for its secret. The key ends after ``grace_s``.

    Raises:
        NotFoundError: this tenant has no such key in force.
        ScopeMissingError: the giver has not all that the key has.
    """
    giver.may_give(_scopes(tenants.key_in_force(connection, tenant_id, key_id)))
    return tenants.rotate_key(
        connection, tenant_id, key_id, grace_ms=grace_s * 1000, actor=giver.actor
    )


def revoke(connection: Connection, tenant_id: int, key_id: int, *, giver: Giver) -> None:
    """End a key at once. Ending gives nobody anything, so the giver may end what they could not
    make; but not an admin's key, which is the installation's.

    Raises:
        NotFoundError: this tenant has no such key in force.
        ScopeMissingError: it is an admin's, and the giver is none.
    """
    scopes = _scopes(tenants.key_in_force(connection, tenant_id, key_id))
    giver.may_give([scope for scope in scopes if scope is Scope.ADMIN])
    tenants.revoke_key(connection, tenant_id, key_id, actor=giver.actor)


def _scopes(row: AnyRow) -> list[Scope]:
    return [Scope(name) for name in row.scopes]
