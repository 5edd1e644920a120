"""Lists that are made for what is put on them, and are not left behind empty if that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy import Connection

from paceline.domain.errors import ConflictError, NotFoundError
from paceline.storage import lists
from paceline.storage.database import Database, DatabaseUnreachableError


@asynccontextmanager
async def new_list(database: Database, tenant_id: int, name: str) -> AsyncIterator[int]:
    """Make a list; give its id to what fills it. If that fails, the list goes again.

    Raises:
        ConflictError: the tenant has a list of this name.
    """
    made = await database.write(lists.create, tenant_id, name=name)
    try:
        yield made.id
    except BaseException:
        # Somebody may have taken it away, or made use of it, meanwhile.
        with suppress(NotFoundError, ConflictError, DatabaseUnreachableError):
            await asyncio.shield(database.write(_remove_empty, tenant_id, made.id))
        raise


def _remove_empty(connection: Connection, tenant_id: int, list_id: int) -> None:
    if lists.get(connection, tenant_id, list_id).contacts == 0:
        lists.remove(connection, tenant_id, list_id)
