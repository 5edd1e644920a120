"""Undoing an import: transaction after transaction, until nothing of it is left to look at."""

from __future__ import annotations

from sqlalchemy import Connection

from paceline.storage import audit_log, undoing
from paceline.storage.database import Database
from paceline.storage.undoing import Undone


async def undo_import(database: Database, tenant_id: int, which: int, *, actor: str) -> Undone:
    """Undo an import, or the rest of one whose undoing broke off.

    Raises:
        NotFoundError: this tenant has no such import.
        ConflictError: it is undone, or too old for that.
    """
    whole = Undone()
    while not whole.finished:
        some = await database.write(undoing.undo_some, tenant_id, which)
        whole.removed += some.removed
        whole.restored += some.restored
        whole.left_alone += some.left_alone
        whole.finished = some.finished
    await database.write(_note, tenant_id, which, whole, actor)
    return whole


def _note(connection: Connection, tenant_id: int, which: int, undone: Undone, actor: str) -> None:
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
