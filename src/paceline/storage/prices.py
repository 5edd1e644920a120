"""A tenant's price table: what a part costs, by how the number begins."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, text

from paceline.domain.cost import Price, PriceTable
from paceline.storage import audit_log
from paceline.storage.database import is_postgres
from paceline.storage.schema import prices


def replace(
    connection: Connection,
    tenant_id: int,
    table: Sequence[Price],
    *,
    actor: str = audit_log.SYSTEM,
) -> int:
    """Put these prices in the place of all that the tenant had; return how many they are.

    Args:
        connection: of a write transaction.
        tenant_id: whose they are.
        table: each prefix once.
        actor: who does it, for the audit log.
    """
    if is_postgres(connection):  # or of two at once, each would leave the other's prices there
        connection.execute(_ONE_AT_A_TIME)
    connection.execute(delete(prices).where(prices.c.tenant_id == tenant_id))
    if table:
        connection.execute(
            insert(prices),
            [
                {
                    "tenant_id": tenant_id,
                    "prefix": each.prefix,
                    "price": each.millionths,
                    "currency": each.currency,
                }
                for each in table
            ],
        )
    audit_log.write(
        connection,
        tenant_id=tenant_id,
        actor=actor,
        action="prices.import",
        subject="prices",
        prices=len(table),
    )
    return len(table)


def page(connection: Connection, tenant_id: int, *, after: str = "", limit: int) -> list[Price]:
    """Prices by prefix, from the one behind ``after`` on."""
    rows = connection.execute(
        select(prices.c.prefix, prices.c.price, prices.c.currency)
        .where(prices.c.tenant_id == tenant_id, prices.c.prefix > after)
        .order_by(prices.c.prefix)
        .limit(limit)
    )
    return [Price(*row) for row in rows]


def table(connection: Connection, tenant_id: int) -> PriceTable:
    """All of a tenant's prices, to look numbers up in."""
    rows = connection.execute(
        select(prices.c.prefix, prices.c.price, prices.c.currency).where(
            prices.c.tenant_id == tenant_id
        )
    )
    return PriceTable(Price(*row) for row in rows)


_ONE_AT_A_TIME = text("LOCK TABLE prices IN SHARE ROW EXCLUSIVE MODE")
"""Readers do not wait for it."""
