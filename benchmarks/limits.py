"""The limits as the provider sees them, with several worker processes on one database.

    python -m benchmarks.limits --seconds 300 --workers 4 --database postgres

Every batch holds one message, and there is always more to send than the limit permits. Two promises
are held against the provider's log: no sliding window holds more than the limit, and of what
max/(window + margin) would permit, at least 98 % is used (the first window left out, in which a
fresh window lets its whole maximum through at once). Exit code 1 if one of them is broken.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks import program
from benchmarks.installation import NO_LIMIT, Ground, audience, draft, ground, start
from benchmarks.processes import Client, ProcessFailedError, served, working
from paceline.domain.limits import Limit

MARGIN_MS = 50
LEAST_SHARE = 0.98
_STARTED_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Phase:
    """Limits, and how many tenants press against them; None: out of the way."""

    tenant: Limit | None
    account: Limit | None
    tenants: int = 1

    @property
    def binding(self) -> Limit:
        """The one that decides the account's rate."""
        of_tenant = self.tenant
        if of_tenant is not None and (self.account is None or self.tenants == 1):
            return of_tenant
        assert self.account is not None
        return self.account


PHASES = {
    "tenant": Phase(Limit(40, 1_000, MARGIN_MS), Limit(50, 1_000, MARGIN_MS)),
    "account": Phase(Limit(40, 1_000, MARGIN_MS), Limit(50, 1_000, MARGIN_MS), tenants=2),
    "slow": Phase(Limit(1, 2_000, MARGIN_MS), None),
    "minute": Phase(None, Limit(300, 60_000, MARGIN_MS)),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """One phase at the provider: the largest count in any sliding window, and the share used."""

    limit: str
    calls: int
    duplicates: int
    tenant_max: int | None
    largest_of_a_tenant: int
    account_max: int | None
    largest_of_the_account: int
    windows: int
    """How many whole ones the share was taken over."""
    share_used: float
    void_permits: float


@dataclass(frozen=True, slots=True)
class Figures:
    workers: int
    seconds: float
    phases: dict[str, Seen]
    broken: list[str]
    machine: dict[str, Any]


def measure(kind: str, workers: int, seconds: float, names: Sequence[str]) -> Figures:
    """Run the named phases one after the other, each on a fresh database.

    Raises:
        ProcessFailedError: a process did not start, or nothing was ever sent.
    """
    seen: dict[str, Seen] = {}
    with ground(kind) as here:
        for name in names:
            seen[name], facts = _run(here, PHASES[name], workers, seconds)
    broken = [f"{name}: {what}" for name, each in seen.items() for what in broken_by(each)]
    return Figures(workers, seconds, seen, broken, facts)


def _run(here: Ground, phase: Phase, workers: int, seconds: float) -> tuple[Seen, dict[str, Any]]:
    limits = {
        **_variables("RATE_LIMIT_TENANT", phase.tenant),
        **_variables("RATE_LIMIT_TRAFFIC_ACCOUNT", phase.account),
        "RATE_LIMIT_MARGIN_MS": str(MARGIN_MS),
        "SMS_BATCH_SIZE": "1",
    }
    each = enough(phase.binding, seconds)
    with here.install(**limits) as installation, ExitStack() as processes:
        url, _ = processes.enter_context(served(installation.environ, "api"))
        keys = [installation.key_of(f"tenant-{n}") for n in range(phase.tenants)]
        for number, key in enumerate(keys):
            with Client(url, key) as client:
                audience(client, each, first=number * each)  # a number twice is a duplicate
                start(client, draft(client, sender=f"Tenant{number}"))
        for _ in range(workers):
            processes.enter_context(working(installation.environ))
        _wait_for_a_call(here)
        time.sleep(seconds)
        until_ns = time.monotonic_ns()  # the provider's clock too: one machine has one
        return _seen(here, phase, until_ns, installation.void_share()), installation.facts()


def _variables(name: str, limit: Limit | None) -> dict[str, str]:
    if limit is None:
        return {f"{name}_MAX": NO_LIMIT}
    return {f"{name}_MAX": str(limit.max), f"{name}_WINDOW_MS": str(limit.window_ms)}


def enough(limit: Limit, seconds: float) -> int:
    """More recipients than the limit lets through in that time, and the first window's."""
    return round(limit.max * (2 + 1.2 * seconds * 1000 / limit.span_ms)) + 100


def _wait_for_a_call(here: Ground) -> None:
    deadline = time.monotonic() + _STARTED_WITHIN_S
    while not here.provider.get("/log/summary")["calls"]:
        if time.monotonic() > deadline:
            raise ProcessFailedError("nothing was sent")
        time.sleep(0.05)


def _seen(here: Ground, phase: Phase, until_ns: int, void_permits: float) -> Seen:
    calls = [json.loads(line) for line in here.provider.call("GET", "/log/calls").splitlines()]
    tenant, account, limit = phase.tenant, phase.account, phase.binding
    windows, share = share_used([call["received_ns"] for call in calls], limit, until_ns)
    of_tenants = _summary(here, tenant or limit)["senders"].values()
    return Seen(
        limit=f"{limit.max} per {limit.window_ms} ms",
        calls=len(calls),
        duplicates=_summary(here, limit)["duplicates"],
        tenant_max=tenant.max if tenant else None,
        largest_of_a_tenant=max(each["max_in_window"] for each in of_tenants),
        account_max=account.max if account else None,
        largest_of_the_account=_summary(here, account or limit)["max_in_window"],
        windows=windows,
        share_used=share,
        void_permits=void_permits,
    )


def _summary(here: Ground, limit: Limit) -> dict[str, Any]:
    return dict(here.provider.get(f"/log/summary?window_ms={limit.window_ms}"))


def share_used(times_ns: Sequence[int], limit: Limit, until_ns: int) -> tuple[int, float]:
    """Of what the limit permits, the share that was used, and over how many whole windows.

    Windows are laid end to end from the first call on; the first is left out, and so is what
    remains at the end. Calls come in bursts, so a part of a window would say anything.

    Args:
        times_ns: when calls arrived, ascending.
        limit: whose `max` a window of `span_ms` permits.
        until_ns: when the measuring ended, on the same clock.
    """
    span_ns = limit.span_ms * 1_000_000
    windows = (until_ns - times_ns[0]) // span_ns - 1
    if windows < 1:
        raise ProcessFailedError(f"too few seconds for two windows of {limit.span_ms} ms")
    begin, end = times_ns[0] + span_ns, times_ns[0] + (1 + windows) * span_ns
    used = sum(begin <= time_ns < end for time_ns in times_ns)
    return windows, round(used / (windows * limit.max), 4)


def broken_by(seen: Seen) -> list[str]:
    """The promises that one phase broke."""
    broken = []
    if seen.tenant_max is not None and seen.largest_of_a_tenant > seen.tenant_max:
        broken.append(f"a tenant's window held {seen.largest_of_a_tenant} calls")
    if seen.account_max is not None and seen.largest_of_the_account > seen.account_max:
        broken.append(f"the account's window held {seen.largest_of_the_account} calls")
    if seen.duplicates:
        broken.append(f"{seen.duplicates} messages were sent twice")
    if seen.share_used < LEAST_SHARE:
        broken.append(f"only {seen.share_used:.2%} of the limit was used")
    return broken


def main() -> int:
    parser = program.command("benchmarks.limits", __doc__)
    parser.set_defaults(database="postgres")
    parser.add_argument("--seconds", type=float, default=300, help="of each phase")
    parser.add_argument("--workers", type=int, default=4, help="SQLite takes one")
    parser.add_argument("--phase", choices=PHASES, action="append", help="one or more; else all")
    arguments = parser.parse_args()
    names = arguments.phase or list(PHASES)
    return program.run(
        lambda: measure(arguments.database, arguments.workers, arguments.seconds, names)
    )


if __name__ == "__main__":
    sys.exit(main())
