"""Let go wrong what goes wrong at home, and let the provider's own log say what came of it.

    python -m tests.crash --kills 100 --database sqlite|postgres [--sender serve|worker]
    python -m tests.crash stops --times 50 --database sqlite|postgres
    python -m tests.crash terms --times 50 --database sqlite|postgres [--sender serve|worker]
    python -m tests.crash postgres --times 20
    python -m tests.crash gone --seconds 60 --database sqlite|postgres
    python -m tests.crash full-disk --seconds 30 --database sqlite|postgres [--by pragma|log]

Real processes, a real database, a provider that takes its time. Prints one JSON document and exits
1 if a promise is broken; `broken` names it.

--kills: kill -9 of `serve`, then of `worker` beside an `api`, half of the times each: while it
starts, and while it sends. What was in flight is in doubt at most.

stops: what sends is stopped until its lease has run out, and then goes on (SIGSTOP, SIGCONT). It
sends nothing that is not its own any more.

terms: SIGTERM under load. It ends by itself within the provider's time-out and 10 s, with nothing
in its hands and nothing in doubt, and the next one takes up the rest.

postgres: kill -9 of all processes of PostgreSQL at once, which is then started again.

gone: PostgreSQL is stopped for so long; for SQLite, which has no server, another program keeps the
lock for so long. Receipts are answered 503 and taken later; it goes on by itself.

full-disk: on a small tmpfs, which only root can mount, the room is taken away for so long. With
--by log PostgreSQL's own log is used up too, and the server gives up; with --by pragma, for
everybody, an SQLite file may grow no more. Nothing is sent again because it could not be recorded.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import program
from tests.crash import full_disk, gone
from tests.crash.database_kills import database_kills
from tests.crash.installation import database
from tests.crash.judge import Report
from tests.crash.kills import SENDERS, Sender, kills
from tests.crash.stops import stops
from tests.crash.terms import terms
from tests.postgres import running_postgres

_DEFAULTS = {"database": "sqlite", "recipients": 20_000, "batch_size": 5, "seed": 1, "sender": None}


def main() -> int:
    chosen = _parser().parse_args()
    return program.run(lambda: _measured(chosen))


def _measured(chosen: argparse.Namespace) -> Report:
    measure: Callable[[argparse.Namespace], Report] = chosen.measure
    report = measure(chosen)
    report.figures = {"database": chosen.database, **report.figures}
    return report


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(measure=_kills, **_DEFAULTS)
    parser.add_argument("--kills", type=int, default=10, dest="times")
    _add_common(parser)
    verbs = parser.add_subparsers(metavar="stops|terms|postgres|gone|full-disk")
    for name, measure, times in (("stops", _stops, 50), ("terms", _terms, 50)):
        verb = verbs.add_parser(name)
        verb.set_defaults(measure=measure)
        verb.add_argument("--times", type=int, default=times)
        _add_common(verb)
    verb = verbs.add_parser("postgres")
    verb.set_defaults(measure=_postgres, database="postgres")
    verb.add_argument("--times", type=int, default=20)
    _add_common(verb)
    for name, measure, seconds in (("gone", _gone, 60.0), ("full-disk", _full_disk, 30.0)):
        verb = verbs.add_parser(name)
        verb.set_defaults(measure=measure)
        verb.add_argument("--seconds", type=float, default=seconds)
        _add_common(verb)
    verb.add_argument("--by", choices=["disk", "pragma", "log"], default="disk")
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    """Options before and after the verb; their defaults are the main parser's."""
    given = partial(parser.add_argument, default=argparse.SUPPRESS)
    given("--database", choices=["sqlite", "postgres"])
    given("--recipients", type=int)
    given("--batch-size", type=int)
    given("--seed", type=int)
    given("--sender", choices=SENDERS, help="of kills and terms; else both, half of the times each")


def _kills(chosen: argparse.Namespace) -> Report:
    with _database(chosen) as url:
        return kills(url, **_often(chosen), senders=_senders(chosen))


def _stops(chosen: argparse.Namespace) -> Report:
    with _database(chosen) as url:
        return stops(url, **_often(chosen))


def _terms(chosen: argparse.Namespace) -> Report:
    with _database(chosen) as url:
        return terms(url, **_often(chosen), senders=_senders(chosen))


def _postgres(chosen: argparse.Namespace) -> Report:
    with running_postgres() as server:
        return database_kills(server, **_often(chosen))


def _gone(chosen: argparse.Namespace) -> Report:
    if chosen.database == "sqlite":
        with _database(chosen) as url:
            return gone.file_locked(url, **_long(chosen))
    with running_postgres() as server:
        return gone.server_gone(server, **_long(chosen))


def _full_disk(chosen: argparse.Namespace) -> Report:
    if chosen.database == "postgres":
        return full_disk.postgres_disk_filled(**_long(chosen), log_too=chosen.by == "log")
    if chosen.by == "disk":
        return full_disk.sqlite_disk_filled(**_long(chosen))
    with _database(chosen) as url:
        return full_disk.pages_used_up(url, **_long(chosen))


@contextmanager
def _database(chosen: argparse.Namespace) -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix="paceline-crash-") as folder,
        database(chosen.database, Path(folder)) as url,
    ):
        yield url


def _senders(chosen: argparse.Namespace) -> Sequence[Sender]:
    return (chosen.sender,) if chosen.sender else SENDERS


def _often(chosen: argparse.Namespace) -> dict[str, Any]:
    return {"times": chosen.times, "seed": chosen.seed, **_size(chosen)}


def _long(chosen: argparse.Namespace) -> dict[str, Any]:
    return {"seconds": chosen.seconds, **_size(chosen)}


def _size(chosen: argparse.Namespace) -> dict[str, Any]:
    return {"recipients": chosen.recipients, "batch_size": chosen.batch_size}


if __name__ == "__main__":
    sys.exit(main())
