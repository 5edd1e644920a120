"""A small campaign beside big ones: how long it takes, and how long it may take.

    python -m benchmarks.fairness --backlog 200000 --database sqlite

Every batch holds one message, so that turns are what counts, and the account lets 200 calls a
second through. The small campaign is sent alone, then again beside k tenants that have a big
backlog each, and beside one big campaign of its own tenant. The promise: (k + 1) times the time
alone, plus one window (with its margin) and one provider call, which here takes no time worth
counting. Exit code 1 if it is broken.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks import program
from benchmarks.installation import Ground, audience, complete, draft, ground, launched, start
from benchmarks.processes import Client, served
from paceline.domain.limits import Limit

MARGIN_MS = 50


@dataclass(frozen=True, slots=True)
class Beside:
    """One small campaign and its competition."""

    busy: int
    """How many others share the calls: k."""
    alone_s: float
    """From the enqueue call until `completed`, on an idle account."""
    beside_s: float
    bound_s: float
    pace_s: float
    """What that many calls of everybody take at the limit, for comparison."""


@dataclass(frozen=True, slots=True)
class Figures:
    database: str
    batches: int
    backlog: int
    calls_per_s: int
    scenarios: dict[str, Beside]
    broken: list[str]
    machine: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sizes:
    """The small campaign, each big one, and the account's limit."""

    batches: int
    backlog: int
    limit: Limit


SCENARIOS = {"1 busy tenant": 1, "5 busy tenants": 5, "a big campaign of its own": 0}
"""How many busy tenants there are; with none, the tenant itself is busy."""


def measure(kind: str, sizes: Sizes) -> Figures:
    """Run every scenario, each on a fresh database."""
    scenarios: dict[str, Beside] = {}
    with ground(kind) as here:
        for name, busy_tenants in SCENARIOS.items():
            scenarios[name], facts = _run(here, sizes, busy_tenants)
    broken = [
        f"beside {name}: {each.beside_s} s, at most {each.bound_s} s"
        for name, each in scenarios.items()
        if each.beside_s > each.bound_s
    ]
    return Figures(kind, sizes.batches, sizes.backlog, sizes.limit.max, scenarios, broken, facts)


def _run(here: Ground, sizes: Sizes, busy_tenants: int) -> tuple[Beside, dict[str, Any]]:
    limit = sizes.limit
    variables = {
        "SMS_BATCH_SIZE": "1",
        "RATE_LIMIT_TRAFFIC_ACCOUNT_MAX": str(limit.max),
        "RATE_LIMIT_TRAFFIC_ACCOUNT_WINDOW_MS": str(limit.window_ms),
        "RATE_LIMIT_MARGIN_MS": str(limit.margin_ms),
    }
    with here.install(**variables) as installation, ExitStack() as stack:
        url, _ = stack.enter_context(served(installation.environ))
        small = stack.enter_context(Client(url, installation.key_of("small")))
        few = small.post("/api/lists", {"name": "few"})["id"]
        audience(small, sizes.batches, list_id=few)
        alone = complete(small, draft(small, list_id=few))
        busy = [
            stack.enter_context(Client(url, installation.key_of(f"busy-{n}")))
            for n in range(busy_tenants)
        ] or [small]
        for client in busy:
            _make_busy(client, sizes)
        beside = complete(small, draft(small, list_id=few))
        return _judged(sizes, len(busy), alone, beside), installation.facts()


def _make_busy(client: Client, sizes: Sizes) -> None:
    """Start a campaign that will not end while we look."""
    many = client.post("/api/lists", {"name": "many"})["id"]
    audience(client, sizes.backlog, first=sizes.batches, list_id=many)
    campaign = draft(client, list_id=many)
    start(client, campaign)
    launched(client, campaign)


def _judged(sizes: Sizes, busy: int, alone: float, beside: float) -> Beside:
    window_s = sizes.limit.span_ms / 1000
    return Beside(
        busy=busy,
        alone_s=round(alone, 2),
        beside_s=round(beside, 2),
        bound_s=round((busy + 1) * alone + window_s, 2),
        pace_s=round((busy + 1) * sizes.batches / sizes.limit.max * window_s, 2),
    )


def main() -> int:
    parser = program.command("benchmarks.fairness", __doc__)
    parser.add_argument("--batches", type=int, default=100, help="of the small campaign")
    parser.add_argument("--backlog", type=int, default=200_000, help="of each busy tenant")
    parser.add_argument("--calls-per-second", type=int, default=200, help="the account's limit")
    arguments = parser.parse_args()
    limit = Limit(arguments.calls_per_second, 1_000, MARGIN_MS)
    sizes = Sizes(arguments.batches, arguments.backlog, limit)
    return program.run(lambda: measure(arguments.database, sizes))


if __name__ == "__main__":
    sys.exit(main())
