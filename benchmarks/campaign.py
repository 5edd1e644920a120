"""One campaign from end to end, from the call that starts it until it is `completed`.

    python -m benchmarks.campaign --recipients 100000 --database sqlite --batch-size 500 --json

Everything is real: `paceline serve` as a process, its HTTP API, a durable database, and the
provider simulator as a second process, without latency. The limits are out of the way, so what is
measured is Paceline itself. A run that sent anything twice, lost anything or has wrong counters
ends with exit code 1 and prints no figure.

With `--yardstick` every run is followed by one of the bare architecture (`benchmarks.yardstick`)
on the same database server with the same provider, three times over.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks import machine, program, yardstick
from benchmarks.installation import Ground, audience, complete, draft, ground, insist
from benchmarks.processes import Client, printed_by, served

ROUNDS = 3
CONCURRENCY = 8
"""Calls at a time, on both sides. By default a worker makes 5: then on a quick machine it is these
places that are full, and not the processors."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run is reported as.

    `seconds` runs from just before the enqueue call until a status read says `completed`;
    `peak_rss_mb` is the most memory that the serving process ever held, the import of the contacts
    included; `void_permits` is the share of permits that ran out unused.
    """

    messages_per_s: int
    seconds: float
    peak_rss_mb: float
    void_permits: float
    database: str
    batch_size: int
    recipients: int
    provider: dict[str, int]
    machine: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Round:
    """One run of each."""

    messages_per_s: int
    yardstick_messages_per_s: int
    ratio: float
    """Of the one rate to the other; 1 would mean that promises cost nothing."""


@dataclass(frozen=True, slots=True)
class Compared(Figures):
    """The run in the middle by speed, and what came of the comparison."""

    ratio_to_yardstick: float
    """The median of the rounds' ratios."""
    rounds: list[Round]


def measure(kind: str, recipients: int, batch_size: int) -> Figures:
    """Run one campaign.

    Raises:
        WrongRunError: something was lost, sent twice or counted wrong.
        ProcessFailedError: Paceline did not start.
    """
    with ground(kind) as here:
        return measure_on(here, recipients, batch_size)


def compare(kind: str, recipients: int, batch_size: int) -> Compared:
    """Run Paceline and the bare architecture in turn.

    Raises:
        WrongRunError, ProcessFailedError: as `measure`.
    """
    runs: list[Figures] = []
    rounds: list[Round] = []
    with ground(kind) as here:
        for _ in range(ROUNDS):
            run = measure_on(here, recipients, batch_size)
            bare = recipients / _yardstick_seconds(here, recipients, batch_size)
            runs.append(run)
            rounds.append(
                Round(run.messages_per_s, round(bare), round(run.messages_per_s / bare, 3))
            )
    middle = sorted(runs, key=lambda run: run.messages_per_s)[ROUNDS // 2]
    ratio = median(each.ratio for each in rounds)
    return Compared(**asdict(middle), ratio_to_yardstick=ratio, rounds=rounds)


def measure_on(here: Ground, recipients: int, batch_size: int) -> Figures:
    """As `measure`, on ground that others may have used."""
    with here.install(
        SMS_BATCH_SIZE=str(batch_size), WORKER_CONCURRENCY=str(CONCURRENCY)
    ) as installation:
        key = installation.key_of("benchmark")
        with served(installation.environ) as (url, pid), Client(url, key) as client:
            audience(client, recipients)
            seconds = complete(client, draft(client))
            peak = machine.peak_rss_mb(pid)
        return Figures(
            messages_per_s=round(recipients / seconds),
            seconds=round(seconds, 2),
            peak_rss_mb=peak,
            void_permits=installation.void_share(),
            database=here.kind,
            batch_size=batch_size,
            recipients=recipients,
            provider=installation.insist(recipients),
            machine=installation.facts(),
        )


def _yardstick_seconds(here: Ground, recipients: int, batch_size: int) -> float:
    here.forget()
    task = yardstick.Task(
        here.new_database(), here.provider_url, recipients, batch_size, CONCURRENCY
    )
    seconds = float(printed_by("benchmarks.yardstick", *task.words())["seconds"])
    insist(recipients, here.provider.get("/log/summary"), [])
    return seconds


def main() -> int:
    parser = program.command("benchmarks.campaign", __doc__)
    parser.add_argument("--recipients", type=int, default=100_000)
    parser.add_argument("--batch-size", type=int, default=500)
    parser.add_argument(
        "--yardstick", action="store_true", help="beside the bare architecture, three times each"
    )
    arguments = parser.parse_args()
    chosen = (arguments.database, arguments.recipients, arguments.batch_size)
    if arguments.yardstick:
        return program.run(lambda: compare(*chosen))
    return program.run(lambda: measure(*chosen), None if arguments.json else _sentence)


def _sentence(figures: Figures) -> str:
    return (
        f"{figures.recipients:,} messages in {figures.seconds} s: "
        f"{figures.messages_per_s:,} a second on {figures.database} in batches of "
        f"{figures.batch_size}, {figures.peak_rss_mb:g} MB at most, "
        f"{figures.void_permits:.2%} of the permits void"
    )


if __name__ == "__main__":
    sys.exit(main())
