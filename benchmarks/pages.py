"""How long each page of the dashboard takes beside a campaign of a million messages.

    python -m benchmarks.pages --messages 1000000 --database sqlite

`paceline api` answers somebody who has signed in with a password: once as a manager, whose reads
are confined to the tenant (row-level security on PostgreSQL), once as an administrator. Every
address that the dashboard adds to the application is read `--reads` times, with each filter and
deep in each list. An address whose p95 is not below 200 ms is a broken promise, and so are more
than two reads of the database a second for a campaign, however many watch it. So is a page that is
answered with an error of ours, or with nothing but refusals whatever example it is asked for.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import psycopg

from benchmarks import program, viewers
from benchmarks.addresses import Address, addresses
from benchmarks.browsers import Person
from benchmarks.furnishing import PEOPLE, furnish
from benchmarks.installation import Ground, Installation, WrongRunError, ground
from benchmarks.load import Load
from benchmarks.processes import served
from benchmarks.viewers import MOST_READS_PER_S, Watched

TARGET_MS = 200.0
VIEWERS = (1, 10, 50)
_WARM = 3
"""Reads before those that are timed: nobody is the first one for long."""
_OF_NOTHING = {"/{path:path}": 404, "/sign-in/{secret}": 410}
"""Pages that say that there is nothing."""


@dataclass(frozen=True, slots=True)
class Timed:
    path: str
    route: str
    part: bool
    """Htmx asked for it."""
    who: str
    status: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    kb: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much to measure; by default as documented."""

    messages: int = 1_000_000
    reads: int = 20
    watch_s: float = 10.0
    viewers: tuple[int, ...] = VIEWERS


@dataclass(frozen=True, slots=True)
class Figures:
    database: str
    messages: int
    reads: int
    pages: list[Timed]
    """The slowest first."""
    watched: list[Watched]
    broken: list[str]
    machine: dict[str, Any]


def measure(kind: str, sizes: Sizes) -> Figures:
    """Furnish a database and look at everything.

    Raises:
        WrongRunError: an address has no example.
        ProcessFailedError: Paceline did not start.
    """
    with ground(kind) as here:
        watched = viewers.measure(here, sizes.viewers, sizes.watch_s)
        with here.install() as installation:
            pages = _timed(here, installation, sizes)
            return Figures(
                database=kind,
                messages=sizes.messages,
                reads=sizes.reads,
                pages=sorted(pages, key=lambda each: -each.p95_ms),
                watched=watched,
                broken=[*_wrong(pages), *_slow(pages), *_greedy(watched)],
                machine=installation.facts(),
            )


def _timed(here: Ground, installation: Installation, sizes: Sizes) -> list[Timed]:
    house = installation.database.write_now(furnish, here.provider_url, sizes.messages)
    _settle(installation)
    if differences := installation.differences():
        raise WrongRunError(f"what was furnished does not add up: {differences[:3]}")
    pages = []
    with served(installation.environ, "api") as (url, _):
        looked_at = addresses(installation, house)
        for login in PEOPLE:
            with Person(url, login) as person:
                pages += [_time(person, each, sizes.reads) for each in looked_at]
    return pages


def _settle(installation: Installation) -> None:
    """What a PostgreSQL in use does by itself now and then."""
    if installation.ground.kind == "postgres":
        with psycopg.connect(installation.environ["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")


def _time(person: Person, address: Address, reads: int) -> Timed:
    for _ in range(min(_WARM, reads)):
        person.look(address)
    load = Load()
    for _ in range(reads):
        looked = person.look(address)
        load.latencies_ms.append(1000 * looked.seconds)
    return Timed(
        address.path,
        address.route,
        address.part,
        person.login,
        looked.status,
        load.percentile_ms(50),
        load.percentile_ms(95),
        load.percentile_ms(100),
        round(looked.size / 1000, 1),
    )


def _wrong(pages: list[Timed]) -> list[str]:
    errors = [each for each in pages if each.status >= 500]
    seen = {each.route for each in pages if each.status < 400}
    seen |= {each.route for each in pages if each.status == _OF_NOTHING.get(each.route)}
    refused = [each for each in pages if each.route not in seen and each not in errors]
    return [f"{each.path} answers the {each.who} {each.status}" for each in errors + refused]


def _slow(pages: list[Timed]) -> list[str]:
    return [
        f"{each.path} takes the {each.who} {each.p95_ms:g} ms (p95)"
        for each in pages
        if each.p95_ms >= TARGET_MS
    ]


def _greedy(watched: list[Watched]) -> list[str]:
    return [
        f"{each.viewers} viewers cost {each.reads_per_s:g} reads a second"
        for each in watched
        if each.reads_per_s > MOST_READS_PER_S
    ]


def main() -> int:
    parser = program.command("benchmarks.pages", __doc__)
    usual = Sizes()
    parser.add_argument("--messages", type=int, default=usual.messages)
    parser.add_argument("--reads", type=int, default=usual.reads)
    parser.add_argument("--watch-seconds", type=float, default=usual.watch_s)
    chosen = parser.parse_args()
    sizes = Sizes(chosen.messages, chosen.reads, chosen.watch_seconds)
    return program.run(
        lambda: measure(chosen.database, sizes), None if chosen.json else _slowest_first
    )


def _slowest_first(figures: Figures) -> str:
    lines = [
        f"{each.p95_ms:8.1f} ms p95 {each.p50_ms:8.1f} ms p50 {each.kb:7.1f} kB  "
        f"{each.status} {each.who:8} {'part ' if each.part else ''}{each.path}"
        for each in figures.pages
    ]
    lines += [
        f"{each.viewers:3} viewers: {each.reads_per_s:g} reads and {each.events_per_s:g} events "
        "a second"
        for each in figures.watched
    ]
    return "\n".join([*lines, *(f"BROKEN: {each}" for each in figures.broken)])


if __name__ == "__main__":
    sys.exit(main())
