"""Ending doubt: ask the provider, or send again where it deduplicates, after the quiet period."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import islice

from paceline.domain.outcome import Known
from paceline.engine.adapters import Adapters
from paceline.engine.rules import Rules
from paceline.providers.base import LookUpFailedError, Provider
from paceline.storage import confirmations
from paceline.storage.conclusion import Recorded
from paceline.storage.confirmations import Doubted
from paceline.storage.database import Database
from paceline.telemetry import get_logger

log = get_logger("confirming")

_AT_ONCE = 20
"""Batches a worker takes up together."""
_ASKING_AT_ONCE = 5
_LEASE_MS = 120_000
"""Who has not ended a doubt by then is taken for dead."""


class Confirming:
    """Takes up unconfirmed batches whose quiet period is over."""

    def __init__(self, database: Database, rules: Rules, adapters: Adapters) -> None:
        self.database = database
        self.rules = rules
        self.adapters = adapters
        self._asking = asyncio.Semaphore(_ASKING_AT_ONCE)

    async def step(self) -> bool:
        """End what doubt can be ended now; say whether a batch was queued or there may be more."""
        claimed = await self.database.write(confirmations.claim, limit=_AT_ONCE, lease_ms=_LEASE_MS)
        await asyncio.gather(*(self._end(doubted) for doubted in claimed))
        return bool(claimed)

    async def _end(self, doubted: Doubted) -> None:
        async with self._asking:
            try:
                await self._take_up(doubted)
            except LookUpFailedError as error:
                log.warning("look_up_failed", batch_id=doubted.batch_id, error=str(error))
                wait = max(self.rules.policy.confirm_window_ms, error.retry_after_ms or 0)
                await self.database.write(confirmations.postpone, doubted.batch_id, wait)
            except Exception:
                # Its lease runs out, and it is looked at again.
                log.exception("confirming_failed", batch_id=doubted.batch_id)

    async def _take_up(self, doubted: Doubted) -> None:
        provider = self.adapters.of(doubted.account)
        policy = self.rules.policy_of(doubted.account)
        if policy.deduplicates:
            recorded = await self.database.write(confirmations.send_again, doubted, policy)
        elif policy.looks_up and not _too_old(doubted, provider):
            known = await _ask(provider, doubted)
            recorded = await self.database.write(confirmations.record, doubted, known, policy)
        else:
            await self.database.write(confirmations.postpone, doubted.batch_id, None)
            return
        _tell(doubted, recorded)


def _too_old(doubted: Doubted, provider: Provider) -> bool:
    """Whether the provider may have forgotten a call that it accepted."""
    horizon = provider.capabilities.look_up_horizon_ms
    return horizon is not None and doubted.age_ms >= horizon


async def _ask(provider: Provider, doubted: Doubted) -> Mapping[str, Known]:
    """Look all references of a batch up.

    Raises:
        LookUpFailedError: nothing is known about some of them, so nothing is written.
    """
    known: dict[str, Known] = {}
    references = iter(doubted.references)
    while part := list(islice(references, provider.capabilities.max_look_ups)):
        known |= await provider.look_up(part)
    return known


def _tell(doubted: Doubted, recorded: Recorded) -> None:
    log.info(
        "doubt_taken_up",
        batch_id=doubted.batch_id,
        in_doubt=len(doubted.references),
        verdict=type(recorded.verdict).__name__.lower() if recorded.verdict else "settled before",
        sent=recorded.sent,
        failed=recorded.failed,
    )
