"""Different limits at once, under load: three traffic accounts, six tenants, many workers.

    python -m benchmarks.crowd --seconds 300 --workers 8 --database postgres

Every batch holds one message, and each tenant has two campaigns on one account with more to send
than it may. Two promises are held against the provider's log, by when the calls arrived: no sliding
window of an account or a tenant holds more than its limit, and each account is used to at least
98 % of its own limit or of the sum of its tenants', whichever is smaller, where a limit permits
max/(window + margin). Exit code 1 if one of them is broken.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, select

from benchmarks import program
from benchmarks.installation import TEXT, Ground, Installation, audience, draft, ground, start
from benchmarks.limits import LEAST_SHARE, MARGIN_MS, enough, share_used
from benchmarks.processes import Client, ProcessFailedError, served, working
from paceline.domain.limits import Limit
from paceline.domain.outcome import OutcomeKind
from paceline.engine import operations
from paceline.engine.operations import NewAccount
from paceline.settings import load
from paceline.simulator.window import NS_PER_MS, busiest_window
from paceline.storage.schema import attempts, tenants, traffic_accounts
from paceline.storage.sealing import sealer_of

_CAMPAIGNS = 2
"""Of each tenant."""
_AT_WORK_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Shared:
    """One traffic account, and the tenants that send on it and on no other."""

    limit: Limit
    tenants: Mapping[str, Limit]

    @property
    def bound(self) -> float:
        """Calls a second that are possible at most."""
        return min(per_second(self.limit), self._of_tenants())

    @property
    def binds(self) -> str:
        return "its limit" if self._of_tenants() >= per_second(self.limit) else "its tenants'"

    def _of_tenants(self) -> float:
        return sum(map(per_second, self.tenants.values()))


def per_second(limit: Limit) -> float:
    return limit.max * 1000 / limit.span_ms


def _limit(most: int, window_ms: int) -> Limit:
    return Limit(most, window_ms, MARGIN_MS)


CROWD: Mapping[str, Shared] = {
    "wide": Shared(_limit(40, 1_000), {"ada": _limit(10, 1_000), "bob": _limit(12, 1_000)}),
    "narrow": Shared(_limit(20, 1_000), {"cleo": _limit(15, 1_000), "dan": _limit(13, 1_000)}),
    "slow": Shared(_limit(6, 600), {"eve": _limit(1, 500), "fay": _limit(6, 2_000)}),
}
"""Names of accounts and tenants are all different."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The calls of a tenant, or of an account, as the provider saw them."""

    limit: str
    calls: int
    fullest_window: int
    """The most calls in any sliding window of the limit's length, from the very first call on."""
    used_percent: float
    """Of what the limit permits, for an account of its bound, while all workers were at work."""
    void_percent: float
    """Permits that ran out unused."""


@dataclass(frozen=True, slots=True)
class SeenAccount(Seen):
    binds: str
    """What `used_percent` is a share of."""
    tenants: dict[str, Seen]


@dataclass(frozen=True, slots=True)
class Figures:
    workers: int
    seconds: float
    accounts: dict[str, SeenAccount]
    duplicates: int
    broken: list[str]
    machine: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """What there is to judge by; the times are of the monotonic clock."""

    times_ns: Mapping[str, Sequence[int]]
    """When the provider received calls, by the name of the account and by that of the tenant."""
    void_percent: Mapping[str, float]
    """Of the permits, by the same names."""
    begin_ns: int
    """All workers were at work."""
    until_ns: int

    def rate(self, name: str, limit: Limit) -> float:
        """Calls a second while all were at work, over whole windows of the limit; of who began so
        late that there are none, 0.
        """
        times_ns = [each for each in self.times_ns[name] if each >= self.begin_ns]
        if not times_ns or self.until_ns - times_ns[0] < 2 * limit.span_ms * NS_PER_MS:
            return 0.0
        return share_used(times_ns, limit, self.until_ns)[1] * per_second(limit)

    def seen(self, name: str, limit: Limit, rate: float, bound: float) -> dict[str, Any]:
        """The fields of `Seen`."""
        times_ns = self.times_ns[name]
        return {
            "limit": f"{limit.max} per {limit.window_ms} ms",
            "calls": len(times_ns),
            "fullest_window": busiest_window(times_ns, limit.window_ms * NS_PER_MS),
            "used_percent": round(100 * rate / bound, 2),
            "void_percent": self.void_percent.get(name, 0.0),
        }


def measure(
    kind: str, workers: int, seconds: float, crowd: Mapping[str, Shared] = CROWD
) -> Figures:
    """Let everybody press against their limits for so long.

    Raises:
        ProcessFailedError: a process did not start, or a worker never sent anything.
    """
    variables = {"RATE_LIMIT_MARGIN_MS": str(MARGIN_MS), "SMS_BATCH_SIZE": "1"}
    with ground(kind) as here, here.install(**variables) as installation, ExitStack() as processes:
        url, _ = processes.enter_context(served(installation.environ, "api"))
        _start_campaigns(installation, url, crowd, seconds)
        for _ in range(workers):
            processes.enter_context(working(installation.environ))
        _wait_until_at_work(installation, workers)
        begin_ns = time.monotonic_ns()  # the provider's clock too: one machine has one
        time.sleep(seconds)
        record = _record(here, installation, begin_ns, time.monotonic_ns())
        duplicates = here.provider.get("/log/summary")["duplicates"]
        facts = installation.facts()
    accounts = {name: _seen(record, name, shared) for name, shared in crowd.items()}
    broken = broken_by(crowd, accounts, duplicates)
    return Figures(workers, seconds, accounts, duplicates, broken, facts)


