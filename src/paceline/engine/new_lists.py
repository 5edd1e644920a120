"""Lists that are made for what is put on them, and are not left behind empty if that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

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
    async with gone_if_it_stays_empty(database, tenant_id, made.id):
        yield made.id


@asynccontextmanager
async def gone_if_it_stays_empty(
    database: Database, tenant_id: int, list_id: int
) -> AsyncIterator[None]:
    """Remove a new list if what is to fill it fails before it has put anything there. Somebody else
    may have taken it away, or made use of it, meanwhile.
    """
    try:
        yield
    except BaseException:
        with suppress(NotFoundError, ConflictError, DatabaseUnreachableError):
            await asyncio.shield(database.write(lists.remove_empty, tenant_id, list_id))
        raise
