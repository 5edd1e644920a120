"""Writing together what arrives together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from paceline.storage.database import DatabaseUnreachableError
from paceline.telemetry import get_logger

log = get_logger("together")

Wanted = TypeVar("Wanted")
Given = TypeVar("Given")


class Together(Generic[Wanted, Given]):
    """Gathers what several tasks want while the transaction for those before them is under way.

    All intents of an account need one row's lock and so come one after another, and so do all
    records of a campaign. Gathered, the next transaction serves everybody who waits: under load it
    costs hardly more than for one.

    Args:
        write: one transaction that serves all of a list, and gives what came of each.
        gather_s: the first of a key waits so long for company.
    """

    def __init__(
        self, write: Callable[[list[Wanted]], Awaitable[list[Given]]], *, gather_s: float = 0.0
    ) -> None:
        self._write = write
        self._gather_s = gather_s
        self._waiting: dict[Hashable, list[tuple[Wanted, asyncio.Future[Given]]]] = {}
        """By key; there while a transaction of the key is under way."""
        self._serving: set[asyncio.Task[None]] = set()

    async def write(self, key: Hashable, wanted: Wanted) -> Given:
        """Have this written with what else is wanted under the same key; whatever the transaction
        raises is raised here.
        """
        given: asyncio.Future[Given] = asyncio.get_running_loop().create_future()
        if key in self._waiting:
            self._waiting[key].append((wanted, given))
        else:
            self._waiting[key] = [(wanted, given)]
            task = asyncio.create_task(self._serve(key))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        return await given

    async def _serve(self, key: Hashable) -> None:
        if self._gather_s:
            await asyncio.sleep(self._gather_s)
        while together := self._waiting[key]:
            self._waiting[key] = []
            await self._serve_all(together)
        del self._waiting[key]

    async def _serve_all(self, together: list[tuple[Wanted, asyncio.Future[Given]]]) -> None:
        try:
            given = await self._write([wanted for wanted, _ in together])
        except Exception as error:  # noqa: BLE001 - it is raised again where it was wanted
            if len(together) == 1 or isinstance(error, DatabaseUnreachableError):
                for _, future in together:
                    _settle(future, error)
                return
            # Nothing was written. One of them is at fault, and the others must not share its fate.
            log.warning("written_one_by_one", together=len(together), error=type(error).__name__)
            for each in together:
                await self._serve_all([each])
        else:
            for (_, future), result in zip(together, given, strict=True):
                _settle(future, result)


def _settle(future: asyncio.Future[Given], given: Given | Exception) -> None:
    if future.cancelled():  # whoever wanted it was given up
        return
    if isinstance(given, Exception):
        future.set_exception(given)
    else:
        future.set_result(given)
