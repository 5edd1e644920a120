"""What is due now and then: each is a row in the database that any worker can take."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from paceline.clock import Clock
from paceline.domain.errors import (
    EmptyAudienceError,
    NotFoundError,
    TooLateError,
    WrongStateError,
)
from paceline.engine.rules import Rules
from paceline.storage import (
    accounts,
    campaigns,
    doubt,
    frequency,
    idempotency,
    import_history,
    imports,
    launches,
    outcomes,
    provider_messages,
    receipts,
)
from paceline.storage.database import Database
from paceline.storage.launches import Launched, LaunchStoppedError
from paceline.storage.provider_messages import INDEX_AT_ONCE
from paceline.telemetry import get_logger

log = get_logger("chores")

_FORGET_EVERY = 1000
"""Rounds between two looks for what can be forgotten."""
_STALE_IMPORT_MS = 6 * 3_600_000
"""An import that is older than this has died; no running one takes hours."""
_INDEX_AT_REST_S = 1.0
_INDEX_UNDER_LOAD_S = 30.0
"""Nobody misses the index before a receipt comes, and that has it done at once: so it is done when
the worker has its hands free, or has had them full for this long."""
_FOLD_AGAIN_S = 0.1
"""A pause between folds while receipts come: the more a fold takes, the less each one costs."""
_LAUNCH_YIELDS = 2
"""While receipts come, a launch pauses for so many times as long as its last chunk took."""


class Chores:
    """Scheduled starts, launch chunks, cancellations, expired leases and receipts."""

    def __init__(
        self,
        database: Database,
        rules: Rules,
        clock: Clock,
        *,
        wake: Callable[[], None],
        at_rest: Callable[[], bool],
    ) -> None:
        """Chores of one process.

        Args:
            database: where they are.
            rules: leases and batch sizes.
            clock: for waiting, and how long things took.
            wake: there is something to send.
            at_rest: nothing is being sent just now.
        """
        self.database = database
        self.rules = rules
        self._wake = wake
        self._clock = clock
        self._at_rest = at_rest
        self._indexed_at = clock.monotonic()
        self._rounds = 0
        self._receipts_come = False

    async def round(self) -> None:
        """Do everything that is due."""
        await self.tidy()
        await self.launch()
        await self.index_answers()
        await self.fold_receipts()

    async def tidy(self) -> None:
        """The short chores; the long ones (launches, receipts) must not keep them waiting."""
        await self.take_back_expired()
        await self.start_due_campaigns()
        await self.sweep_cancelled()
        await self.forget()

    async def take_back_expired(self) -> None:
        for batch_id in await self.database.read(doubt.expired):
            status = await self.database.write(outcomes.expire, batch_id, self.rules.policy_of)
            if status is not None:
                log.warning("lease_expired", batch_id=batch_id, status=str(status))
                self._wake()

    async def start_due_campaigns(self) -> None:
        for campaign_id in await self.database.read(campaigns.due):
            try:
                became = await self.database.write(self._start, campaign_id)
            except (WrongStateError, NotFoundError):
                continue  # somebody else was there first
            if became is None:
                continue
            if isinstance(became, Launched):
                log.info("campaign_started", campaign_id=campaign_id, created=became.created)
            else:
                log.warning("campaign_failed", campaign_id=campaign_id, error=str(became))
            self._wake()

    def _start(
        self, connection: Connection, campaign_id: int
    ) -> Launched | EmptyAudienceError | TooLateError | None:
        """Start a campaign whose time has come, or fail it for what is returned. None: since it was
        found, somebody has taken it off the schedule or given it another time.
        """
        campaign = launches.lock_to_start(connection, None, campaign_id)
        if not campaigns.is_due(connection, campaign):
            return None
        batch_size = self.rules.batch_size_on(accounts.of_campaign(connection, campaign_id))
        try:
            return launches.start(
                connection, None, campaign_id, batch_size=batch_size, chunk=self.rules.launch_chunk
            )
        except (EmptyAudienceError, TooLateError) as error:  # nothing has been written yet
            campaigns.fail(connection, campaign_id, str(error))
            return error

    async def launch(self) -> None:
        for campaign_id in await self.database.read(launches.under_way):
            try:
                while chunk := await self._write_chunk(campaign_id):
                    self._wake()
                    if chunk.finished:
                        log.info("campaign_launched", campaign_id=campaign_id)
                        break
            except LaunchStoppedError:
                log.info("launch_stopped", campaign_id=campaign_id)

    async def _write_chunk(self, campaign_id: int) -> Launched | None:
        began = self._clock.monotonic()
        chunk = await self.database.write(
            launches.write_chunk, campaign_id, chunk=self.rules.launch_chunk
        )
        if self._receipts_come:
            # A provider waits for each of its receipts to be committed; a launch has time.
            await self._clock.sleep(_LAUNCH_YIELDS * (self._clock.monotonic() - began))
        return chunk

    async def sweep_cancelled(self) -> None:
        for campaign_id in await self.database.read(campaigns.cancelled_with_queue):
            while await self.database.write(campaigns.sweep_cancelled, campaign_id):
                pass

    async def index_answers(self) -> float:
        """Index what providers call our messages, unless sending goes first; return in how many
        seconds to look again.
        """
        waited_s = self._clock.monotonic() - self._indexed_at
        if self._at_rest() or waited_s > _INDEX_UNDER_LOAD_S:
            while await self.database.write(provider_messages.index) >= INDEX_AT_ONCE:
                pass
            self._indexed_at = self._clock.monotonic()
        return _INDEX_AT_REST_S

    async def fold_receipts(self) -> float | None:
        """Empty the inbox; return in how many seconds to look again if receipts are coming in."""
        busy = False
        while True:
            folded = await self.database.write(receipts.fold)
            if folded.dropped:
                log.warning("receipts_dropped", count=folded.dropped)
            busy = busy or folded.matched > 0
            if folded.taken < receipts.FOLD_AT_ONCE:
                self._receipts_come = busy
                return _FOLD_AGAIN_S if busy else None

    async def forget(self) -> None:
        """Now and then remove what nobody will ask for any more."""
        if self._rounds % _FORGET_EVERY == 0:
            await self.database.write(imports.forget_stale, older_than_ms=_STALE_IMPORT_MS)
            await self.database.write(idempotency.forget_old)
            while await self.database.write(import_history.forget_old):
                pass
            while await self.database.write(frequency.forget_old) >= frequency.FORGET_AT_ONCE:
                pass
        self._rounds += 1
