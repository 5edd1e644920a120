"""Undoing an import: transaction after transaction, until nothing of it is left to look at."""

from __future__ import annotations

from sqlalchemy import Connection

from paceline.storage import audit_log, undoing
from paceline.storage.database import Database
from paceline.storage.undoing import Undone


async def undo_import(database: Database, tenant_id: int, which: int, *, actor: str) -> Undone:
    """Undo an import, or the rest of one whose undoing broke off. Each part is in the audit log.

    Raises:
        NotFoundError: this tenant has no such import.
        ConflictError: it is undone, or too old for that.
    """
    whole = Undone()
    while not whole.finished:
        some = await database.write(_undo_some, tenant_id, which, actor)
        whole.removed += some.removed
        whole.restored += some.restored
        whole.left_alone += some.left_alone
        whole.finished = some.finished
    return whole


def _undo_some(connection: Connection, tenant_id: int, which: int, actor: str) -> Undone:
    undone = undoing.undo_some(connection, tenant_id, which)
    audit_log.write(
        connection,
        tenant_id=tenant_id,
        actor=actor,
        action="import.undo",
        subject=f"import {which}",
        removed=undone.removed,
        restored=undone.restored,
        left_alone=undone.left_alone.total(),
    )
    return undone