def _start_campaigns(
    installation: Installation, url: str, crowd: Mapping[str, Shared], seconds: float
) -> None:
    first = 0
    for name, shared in crowd.items():
        account_id = _add_account(installation, name, shared.limit)
        for tenant, limit in shared.tenants.items():
            key = installation.key_of(tenant, rate_max=limit.max, rate_window_ms=limit.window_ms)
            recipients = enough(limit, seconds + _AT_WORK_WITHIN_S) // _CAMPAIGNS
            with Client(url, key) as client:
                audience(client, recipients, first=first)
                for number in range(_CAMPAIGNS):  # the same text twice is a duplicate
                    text = f"{number}: {TEXT}"
                    values = {"text": text, "sender": tenant, "traffic_account_id": account_id}
                    start(client, draft(client, **values))
            first += recipients


def _add_account(installation: Installation, name: str, limit: Limit) -> int:
    account = NewAccount(
        name=name,
        provider="mitto",
        base_url=installation.ground.provider_url,
        external_id=name,
        api_key="benchmark",
        sender="Benchmark",
        rate_max=limit.max,
        rate_window_ms=limit.window_ms,
    )
    sealer = sealer_of(load(installation.environ))
    row = installation.database.write_now(
        operations.add_account, account, sealer=sealer, actor="benchmark"
    )
    return int(row.id)


def _wait_until_at_work(installation: Installation, workers: int) -> None:
    deadline = time.monotonic() + _AT_WORK_WITHIN_S
    while installation.database.read_now(_workers_seen) < workers:
        if time.monotonic() > deadline:
            raise ProcessFailedError("a worker has sent nothing")
        time.sleep(0.1)


def _workers_seen(connection: Connection) -> int:
    query = select(func.count(attempts.c.worker.distinct()))
    return int(connection.execute(query).scalar_one())


def _record(here: Ground, installation: Installation, begin_ns: int, until_ns: int) -> Record:
    times_ns: dict[str, list[int]] = defaultdict(list)
    for line in here.provider.call("GET", "/log/calls").splitlines():
        call = json.loads(line)
        times_ns[call["account"]].append(call["received_ns"])
        times_ns[call["sender"]].append(call["received_ns"])
    return Record(times_ns, installation.database.read_now(_void_percent), begin_ns, until_ns)


def _void_percent(connection: Connection) -> dict[str, float]:
    voids = func.sum(case((attempts.c.outcome == OutcomeKind.VOID, 100.0), else_=0.0))
    found: dict[str, float] = {}
    for owners, owner in ((traffic_accounts, "account_id"), (tenants, "tenant_id")):
        query = (
            select(owners.c.name, voids / func.count(attempts.c.id))
            .join(attempts, attempts.c[owner] == owners.c.id)
            .group_by(owners.c.name)
        )
        found |= {name: round(float(share), 2) for name, share in connection.execute(query)}
    return found


def _seen(record: Record, name: str, shared: Shared) -> SeenAccount:
    rates = {tenant: record.rate(tenant, limit) for tenant, limit in shared.tenants.items()}
    own = per_second(shared.limit) <= shared.bound
    # The whole windows of one limit are not those of another: each rate is over its own.
    rate = record.rate(name, shared.limit) if own else sum(rates.values())
    return SeenAccount(
        **record.seen(name, shared.limit, rate, shared.bound),
        binds=shared.binds,
        tenants={
            tenant: Seen(**record.seen(tenant, limit, rates[tenant], per_second(limit)))
            for tenant, limit in shared.tenants.items()
        },
    )


def broken_by(
    crowd: Mapping[str, Shared], accounts: Mapping[str, SeenAccount], duplicates: int
) -> list[str]:
    """The promises that were broken."""
    broken = [f"{duplicates} messages were sent twice"] if duplicates else []
    for name, seen in accounts.items():
        limits = {name: (crowd[name].limit, seen)} | {
            tenant: (limit, seen.tenants[tenant]) for tenant, limit in crowd[name].tenants.items()
        }
        broken += [
            f"a window of {who} held {calls.fullest_window} calls of {limit.max}"
            for who, (limit, calls) in limits.items()
            if calls.fullest_window > limit.max
        ]
        if seen.used_percent < 100 * LEAST_SHARE:
            broken.append(f"{name} was used to {seen.used_percent} % of {seen.binds}")
    return broken


def main() -> int:
    parser = program.command("benchmarks.crowd", __doc__)
    parser.set_defaults(database="postgres")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--workers", type=int, default=8, help="SQLite takes one")
    arguments = parser.parse_args()
    return program.run(lambda: measure(arguments.database, arguments.workers, arguments.seconds))


if __name__ == "__main__":
    sys.exit(main())
