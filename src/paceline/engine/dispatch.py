"""One batch's way: render, pass the gate, submit, record.

A batch holds nothing until its intent is committed. From then on the call may have been made, so
whatever happens is recorded, and never leads to the call being made again but by a verdict.
"""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection

from paceline.clock import Clock
from paceline.domain.errors import RateLimitExceeded
from paceline.domain.message import Reason
from paceline.domain.outcome import Answered, Outcome
from paceline.domain.verdict import Policy
from paceline.engine import measures
from paceline.engine.adapters import Adapters
from paceline.engine.leads import Leads
from paceline.engine.rendering import RenderedBatch, render
from paceline.engine.rules import Rules
from paceline.engine.subscriptions import Subscriptions
from paceline.engine.together import Together
from paceline.providers.base import PermitVoidError, PreparedCall, Provider
from paceline.storage import (
    accounts,
    apart,
    batches,
    frequency,
    intents,
    opt_outs,
    outcomes,
    postponed,
    scouts,
    suppressions,
)
from paceline.storage.batches import Attempt, LostReservationError, ReservedBatch
from paceline.storage.conclusion import Recorded
from paceline.storage.database import Database, DatabaseUnreachableError
from paceline.storage.limits import Strategy
from paceline.storage.outcomes import Result
from paceline.storage.sealing import SecretError
from paceline.storage.turns import LOOKAHEAD_MS
from paceline.storage.wishes import (
    Gone,
    Intent,
    Lost,
    Stale,
    TakeApart,
    TooOften,
    Untimely,
    Wait,
    Wish,
)
from paceline.telemetry import get_logger

log = get_logger("dispatch")

_LONGEST_GATE_MS = 2 * LOOKAHEAD_MS
"""Who would wait longer than this at the gate goes back, so that other lanes can use the place."""
_MANY_MESSAGES = 1_000
"""Rendering so many takes milliseconds."""
_FEW_MESSAGES = 100
"""Recording so few is mostly the transaction's own cost, so campaigns share one; more of them are
recorded campaign by campaign, so that none waits for the rows of another."""
_ANSWERS_WITHIN_S = 0.003
"""Answers that come within this time are recorded together: of calls that began together, most."""
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
        self._renders = Together(self._render_all)
        self._intents = Together(self._write_intents)
        self._leads = Leads(clock.monotonic)
        self._subscriptions = Subscriptions(database, clock.monotonic)
        self._records = Together(self._write_results, gather_s=_ANSWERS_WITHIN_S)
        self.stopping = False
        """Nothing new is submitted; what waits at the gate goes back."""
        self.unrecorded_since: float | None = None
        """When recording an answer first failed; None once one was recorded again."""
        self.places = asyncio.Semaphore(rules.concurrency)
        """One per call, held from the intent until its outcome is recorded: when a worker dies, no
        more is in doubt than these."""

    async def render(self, batch: ReservedBatch) -> RenderedBatch:
        """Load and render a reserved batch."""
        return await self._renders.write(batch.account_id, batch)

    async def _render_all(self, batches: list[ReservedBatch]) -> list[RenderedBatch]:
        return await self.database.read(render, batches, sealer=self.adapters.sealer)

    async def intend(self, batch: ReservedBatch, size: int, policy: Policy) -> Intent:
        """Ask for an intent.

        Raises:
            LostReservationError: the batch is no longer ours.
        """
        horizon = policy.dedupe_horizon_ms if policy.deduplicates else None
        wish = Wish(batch, size, self._leads.ms(), horizon)
        intent = await self._intents.write(batch.account_id, wish)
        if isinstance(intent, Lost):
            raise LostReservationError(batch.id)
        return intent

    async def _write_intents(self, wishes: list[Wish]) -> list[Intent]:
        return await self.database.write(
            intents.intend,
            wishes,
            used=self._leads.told_of(wishes[0].batch.account_id),
            pacing=self.rules.pacing,
            lease_ms=self.rules.lease_ms,
            worker=self.name,
            monotonic=self.clock.monotonic,
        )

    async def submit(self, call: PreparedCall, attempt: Attempt) -> Outcome:
        """Make the call.

        Raises:
            PermitVoidError: its permits ran out before its first byte; nothing was sent.
        """
        try:
            return await call.submit(
                attempt.send_by, written=lambda at: self._leads.used(attempt, at)
            )
        except PermitVoidError:
            self._leads.missed(attempt)
            raise

    async def record(self, result: Result) -> Recorded:
        """Write a result down."""
        batch = result.attempt.batch
        few = len(result.message_ids) <= _FEW_MESSAGES
        company = (batch.account_id, None if few else batch.campaign_id)
        return await self._records.write(company, result)

    async def _write_results(self, results: list[Result]) -> list[Recorded]:
        tell = await self._subscriptions.tenants()
        return await self.database.write(outcomes.record, results, tell=tell)

    async def dispatch(self, batch: ReservedBatch, wait_ms: int = 0) -> None:
        """Take a reserved batch as far as it will go; its permits may be free in ``wait_ms``."""
        trip = _Trip(self, batch, wait_ms)
        try:
            with measures.DISPATCH_DURATION.time():
                await trip.go()
        except LostReservationError:
            log.warning("reservation_lost", batch_id=batch.id)
        except DatabaseUnreachableError as error:
            # Nothing is lost: a reservation runs out and is queued, an attempt is unconfirmed.
            log.warning("database_unreachable", batch_id=batch.id, error=str(error))
        except SecretError as error:
            # No message is at fault, and no other batch of the account could be sent either.
            log.error("key_sealed", account_id=batch.account_id, error=str(error))  # noqa: TRY400
            await self.database.write(_hold, trip.batch, str(error))
        except Exception as error:
            log.exception("dispatch_failed", batch_id=batch.id)
            bug = f"internal error: {type(error).__name__}"
            await self.database.write(outcomes.record_bug, trip.batch, bug)


