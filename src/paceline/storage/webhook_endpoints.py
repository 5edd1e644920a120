"""Webhook endpoints: where a tenant wants to be told what happens."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from paceline.domain.errors import ConflictError, NotFoundError
from paceline.domain.webhook_event import EventType
from paceline.storage.database import AnyRow, now
from paceline.storage.schema import webhook_deliveries, webhook_endpoints

MOST = 20
"""Endpoints of a tenant: each event is written once more for each that wants it."""
REMOVE_AT_ONCE = 5_000
"""Deliveries that one transaction of a removal takes."""


def add(
    connection: Connection, tenant_id: int, *, url: str, secret: str, events: Collection[EventType]
) -> AnyRow:
    """Make an endpoint.

    Args:
        connection: of a write transaction.
        tenant_id: whose it is.
        url: checked by the caller.
        secret: sealed.
        events: the types it wants.

    Raises:
        ConflictError: the tenant has as many as it may have.
    """
    count = connection.execute(
        select(func.count()).where(webhook_endpoints.c.tenant_id == tenant_id)
    ).scalar_one()
    if count >= MOST:
        raise ConflictError(f"There are {MOST} webhook endpoints, which is the most: remove one.")
    endpoint_id = connection.execute(
        insert(webhook_endpoints).returning(webhook_endpoints.c.id),
        {
            "tenant_id": tenant_id,
            "url": url,
            "secret": secret,
            "events": sorted(events),
            "created_at": now(connection),
        },
    ).scalar_one()
    return get(connection, tenant_id, endpoint_id)


def get(connection: Connection, tenant_id: int, endpoint_id: int) -> AnyRow:
    """One endpoint.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    row = connection.execute(select(webhook_endpoints).where(_is(tenant_id, endpoint_id))).first()
    if row is None:
        raise NotFoundError("webhook endpoint", endpoint_id)
    return row


def all_of(connection: Connection, tenant_id: int) -> list[AnyRow]:
    """A tenant's endpoints, oldest first."""
    return list(
        connection.execute(
            select(webhook_endpoints)
            .where(webhook_endpoints.c.tenant_id == tenant_id)
            .order_by(webhook_endpoints.c.id)
        )
    )


def change(
    connection: Connection, tenant_id: int, endpoint_id: int, values: Mapping[str, Any]
) -> AnyRow:
    """Change columns of an endpoint.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    if values:
        connection.execute(
            update(webhook_endpoints).where(_is(tenant_id, endpoint_id)).values(**values)
        )
    return get(connection, tenant_id, endpoint_id)


def disable(connection: Connection, endpoint_id: int, why: str) -> bool:
    """Tell an endpoint nothing more; False: it was disabled already."""
    return (
        connection.execute(
            update(webhook_endpoints)
            .where(webhook_endpoints.c.id == endpoint_id, webhook_endpoints.c.disabled_at.is_(None))
            .values(disabled_at=now(connection), disabled_why=why)
        ).rowcount
        > 0
    )


def remove(connection: Connection, tenant_id: int, endpoint_id: int) -> bool:
    """Remove a disabled endpoint and its deliveries, or some of them; say whether it is gone.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    get(connection, tenant_id, endpoint_id)
    some = (
        select(webhook_deliveries.c.id)
        .where(webhook_deliveries.c.endpoint_id == endpoint_id)
        .order_by(webhook_deliveries.c.id)
        .limit(REMOVE_AT_ONCE)
    )
    removed = connection.execute(
        delete(webhook_deliveries).where(webhook_deliveries.c.id.in_(some))
    ).rowcount
    if removed == REMOVE_AT_ONCE:
        return False
    connection.execute(delete(webhook_endpoints).where(_is(tenant_id, endpoint_id)))
    return True


def tenants_wanting(connection: Connection, types: Collection[EventType]) -> frozenset[int]:
    """Tenants with an enabled endpoint that wants an event of any of these types."""
    enabled = connection.execute(
        select(webhook_endpoints.c.tenant_id, webhook_endpoints.c.events).where(
            webhook_endpoints.c.disabled_at.is_(None)
        )
    )
    return frozenset(row.tenant_id for row in enabled if set(types) & set(row.events))


def _is(tenant_id: int, endpoint_id: int) -> ColumnElement[bool]:
    return (webhook_endpoints.c.id == endpoint_id) & (webhook_endpoints.c.tenant_id == tenant_id)
