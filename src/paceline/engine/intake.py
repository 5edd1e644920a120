"""Taking receipts in: what arrives while one commit is under way is kept by the next, together.

Being durable costs the database nearly the same for one receipt as for a hundred, so a group costs
each of them little.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from paceline.domain.errors import PacelineError
from paceline.storage import inbox
from paceline.storage.database import Database, DatabaseUnreachableError
from paceline.storage.inbox import InboxRow
from paceline.telemetry import get_logger

log = get_logger("intake")

_AT_ONCE = 1_000
"""Receipts in a group: it has to be short, or everybody waits for it."""
_GATHER_S = 0.003
"""From the first receipt to the commit of its group. Without it, each group's first would be kept
alone, and the commit's thread would contend with the event loop that takes the others in.
"""


class NotKeptError(PacelineError):
    """Receipts could not be kept; the provider has to send them again."""

    code = "receipts_not_kept"
    retryable = True


@dataclass(frozen=True, slots=True)
class _Arrival:
    """One request's receipts, and who waits for them to be safe."""

    account_id: int
    rows: Sequence[InboxRow]
    kept: asyncio.Future[None]


class Intake:
    """Keeps receipts in groups."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._arrived: list[_Arrival] = []
        self._keeping: asyncio.Task[None] | None = None

    async def keep(self, account_id: int, rows: Sequence[InboxRow]) -> None:
        """Return when the receipts are committed.

        Raises:
            NotKeptError: they are not, as far as we know.
        """
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrived.append(_Arrival(account_id, rows, kept))
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep_all())
        await kept

    async def _keep_all(self) -> None:
        """Commit group after group, until nobody waits."""
        try:
            await asyncio.sleep(_GATHER_S)
            while group := self._next_group():
                error = await self._commit(group)
                for each in group:
                    if each.kept.done():
                        continue  # its request was cancelled
                    if error is None:
                        each.kept.set_result(None)
                    else:
                        each.kept.set_exception(error)
                await asyncio.sleep(_GATHER_S)
        finally:
            self._keeping = None

    def _next_group(self) -> list[_Arrival]:
        """At least one request's receipts, whatever their number."""
        size = 0
        for position, each in enumerate(self._arrived):
            size += len(each.rows)
            if size > _AT_ONCE and position:
                group, self._arrived = self._arrived[:position], self._arrived[position:]
                return group
        group, self._arrived = self._arrived, []
        return group

    async def _commit(self, group: Iterable[_Arrival]) -> NotKeptError | None:
        try:
            await self._database.write(_put, group)
        except DatabaseUnreachableError as error:
            log.warning("database_unreachable", error=str(error))
        except Exception:
            log.exception("receipts_not_kept")
        else:
            return None
        return NotKeptError("The receipts could not be kept; send them again.")


def _put(connection: Connection, group: Iterable[_Arrival]) -> None:
    by_account: dict[int, list[InboxRow]] = defaultdict(list)
    for each in group:
        by_account[each.account_id] += each.rows
    for account_id, rows in by_account.items():
        inbox.put(connection, account_id, rows)