def _hold(connection: Connection, batch: ReservedBatch, why: str) -> None:
    accounts.hold(connection, batch.account_id, why)
    batches.give_back(connection, batch)


class _Trip:
    """One batch on its way."""

    def __init__(self, dispatcher: Dispatcher, batch: ReservedBatch, wait_ms: int) -> None:
        self.dispatcher = dispatcher
        self.opens_at = dispatcher.clock.monotonic() + wait_ms / 1000
        """When to ask for permits."""
        self.database = dispatcher.database
        self.rules = dispatcher.rules
        self.batch = batch
        """As it is reserved now; a void permit gives it a new fence."""
        self.rendered: RenderedBatch
        self.policy: Policy

    async def go(self) -> None:
        """Render and pass the gate, anew whenever a recipient opts out in between."""
        while await self._render():
            if not await self._pass_the_gate():
                return

    async def _render(self) -> bool:
        """Load and render; False: nobody is left to send to, and the batch is done."""
        rendered = await self.dispatcher.render(self.batch)
        if rendered.opt_outs != self.batch.seen_opt_outs or not rendered.message_ids:
            dropped, self.batch = await self.database.write(opt_outs.drop, self.batch)
            rendered = rendered.without(dropped)
            log.info("recipients_dropped", batch_id=self.batch.id, opted_out=len(dropped))
        self.rendered = rendered
        return bool(rendered.message_ids)

    async def _pass_the_gate(self) -> bool:
        """Wait until both windows are open and send; True: render again, for fewer."""
        rendered = self.rendered
        provider = self.dispatcher.adapters.of(rendered.account)
        self.policy = self.rules.policy_of(rendered.account)
        most = provider.capabilities.max_messages_per_call
        if len(rendered.message_ids) > most:  # the account was given to another provider since
            await self.database.write(outcomes.divide, self.batch, most)
            return False
        call = await self._prepared(provider)
        try:
            if (wait_s := self.opens_at - self.dispatcher.clock.monotonic()) > 0:
                await self.dispatcher.clock.sleep(wait_s)
            while not self.dispatcher.stopping:
                async with self.dispatcher.places:
                    intent = await self._send(call)
                if not isinstance(intent, Wait):
                    return await self._after_the_gate(intent)
                call.release()
                if not await self._waited(intent):
                    return False
            await self.database.write(batches.give_back, self.batch)
        except RateLimitExceeded as denial:
            await self._deny(denial)
        finally:
            call.release()
        return False

    async def _drop_who_had_enough(self) -> bool:
        """Fail the recipients whom the frequency cap holds back; True: others are left."""
        dropped, left = await self.database.write(frequency.drop, self.batch)
        log.info("recipients_dropped", batch_id=self.batch.id, frequency_cap=len(dropped))
        return left > 0

    async def _after_the_gate(self, intent: Intent) -> bool:
        """What is left to do when the batch is not at the gate any more; True: render it again."""
        match intent:
            case TakeApart(most=None):
                await self.database.write(apart.by_region, self.batch)
                return True
            case TakeApart(most=int(most)):
                await self.database.write(apart.to_size, self.batch, most)
                return True
            case TooOften():
                return await self._drop_who_had_enough()
            case Untimely():
                await self.database.write(postponed.alike, self.batch, intent)
        return isinstance(intent, Stale)

    async def _prepared(self, provider: Provider) -> PreparedCall:
        """The call to its last byte. A large one is rendered in a thread: the event loop has
        permits of other calls to use in time.
        """
        sender, outgoing = self.rendered.sender, self.rendered.outgoing
        if len(outgoing) < _MANY_MESSAGES:
            return provider.prepare(sender, outgoing)
        return await asyncio.to_thread(provider.prepare, sender, outgoing)

    async def _send(self, call: PreparedCall) -> Intent:
        """Connect, commit the intent, submit and record; whatever else than an attempt came of it
        has settled the batch or left it reserved.
        """
        while True:
            if (unsent := await call.connect()) is not None:
                await self._record_unsent(unsent)
                return Gone(unsent.error)
            size = len(self.rendered.message_ids)
            intent = await self.dispatcher.intend(self.batch, size, self.policy)
            measures.count_intent(intent)
            if not isinstance(intent, Attempt):
                return intent
            submitted_at = self.dispatcher.clock.monotonic()
            try:
                outcome = await self.dispatcher.submit(call, intent)
            except PermitVoidError:
                measures.VOID_PERMITS.inc()
                self.batch = await self.database.write(outcomes.void, intent, self.rules.lease_ms)
                continue
            measures.CALL_DURATION.observe(self.dispatcher.clock.monotonic() - submitted_at)
            await self._record(intent, outcome)
            return intent

    async def _waited(self, wait: Wait) -> bool:
        """Wait at the gate for the windows to open; False: the batch went back instead.

        Raises:
            RateLimitExceeded: strategy ``backoff``, where a full window fails the try.
        """
        own_speed = wait.denied.held_by == "campaign"  # which is there to be kept, not to fail
        if self.rules.pacing.strategy is Strategy.BACKOFF and not own_speed:
            raise RateLimitExceeded(wait.denied.tenant_remaining, wait.denied.account_remaining)
        if wait.for_ms > _LONGEST_GATE_MS:
            await self.database.write(batches.give_back, self.batch)
            return False
        await self.dispatcher.clock.sleep(wait.for_ms / 1000)
        return True

    async def _deny(self, denial: RateLimitExceeded) -> None:
        log.warning(
            "rate_limit_exceeded",
            tenant_id=self.batch.tenant_id,
            traffic_account_id=self.batch.account_id,
            traffic_account_remaining=denial.traffic_account_remaining,
            tenant_remaining=denial.tenant_remaining,
            batch_id=self.batch.id,
        )
        recorded = await self.database.write(
            outcomes.record_denial, self.batch, denial, self.policy
        )
        measures.count_messages(recorded)

    async def _record_unsent(self, unsent: Outcome) -> None:
        recorded = await self.database.write(
            outcomes.record_unsent, self.batch, unsent, self.policy
        )
        _tell(self.batch, unsent, recorded, len(self.rendered.message_ids))

    async def _record(self, attempt: Attempt, outcome: Outcome) -> None:
        """Write the outcome down. Recording is repeated until it is done; the call never is."""
        message_ids = self.rendered.message_ids
        result = Result(attempt, message_ids, outcome, self.policy)
        tries = 0
        while True:
            try:
                recorded = await self.dispatcher.record(result)
                self.dispatcher.unrecorded_since = None
                break
            except DatabaseUnreachableError as error:
                log.warning("recording_failed", batch_id=attempt.batch.id, error=str(error))
            except Exception:
                if tries >= _RECORD_TRIES_ON_A_BUG:
                    raise
                log.exception("recording_failed", batch_id=attempt.batch.id)
            if self.dispatcher.unrecorded_since is None:
                self.dispatcher.unrecorded_since = self.dispatcher.clock.monotonic()
            pause = _RECORD_PAUSES_S[min(tries, len(_RECORD_PAUSES_S) - 1)]
            await self.dispatcher.clock.sleep(pause)
            tries += 1
        _tell(attempt.batch, outcome, recorded, len(message_ids))
        await self._follow_up(outcome, recorded)

    async def _follow_up(self, outcome: Outcome, recorded: Recorded) -> None:
        """What an outcome means for others than its batch. Should this process die before it, the
        rest of a batch goes on by itself, and a blocked number is rejected again.
        """
        if recorded.was_scout:
            await self.database.write(scouts.after_scout, self.batch.id)
        if recorded.verdict is not None and (blocked := self._blocked(outcome)):
            await self.database.write(suppressions.block, self.batch.tenant_id, blocked)

    def _blocked(self, outcome: Outcome) -> list[str]:
        """The numbers that the provider blocks for us, because their owners told it so."""
        if not isinstance(outcome, Answered):
            return []
        return [
            self.rendered.outgoing[position].to
            for position, rejection in outcome.rejections.items()
            if rejection.reason == Reason.OPTED_OUT
        ]


def _tell(batch: ReservedBatch, outcome: Outcome, recorded: Recorded, size: int) -> None:
    """One line per batch, and its counts."""
    measures.count_outcome(outcome, recorded)
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
