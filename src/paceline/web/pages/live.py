"""A campaign as the pages show it while it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from paceline.domain.errors import PacelineError
from paceline.engine.orders import Shown
from paceline.engine.waiting import Cause
from paceline.engine.watched import Seen
from paceline.storage.limits import Pacing
from paceline.web.pages.lanes import Lane

_NOT_PLAYED = (
    Cause.ACCOUNT_HELD,
    Cause.QUIET_HOURS,
    Cause.SEND_WINDOW,
    Cause.DAILY_CAP,
    Cause.DECISION,
)


@dataclass(frozen=True, slots=True)
class Live:
    """A campaign at one moment, with both limits."""

    shown: Shown
    at: int
    tenant: Lane
    account: Lane
    account_name: str
    error: PacelineError | None = None
    """Why an order that was just given was not carried out."""

    @property
    def has_eta(self) -> bool:
        """Whether what it waits for is a matter of the pace alone, which an estimate plays."""
        waiting = self.shown.waiting_for
        return waiting is None or waiting.cause not in _NOT_PLAYED

    @classmethod
    def of(cls, seen: Seen, pacing: Pacing) -> Self:
        standing = seen.standing
        return cls(
            seen.shown,
            standing.at,
            Lane.of(standing.tenant, pacing.tenant, standing.at),
            Lane.of(standing.account, pacing.account, standing.at),
            standing.account.name,
        )
