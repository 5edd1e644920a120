"""What a run is about, drawn by its seed: the installation, its limits, providers and people."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

MARGIN_MS = 50
PROVIDER_TIMEOUT_MS = 1500
LEASE_SLACK_MS = 500
CONFIRM_WINDOW_MS = 1500
"""The quiet period. The provider knows of what it has accepted well before it is over, even of a
request that was stuck on the way (``network``)."""
VISIBLE_WITHIN_MS = 1200
STUCK_FOR_MS = 900


_CALM_SHARE = 0.06


@dataclass(frozen=True, slots=True)
class Limits:
    """``most`` requests in ``window_ms``."""

    most: int
    window_ms: int


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """One traffic account, and what its provider can do."""

    name: str
    provider: str
    options: dict[str, Any]
    server_error: str
    limits: Limits
    too_many: int
    """The provider answers 413 to calls with more messages."""

    @property
    def deduplicates(self) -> bool:
        return bool(self.options.get("deduplicates"))

    @property
    def looks_up(self) -> bool:
        return bool(self.options.get("looks_up"))


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """One campaign: on which account, and when it starts."""

    account: int
    starts_after_s: float
    scheduled: bool


@dataclass(frozen=True, slots=True)
class TenantPlan:
    """One tenant, its book, its campaigns and its single messages."""

    name: str
    limits: Limits
    contacts: int
    campaigns: tuple[CampaignPlan, ...]
    singles: int
    frequency_max: int | None = None
    """Campaigns that may write to one person while the run lasts."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How often what goes wrong: shares of calls, of transactions, or times in a second."""

    database_lost: float = 0.0
    slow_commit: float = 0.0
    death_at_commit: float = 0.0
    deaths_per_s: float = 0.0
    stalls_per_s: float = 0.0
    stall_in_call: float = 0.0
    request_lost: float = 0.0
    request_stuck: float = 0.0
    answer_lost: float = 0.0
    answer_garbled: float = 0.0
    answer_slow: float = 0.0
    line_dies: float = 0.0
    outages_per_s: float = 0.0
    server_error: float = 0.0
    throttled: float = 0.0
    refused: float = 0.0
    message_rejected: float = 0.0
    number_poisons_call: float = 0.0
    orders_per_s: float = 0.0
    clock_jumps_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything about a run but the moments."""

    sole_sender: bool
    """As on SQLite: one worker, which takes up again what it had in hand when it starts anew."""
    workers: int
    settings: dict[str, str]
    accounts: tuple[AccountPlan, ...]
    tenants: tuple[TenantPlan, ...]
    faulty_for_s: float
    rates: Rates = field(default_factory=Rates)
    calm: bool = False
    """Nothing goes wrong, and the last tenant is judged for fairness."""

    @property
    def attempts(self) -> int:
        return int(self.settings["QUEUE_ATTEMPTS"])


def draw(dice: Random) -> Scenario:
    """What a seed is about."""
    if dice.random() < _CALM_SHARE:
        return _calm(dice)
    sole = dice.random() < 0.3
    accounts = tuple(_account(dice, n) for n in range(1 if dice.random() < 0.7 else 2))
    tenants = tuple(_tenant(dice, n, len(accounts)) for n in range(dice.choice((1, 1, 2, 2, 3))))
    return Scenario(
        sole_sender=sole,
        workers=1 if sole else dice.choice((1, 2, 2, 3)),
        settings=_settings(dice),
        accounts=accounts,
        tenants=tenants,
        faulty_for_s=dice.uniform(2, 8),
        rates=_rates(dice),
    )


def _calm(dice: Random) -> Scenario:
    """Tenants that are busy on one account, and a last one that comes to it later."""
    account = AccountPlan(
        name="account-1",
        provider="mitto",
        options={},
        server_error="retry",
        limits=_limits(dice, dice.choice((1, 2, 4))),
        too_many=1000,
    )
    others = dice.choice((1, 2))
    tenants = tuple(
        TenantPlan(
            name=f"tenant-{number + 1}",
            limits=_limits(dice, dice.choice((1, 2, 4))),
            contacts=20 if number < others else dice.randint(2, 8),
            campaigns=(CampaignPlan(0, 0.0 if number < others else 1.0, scheduled=False),),
            singles=0,
        )
        for number in range(others + 1)
    )
    settings = _settings(dice) | {"RATE_LIMIT_STRATEGY": "pace", "SMS_BATCH_SIZE": "1"}
    settings |= {"RATE_LIMIT_RETRY_ENABLED": "true", "WORKER_CONCURRENCY": "4"}
    return Scenario(
        sole_sender=dice.random() < 0.5,
        workers=1,
        settings=settings,
        accounts=(account,),
        tenants=tenants,
        faulty_for_s=0.1,
        calm=True,
    )


def _settings(dice: Random) -> dict[str, str]:
    backoff = dice.random() < 0.2
    return {
        "RATE_LIMIT_MARGIN_MS": str(MARGIN_MS),
        "RATE_LIMIT_STRATEGY": "backoff" if backoff else "pace",
        "RATE_LIMIT_RETRY_ENABLED": "false" if backoff and dice.random() < 0.3 else "true",
        "UNCONFIRMED_POLICY": "resend" if dice.random() < 0.15 else "hold",
        "QUEUE_ATTEMPTS": str(dice.choice((1, 2, 3, 5, 5))),
        "QUEUE_BACKOFF_MS": str(dice.choice((50, 150, 300))),
        "SMS_BATCH_SIZE": str(dice.choice((1, 2, 3, 5, 8))),
        "WORKER_CONCURRENCY": str(dice.choice((1, 2, 4))),
        "PROVIDER_TIMEOUT_MS": str(PROVIDER_TIMEOUT_MS),
        "PACELINE_LEASE_SLACK_MS": str(LEASE_SLACK_MS),
        "CONFIRM_WINDOW_MS": str(CONFIRM_WINDOW_MS),
    }


def _account(dice: Random, number: int) -> AccountPlan:
    kind = dice.choice(("mitto", "plain", "deduplicates", "looks_up"))
    options: dict[str, Any] = {}
    if kind != "mitto":
        options = {"echoes_reference": dice.random() < 0.7}
        options |= {kind: True} if kind != "plain" else {}
        if dice.random() < 0.25:
            options["max_messages_per_call"] = dice.choice((1, 2))
    return AccountPlan(
        name=f"account-{number + 1}",
        provider="mitto" if kind == "mitto" else "simulator",
        options=options,
        server_error=dice.choice(("retry", "hold")),
        limits=_limits(dice, dice.choice((2, 3, 5, 10))),
        too_many=dice.choice((2, 3, 1000, 1000)),
    )


def _tenant(dice: Random, number: int, accounts: int) -> TenantPlan:
    campaigns = tuple(
        CampaignPlan(
            account=dice.randrange(accounts),
            starts_after_s=dice.uniform(0, 2),
            scheduled=dice.random() < 0.2,
        )
        for _ in range(dice.choice((1, 1, 1, 2)))
    )
    limits = _limits(dice, dice.choice((1, 2, 4, 8)))
    contacts = dice.randint(1, 16)
    return TenantPlan(
        name=f"tenant-{number + 1}",
        limits=limits,
        contacts=contacts,
        campaigns=campaigns,
        singles=dice.choice((0, 0, 1, 3)),
        # Without dice, so that everything else of a seed stays what it was.
        frequency_max=1 if len(campaigns) > 1 and contacts % 2 == 0 else None,
    )


def _limits(dice: Random, most: int) -> Limits:
    return Limits(most, dice.choice((100, 250, 400)))


def _rates(dice: Random) -> Rates:
    """Each seed has a few kinds of trouble, some of them much of it: all of them at once would only
    ever show what happens in chaos.
    """

    def share(usual: float) -> float:
        return usual * dice.choice((0, 0, 0, 1, 1, 4))

    return Rates(
        database_lost=share(0.01),
        slow_commit=share(0.05),
        death_at_commit=share(0.004),
        deaths_per_s=share(0.25),
        stalls_per_s=share(0.2),
        stall_in_call=share(0.03),
        request_lost=share(0.03),
        request_stuck=share(0.03),
        answer_lost=share(0.05),
        answer_garbled=share(0.03),
        answer_slow=share(0.05),
        line_dies=share(0.03),
        outages_per_s=share(0.1),
        server_error=share(0.05),
        throttled=share(0.04),
        refused=share(0.01),
        message_rejected=share(0.04),
        number_poisons_call=share(0.03),
        orders_per_s=share(0.5),
        clock_jumps_per_s=share(0.08),
    )
