"""A tenant's blocks on numbers.

Adding one takes the tenant's lock and raises the tenant's count of opt-outs, the same lock that an
intent takes: the two are in order, and the intent need only compare a number.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select, update

from paceline.domain.errors import InvalidInputError, NotFoundError
from paceline.storage.database import AnyRow, insert_new, now
from paceline.storage.schema import suppressions, tenants


def add(connection: Connection, tenant_id: int, phones: Sequence[str], reason: str) -> int:
    """Suppress these numbers (E.164); return how many were not suppressed before.

    A number that is suppressed already keeps its first reason.
    """
    seq = connection.execute(
        update(tenants)
        .where(tenants.c.id == tenant_id)
        .values(opt_outs=tenants.c.opt_outs + 1)
        .returning(tenants.c.opt_outs)
    ).scalar_one()
    at = now(connection)
    return insert_new(
        connection,
        suppressions,
        [
            {
                "tenant_id": tenant_id,
                "phone": phone,
                "reason": reason,
                "seq": seq,
                "created_at": at,
            }
            for phone in sorted(set(phones))
        ],
    )


def remove(connection: Connection, tenant_id: int, phone: str) -> None:
    """End a suppression.

    Raises:
        NotFoundError: the number is not suppressed for this tenant.
    """
    removed = connection.execute(
        delete(suppressions).where(
            suppressions.c.tenant_id == tenant_id, suppressions.c.phone == phone
        )
    )
    if removed.rowcount == 0:
        raise NotFoundError("suppression of", phone)


def page(connection: Connection, tenant_id: int, *, after: str, limit: int) -> list[AnyRow]:
    """Suppressions by number, from the one behind ``after`` on."""
    return list(
        connection.execute(
            select(suppressions)
            .where(suppressions.c.tenant_id == tenant_id, suppressions.c.phone > after)
            .order_by(suppressions.c.phone)
            .limit(limit)
        )
    )


def refuse(connection: Connection, tenant_id: int, phone: str) -> None:
    """Say no to a number that is suppressed.

    Raises:
        InvalidInputError: it is, with the reason.
    """
    row = connection.execute(
        select(suppressions.c.reason).where(
            suppressions.c.tenant_id == tenant_id, suppressions.c.phone == phone
        )
    ).first()
    if row is not None:
        raise InvalidInputError.of("to", f"this number is suppressed ({row.reason})")
