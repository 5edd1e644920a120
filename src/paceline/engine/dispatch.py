"""One batch's way: render, pass the gate, submit, record.

A batch holds nothing until its intent is committed. From then on the call may have been made, so
whatever happens is recorded, and never leads to the call being made again but by a verdict.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from paceline.clock import Clock
from paceline.domain.errors import RateLimitExceeded
from paceline.domain.outcome import Outcome
from paceline.domain.verdict import Policy
from paceline.engine.adapters import Adapters
from paceline.engine.rendering import RenderedBatch, render
from paceline.engine.rules import Rules
from paceline.providers.base import PermitVoidError, PreparedCall
from paceline.storage import batches, intents, opt_outs, outcomes
from paceline.storage.batches import Attempt, LostReservationError, ReservedBatch
from paceline.storage.database import Database, DatabaseUnreachableError
from paceline.storage.intents import Gone, Intent, Stale, Wait
from paceline.storage.limits import Strategy
from paceline.storage.outcomes import Recorded
from paceline.storage.turns import LOOKAHEAD_MS
from paceline.telemetry import get_logger

log = get_logger("dispatch")
T = TypeVar("T")

_LONGEST_GATE_MS = 2 * LOOKAHEAD_MS
"""Who would wait longer than this at the gate goes back, so that other lanes can use the place."""
_RECORD_PAUSES_S = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)
_RECORD_TRIES_ON_A_BUG = 3


class Dispatcher:
    """Sends batches for one worker.

    Args:
        database: where batches come from.
        rules: how to pace, retry and doubt.
        adapters: the providers.
        clock: for waiting, and for the life of a permit.
        name: who writes the attempts.
    """

    def __init__(
        self, database: Database, rules: Rules, adapters: Adapters, clock: Clock, name: str
    ) -> None:
        self.database = database
        self.rules = rules
        self.adapters = adapters
        self.clock = clock
        self.name = name
        self.stopping = False
        """Nothing new is submitted; what waits at the gate goes back."""
        self.voids = 0
        self._places = asyncio.Semaphore(rules.concurrency)

    async def dispatch(self, batch: ReservedBatch) -> None:
        """Take a reserved batch as far as it will go."""
        try:
            await self._dispatch(batch)
        except LostReservationError:
            log.warning("reservation_lost", batch_id=batch.id)
        except DatabaseUnreachableError as error:
            # Nothing is lost: a reservation runs out and is queued, an attempt is unconfirmed.
            log.warning("database_unreachable", batch_id=batch.id, error=str(error))
        except Exception as error:
            log.exception("dispatch_failed", batch_id=batch.id)
            bug = f"internal error: {type(error).__name__}"
            await self.database.write(outcomes.record_bug, batch, bug)

    async def _dispatch(self, batch: ReservedBatch) -> None:
        ready = await self._render(batch)
        if ready is None:
            return
        batch, rendered = ready
        provider = self.adapters.of(rendered.account)
        policy = self.rules.policy_on(rendered.account, provider.capabilities)
        call = provider.prepare(rendered.sender, rendered.outgoing)
        try:
            submitted = await self._pass_the_gate(batch, rendered, call, policy)
        except RateLimitExceeded as denial:
            submitted = None
            await self._deny(batch, denial, policy)
        finally:
            call.release()
        if isinstance(submitted, Stale):
            await self._dispatch(batch)
        elif submitted is not None:
            attempt, outcome = submitted
            await self._record(attempt, rendered, outcome, policy)

    async def _render(self, batch: ReservedBatch) -> tuple[ReservedBatch, RenderedBatch] | None:
        """Load and render; None when nobody is left to send to."""
        rendered = await self.database.read(render, batch)
        if rendered.opt_outs != batch.seen_opt_outs or not rendered.message_ids:
            dropped, batch = await self.database.write(opt_outs.drop, batch)
            rendered = rendered.without(dropped)
            log.info("recipients_dropped", batch_id=batch.id, opted_out=len(dropped))
        return (batch, rendered) if rendered.message_ids else None

    async def _pass_the_gate(
        self, batch: ReservedBatch, rendered: RenderedBatch, call: PreparedCall, policy: Policy
    ) -> tuple[Attempt, Outcome] | Stale | None:
        """Wait until both windows are open, take the permits and submit.

        None: the batch is settled, or back where it belongs.
        """
        while not self.stopping:
            async with self._places:
                if (unsent := await call.connect()) is not None:
                    recorded = await self.database.write(
                        outcomes.record_unsent, batch, unsent, policy
                    )
                    _tell(batch, unsent, recorded, len(rendered.message_ids))
                    return None
                intent = await self._intend(batch, len(rendered.message_ids))
                if isinstance(intent, Attempt):
                    try:
                        return intent, await call.submit(intent.send_by)
                    except PermitVoidError:
                        self.voids += 1
                        batch = await self.database.write(
                            outcomes.void, intent, self.rules.lease_ms
                        )
                        continue
            call.release()
            if isinstance(intent, Stale):
                return intent
            if isinstance(intent, Gone):
                log.debug("batch_given_back", batch_id=batch.id, why=intent.why)
                return None
            if not await self._waited(batch, intent):
                return None
        await self.database.write(batches.give_back, batch)
        return None

    async def _intend(self, batch: ReservedBatch, size: int) -> Intent:
        return await self.database.write(
            intents.intend,
            batch,
            size=size,
            pacing=self.rules.pacing,
            lease_ms=self.rules.lease_ms,
            worker=self.name,
            monotonic=self.clock.monotonic,
        )

    async def _waited(self, batch: ReservedBatch, wait: Wait) -> bool:
        """Wait at the gate for the windows to open; False: the batch went back instead.

        Raises:
            RateLimitExceeded: strategy ``backoff``, where a full window fails the try.
        """
        if self.rules.pacing.strategy is Strategy.BACKOFF:
            raise RateLimitExceeded(wait.denied.tenant_remaining, wait.denied.account_remaining)
        if wait.for_ms > _LONGEST_GATE_MS:
            await self.database.write(batches.give_back, batch)
            return False
        await self.clock.sleep(wait.for_ms / 1000)
        return True

    async def _deny(self, batch: ReservedBatch, denial: RateLimitExceeded, policy: Policy) -> None:
        log.warning(
            "rate_limit_exceeded",
            tenant_id=batch.tenant_id,
            traffic_account_id=batch.account_id,
            traffic_account_remaining=denial.traffic_account_remaining,
            tenant_remaining=denial.tenant_remaining,
            batch_id=batch.id,
        )
        await self.database.write(outcomes.record_denial, batch, denial, policy)

    async def _record(
        self, attempt: Attempt, rendered: RenderedBatch, outcome: Outcome, policy: Policy
    ) -> None:
        """Write the outcome down. Recording is repeated until it is done; the call never is."""

        async def record() -> Recorded:
            return await self.database.write(
                outcomes.record, attempt, rendered.message_ids, outcome, policy
            )

        recorded = await self._until_done(record, attempt)
        _tell(attempt.batch, outcome, recorded, len(rendered.message_ids))

    async def _until_done(self, write: Callable[[], Awaitable[T]], attempt: Attempt) -> T:
        tries = 0
        while True:
            try:
                return await write()
            except DatabaseUnreachableError as error:
                log.warning("recording_failed", batch_id=attempt.batch.id, error=str(error))
            except Exception:
                if tries >= _RECORD_TRIES_ON_A_BUG:
                    raise
                log.exception("recording_failed", batch_id=attempt.batch.id)
            await self.clock.sleep(_RECORD_PAUSES_S[min(tries, len(_RECORD_PAUSES_S) - 1)])
            tries += 1


def _tell(batch: ReservedBatch, outcome: Outcome, recorded: Recorded, size: int) -> None:
    """One line per batch."""
    verdict = type(recorded.verdict).__name__.lower() if recorded.verdict else "evidence"
    facts = {
        "batch_id": batch.id,
        "campaign_id": batch.campaign_id,
        "outcome": str(outcome.kind),
        "verdict": verdict,
        "messages": size,
        "sent": recorded.sent,
        "failed": recorded.failed,
    }
    if verdict == "settle":
        log.info("batch_sent", **facts)
    else:
        log.warning("batch_not_sent", error=outcome.error, **facts)
