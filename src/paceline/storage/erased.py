"""People who were erased: all that is kept is a keyed hash of their number, by which it is known if
it comes again.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Text, bindparam, func, select, type_coerce

from paceline.storage.among import among
from paceline.storage.database import insert_new, now
from paceline.storage.schema import erased_numbers, tenants


def add(connection: Connection, tenant_id: int, digest: str) -> bool:
    """Note that somebody is erased; False: they were before."""
    row = {"tenant_id": tenant_id, "digest": digest, "created_at": now(connection)}
    return insert_new(connection, erased_numbers, [row]) > 0


def count(connection: Connection, tenant_id: int) -> int:
    """How many people of a tenant are erased."""
    found: int = connection.execute(_COUNT, {"tenant": tenant_id}).scalar_one()
    return found


def any_of(connection: Connection, tenant_id: int) -> bool:
    """Whether anybody of a tenant is erased: mostly not, and then no hash has to be made."""
    return connection.execute(_ANY, {"tenant": tenant_id}).first() is not None


def known(connection: Connection, tenant_id: int, digests: Sequence[str]) -> set[str]:
    """Which of these are of erased people."""
    return set(connection.execute(_KNOWN, {"tenant": tenant_id, "digests": digests}).scalars())


def hold(connection: Connection, tenant_id: int) -> None:
    """Keep the tenant's erasures waiting until this transaction is over, and nothing else: what it
    makes is there for the next one to erase.
    """
    connection.execute(_HOLD, {"tenant": tenant_id})


_OF_TENANT = erased_numbers.c.tenant_id == bindparam("tenant")
_COUNT = select(func.count()).select_from(erased_numbers).where(_OF_TENANT)
_ANY = select(erased_numbers.c.digest).where(_OF_TENANT).limit(1)
_KNOWN = select(erased_numbers.c.digest).where(
    _OF_TENANT, among(type_coerce(erased_numbers.c.digest, Text), "digests")
)
_HOLD = (
    select(tenants.c.id)
    .where(tenants.c.id == bindparam("tenant"))
    .with_for_update(read=True, key_share=True)
)
