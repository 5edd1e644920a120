"""Who changed what, and when: written in the transaction of the change, and only ever added to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select

from paceline.storage.database import AnyRow, now
from paceline.storage.schema import audit_log

SYSTEM = "paceline"
"""The actor of what Paceline does by itself."""
RECIPIENT = "recipient"
"""Who replied, or followed an opt-out link. The number is not written down here."""
PROVIDER = "provider"


def write(
    connection: Connection,
    *,
    tenant_id: int | None,
    actor: str,
    action: str,
    subject: str,
    **detail: Any,
) -> None:
    """Add a row.

    Args:
        connection: of the write transaction that makes the change.
        tenant_id: whose the changed thing is; None: the installation's.
        actor: one of the constants above, ``key 7 (name)`` or ``cli user@host``.
        action: what was done, ``thing.verb``, such as ``unconfirmed.resend``.
        subject: to what, such as ``campaign 12``; no number, no text, no secret.
        detail: what else is worth knowing, as JSON; the same holds for it.
    """
    connection.execute(
        insert(audit_log),
        {
            "tenant_id": tenant_id,
            "actor": actor[:200],
            "action": action,
            "subject": subject[:200],
            "detail": detail,
            "at": now(connection),
        },
    )


def page(
    connection: Connection, tenant_id: int | None, *, before: int | None = None, limit: int = 50
) -> list[AnyRow]:
    """A tenant's rows, newest first, from the one before ``before`` on; None: everybody's, and the
    installation's.
    """
    query = select(audit_log)
    if tenant_id is not None:
        query = query.where(audit_log.c.tenant_id == tenant_id)
    if before is not None:
        query = query.where(audit_log.c.id < before)
    return list(connection.execute(query.order_by(audit_log.c.id.desc()).limit(limit)))
