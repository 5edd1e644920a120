"""Delivery receipts: what became of each message, posted to the customer's webhook."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import UNSET, UnsetType

from paceline.simulator.moments import wall_time
from paceline.simulator.posting import Posted, post, session
from paceline.simulator.wire import encode

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    import aiohttp

    from paceline.simulator.controls import Receipts
    from paceline.simulator.log import Acceptance, Log
    from paceline.simulator.seeded import Dice

RECEIPTS_PER_POST = 100

DeliveryStatus = Literal["Sent", "Delivered", "Failure"]


class Receipt(msgspec.Struct, rename="camel", gc=False, omit_defaults=True):
    """Mitto's shape; `reference` only if the controls ask for it."""

    message_id: str
    delivery_status: DeliveryStatus
    updated_at: datetime
    reference: str | UnsetType | None = UNSET


class Tally(msgspec.Struct):
    """Receipts (not posts) that wait for delivery, were answered 2xx, or were given up.

    While `delay_ms` runs, an accepted message counts as one receipt, whatever it will get.
    """

    waiting: int = 0
    delivered: int = 0
    abandoned: int = 0


def final_status(dice: Dice, receipts: Receipts | None, number: int) -> DeliveryStatus:
    """How delivery of the acceptance with this number ends."""
    failing = receipts is not None and dice.roll("undelivered", number) < receipts.fail_share
    return "Failure" if failing else "Delivered"


def write_receipts(
    dice: Dice, settings: Receipts, acceptances: Sequence[Acceptance], now_ns: int
) -> list[Receipt]:
    """All receipts of one call: the intermediate ones first, unless the order is shuffled."""
    final_at = wall_time(now_ns)

    def receipt(acceptance: Acceptance, status: DeliveryStatus, at: datetime) -> Receipt:
        reference = acceptance.reference if settings.echo_reference else UNSET
        return Receipt(acceptance.message_id, status, at, reference)

    written = []
    if settings.intermediate:
        written += [receipt(a, "Sent", wall_time(a.received_ns)) for a in acceptances]
    for acceptance in acceptances:
        number = acceptance.number
        final = receipt(acceptance, final_status(dice, settings, number), final_at)
        written.append(final)
        if dice.roll("duplicate", number) < settings.duplicate_share:
            written.append(final)
    if settings.shuffle:
        return _shuffled(dice, written)
    return written


def _shuffled(dice: Dice, written: list[Receipt]) -> list[Receipt]:
    points = [
        dice.roll("shuffle", f"{place}/{receipt.message_id}")
        for place, receipt in enumerate(written)
    ]
    return [written[place] for place in sorted(range(len(written)), key=points.__getitem__)]


class ReceiptPoster:
    """Posts receipts, for as long as the backoff lasts; those that are refused are abandoned."""

    def __init__(self, dice: Dice, backoff_s: Sequence[float]) -> None:
        self._dice = dice
        self._backoff_s = backoff_s
        self._session: aiohttp.ClientSession | None = None
        self._background: set[asyncio.Task[None]] = set()
        self.tally = Tally()

    async def open(self) -> None:
        self._session = session()

    async def close(self) -> None:
        """Stop posting; what still waits is lost, as when a provider goes away."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def announce(self, settings: Receipts, log: Log, position: int) -> None:
        """Post the receipts of one call; returns at once unless they go before the answer.

        Even then only the first try of each post is waited for.
        """
        self.tally.waiting += log.call_at(position).accepted
        if settings.before_answer:
            await self._post_all(settings, log, position)
        else:
            self._start(self._post_all(settings, log, position))

    async def _post_all(self, settings: Receipts, log: Log, position: int) -> None:
        await asyncio.sleep(settings.delay_ms / 1000)
        acceptances = log.acceptances_of(position)
        receipts = write_receipts(self._dice, settings, acceptances, time.monotonic_ns())
        self.tally.waiting += len(receipts) - len(acceptances)
        for start in range(0, len(receipts), RECEIPTS_PER_POST):
            together = receipts[start : start + RECEIPTS_PER_POST]
            if not await self._settled(settings.url, together):
                self._start(self._post_again(settings.url, together))

    async def _post_again(self, url: str, receipts: list[Receipt]) -> None:
        for wait_s in self._backoff_s:
            await asyncio.sleep(wait_s)
            if await self._settled(url, receipts):
                return
        self._settle(len(receipts), delivered=False)

    async def _settled(self, url: str, receipts: list[Receipt]) -> bool:
        """Try one post; False if it has to be tried again."""
        assert self._session is not None, "open() comes first"  # noqa: S101 -- for mypy
        posted = await post(self._session, url, encode(receipts))
        if posted is Posted.AGAIN:
            return False
        self._settle(len(receipts), delivered=posted is Posted.DELIVERED)
        return True

    def _settle(self, count: int, *, delivered: bool) -> None:
        self.tally.waiting -= count
        if delivered:
            self.tally.delivered += count
        else:
            self.tally.abandoned += count

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
