"""How much memory serving takes, and whether it grows with the audience.

    python -m benchmarks.memory --recipients 100000 1000000 --database sqlite

Each size is one campaign in a fresh `paceline serve`, import and launch included; its peak RSS is
the most that the process ever held. `ratio` is that of the largest audience to the smallest's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import program
from benchmarks.campaign import Figures as Run
from benchmarks.campaign import measure_on
from benchmarks.installation import ground


@dataclass(frozen=True, slots=True)
class Size:
    recipients: int
    peak_rss_mb: float
    void_permits: float
    """The share of permits that ran out unused."""
    messages_per_s: int


@dataclass(frozen=True, slots=True)
class Figures:
    database: str
    batch_size: int
    ratio: float
    sizes: list[Size]
    machine: dict[str, Any]


def measure(kind: str, sizes: Sequence[int], batch_size: int) -> Figures:
    """Run one campaign of each size.

    Raises:
        WrongRunError, ProcessFailedError: as in `benchmarks.campaign`.
    """
    with ground(kind) as here:
        runs = [measure_on(here, recipients, batch_size) for recipients in sorted(sizes)]
    ratio = round(runs[-1].peak_rss_mb / runs[0].peak_rss_mb, 2)
    return Figures(kind, batch_size, ratio, [_size(run) for run in runs], runs[0].machine)


def _size(run: Run) -> Size:
    return Size(run.recipients, run.peak_rss_mb, run.void_permits, run.messages_per_s)


def main() -> int:
    parser = program.command("benchmarks.memory", __doc__)
    parser.add_argument("--recipients", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--batch-size", type=int, default=500)
    chosen = parser.parse_args()
    return program.run(lambda: measure(chosen.database, chosen.recipients, chosen.batch_size))


if __name__ == "__main__":
    sys.exit(main())
