"""Replies: what people send to us, posted to the customer's webhook for inbound messages."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from paceline.simulator.moments import wall_ms
from paceline.simulator.posting import Posted, post, session
from paceline.simulator.wire import NonEmpty, encode, refused_when_unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import aiohttp

    from paceline.simulator.seeded import Identifiers


class _Written(msgspec.Struct, rename={"sender": "from"}):
    """What one person writes, and to which number or name."""

    sender: NonEmpty
    to: NonEmpty
    text: str


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """Replies to post to `url`: one after the other, or `per_second` of them, however long each
    takes to be answered.
    """

    url: Annotated[str, Meta(pattern=r"^https?://")]
    replies: Annotated[list[_Written], Meta(min_length=1)]
    per_second: Annotated[float, Meta(gt=0)] | None = None


class _Posting(msgspec.Struct, rename={"message_id": "messageId", "sender": "from"}):
    """A reply as the webhook gets it."""

    message_id: str
    sender: str
    to: str
    text: str


class Delivery(msgspec.Struct, rename={"sender": "from"}):
    """What became of one reply.

    `posted_ns` is when it was first tried and `answered_ns` when an answer ended that, a 2xx if it
    was `delivered`, both monotonic; `answered_at` is the latter in milliseconds since 1970.
    """

    message_id: str
    sender: str
    posted_ns: int
    answered_ns: int
    answered_at: int
    delivered: bool
    tries: int


_read_order = msgspec.json.Decoder(Order).decode


def read_order(document: bytes) -> Order:
    """Decode an order.

    Raises:
        Refusal: 400 naming the field at fault.
    """
    with refused_when_unreadable():
        return _read_order(document)


class ReplyPoster:
    """Posts replies, each under an id that stays the same however often it is posted."""

    def __init__(self, identifiers: Identifiers, backoff_s: Sequence[float]) -> None:
        self._identifiers = identifiers
        self._backoff_s = backoff_s
        self._count = 0
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._session = session()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def carry_out(self, order: Order) -> list[Delivery]:
        """Post the replies; return what became of each, in their order."""
        if order.per_second is None:
            return [await self._deliver(order.url, written) for written in order.replies]
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            under_way = []
            for place, written in enumerate(order.replies):
                due = started + place / order.per_second
                await asyncio.sleep(max(due - time.monotonic(), 0))
                under_way.append(group.create_task(self._deliver(order.url, written)))
        return [each.result() for each in under_way]

    async def _deliver(self, url: str, written: _Written) -> Delivery:
        """Post one reply until it is delivered, refused or given up."""
        assert self._session is not None, "open() comes first"  # noqa: S101 -- for mypy
        self._count += 1
        message_id = self._identifiers.reply(self._count)
        body = encode(_Posting(message_id, written.sender, written.to, written.text))
        posted_ns = time.monotonic_ns()
        tries, posted = 1, await post(self._session, url, body)
        for wait_s in self._backoff_s:
            if posted is not Posted.AGAIN:
                break
            await asyncio.sleep(wait_s)
            tries, posted = tries + 1, await post(self._session, url, body)
        answered_ns = time.monotonic_ns()
        return Delivery(
            message_id=message_id,
            sender=written.sender,
            posted_ns=posted_ns,
            answered_ns=answered_ns,
            answered_at=wall_ms(answered_ns),
            delivered=posted is Posted.DELIVERED,
            tries=tries,
        )
