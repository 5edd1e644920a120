"""Webhooks to tenants' own servers: events are delivered at least once, signed, and tried again.

The deliveries of an endpoint are made in the order in which they were written, two at a time, as
far as failures allow: a delivery that failed waits for its next try while others pass it. What was
delivered is recorded after that, so a worker that is killed in between leaves deliveries that are
made again; the event's id, which is the same, shows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Self

from paceline.clock import Clock
from paceline.domain.webhook_event import signature
from paceline.engine.posting import TIMEOUT_S, Poster
from paceline.settings import Settings
from paceline.storage import webhook_deliveries, webhook_events
from paceline.storage.database import Database
from paceline.storage.sealing import Sealer, SecretError, sealer_of
from paceline.storage.webhook_deliveries import TAKEN_AT_ONCE, Delivery, Tried
from paceline.telemetry import get_logger

log = get_logger("outbound")

ENDPOINTS_AT_ONCE = 5
POSTS_PER_ENDPOINT = 2
LEASE_MS = round(2 * 1000 * TIMEOUT_S * TAKEN_AT_ONCE / POSTS_PER_ENDPOINT)
"""Twice as long as the slowest endpoint takes: a lease that runs out is a second delivery."""
REST_S = 5.0
"""An endpoint that has just failed is left alone so long, whatever else is due for it."""
_WAIT_S = 0.5
_LOOK_FOR_COMPLETED_S = 1.0
_COMPLETED_LATELY_MS = 10 * 60_000
_COMPLETED_BEFORE_US_MS = 24 * 3_600_000
"""How far back the first look of a process goes: a decision on the command line can complete a
campaign while no worker runs."""
_FORGET_S = 600.0
KEPT_MS = 30 * 24 * 3_600_000
"""Events can be replayed for thirty days."""


class Deliveries:
    """Makes the deliveries that are due, in a loop of the worker.

    Args:
        database: where they are.
        sealer: opens the secrets of endpoints.
        clock: the time that requests are stamped with.
        poster: makes the requests; closed with this.
    """

    def __init__(self, database: Database, sealer: Sealer, clock: Clock, poster: Poster) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self._poster = poster
        self._serving: dict[int, asyncio.Task[None]] = {}
        """By endpoint."""
        self._resting: dict[int, float] = {}
        """Endpoint → until when, on the monotonic clock."""
        self._next_look = self._next_forget = clock.monotonic()
        self._within_ms = _COMPLETED_BEFORE_US_MS

    @classmethod
    def of(cls, database: Database, settings: Settings, clock: Clock) -> Self:
        """As the settings say.

        Raises:
            SecretError: there is no secret to open those of endpoints with.
        """
        poster = Poster(allow_private=settings.webhook_allow_private)
        return cls(database, sealer_of(settings), clock, poster)

    async def step(self) -> float | None:
        """Begin the deliveries that are due, and wait a moment for some to end.

        Returns:
            In how many seconds to look again; None: there is nothing to do.

        Raises:
            DatabaseUnreachableError: as it says.
        """
        await self._tell_of_completed()
        await self._forget()
        served = bool(self._serving)
        began = await self._begin()
        if not self._serving:  # an endpoint that was busy as we looked may have more that is due
            return 0.0 if served or began else None
        if not began:
            await asyncio.wait(
                self._serving.values(), timeout=_WAIT_S, return_when=asyncio.FIRST_COMPLETED
            )
        return 0.0

    async def aclose(self) -> None:
        """Give up what is under way: it is delivered again when its lease ends."""
        serving = list(self._serving.values())
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await self._poster.aclose()

    async def _begin(self) -> bool:
        """Take deliveries for as many endpoints as can be served beside those that are."""
        free = ENDPOINTS_AT_ONCE - len(self._serving)
        if free <= 0:
            return False
        at = self._clock.monotonic()
        self._resting = {each: until for each, until in self._resting.items() if until > at}
        busy = {*self._serving, *self._resting}
        due = await self._database.read(webhook_deliveries.due, busy=busy, most=free)
        for ids in due:
            taken = await self._database.write(webhook_deliveries.take, ids, lease_ms=LEASE_MS)
            if taken:
                self._serve(taken[0].endpoint_id, taken)
        return bool(due)

    def _serve(self, endpoint_id: int, taken: Sequence[Delivery]) -> None:
        def done(task: asyncio.Task[None]) -> None:
            del self._serving[endpoint_id]
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error(
                    "delivering_failed",
                    endpoint_id=endpoint_id,
                    error=f"{type(error).__name__}: {error}",
                )

        task = asyncio.create_task(self._deliver(endpoint_id, taken))
        self._serving[endpoint_id] = task
        task.add_done_callback(done)

    async def _deliver(self, endpoint_id: int, taken: Sequence[Delivery]) -> None:
        """Make deliveries to one endpoint until one fails, and record what came of them."""
        queue = iter(taken)
        tried: list[Tried] = []
        await asyncio.gather(*(self._post_each(queue, tried) for _ in range(POSTS_PER_ENDPOINT)))
        failed = [each for each in tried if each.error is not None]
        if failed:
            rest_s = max(REST_S, *((each.retry_after_ms or 0) / 1000 for each in failed))
            self._resting[endpoint_id] = self._clock.monotonic() + rest_s
            log.warning(
                "delivery_failed",
                endpoint_id=endpoint_id,
                status=failed[0].http_status,
                error=failed[0].error,
            )
        untried = [each.id for each in queue]
        if await self._database.write(webhook_deliveries.record, tried, untried):
            log.warning("endpoint_disabled", endpoint_id=endpoint_id)

    async def _post_each(self, queue: Iterator[Delivery], tried: list[Tried]) -> None:
        for delivery in queue:
            tried.append(await self._post(delivery))
            if any(each.error is not None for each in tried):
                return

    async def _post(self, delivery: Delivery) -> Tried:
        body = delivery.payload.encode()
        timestamp_s = self._clock.now_ms() // 1000
        try:
            secret = self._sealer.open(delivery.secret)
        except SecretError as error:
            return Tried(delivery, None, error.message)
        signed = {
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": signature(secret, delivery.event_id, timestamp_s, body),
        }
        answer = await self._poster.post(delivery.url, signed, body)
        if answer.status is None:
            return Tried(delivery, None, answer.error)
        if answer.status // 100 == 2:  # noqa: PLR2004 - the class of statuses that mean success
            return Tried(delivery, answer.status)
        return Tried(delivery, answer.status, f"HTTP {answer.status}", answer.retry_after_ms)

    async def _tell_of_completed(self) -> None:
        if self._clock.monotonic() < self._next_look:
            return
        for campaign_id in await self._database.read(
            webhook_events.completed, within_ms=self._within_ms
        ):
            await self._database.write(webhook_events.complete, campaign_id)
        self._within_ms = _COMPLETED_LATELY_MS
        self._next_look = self._clock.monotonic() + _LOOK_FOR_COMPLETED_S

    async def _forget(self) -> None:
        """Now and then remove events that are too old to be replayed."""
        if self._clock.monotonic() < self._next_forget:
            return
        while (
            await self._database.write(webhook_events.forget, older_than_ms=KEPT_MS)
            >= webhook_events.FORGET_AT_ONCE
        ):
            pass
        self._next_forget = self._clock.monotonic() + _FORGET_S
