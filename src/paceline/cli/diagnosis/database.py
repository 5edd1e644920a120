"""The database: it answers, its schema is ours, its clock agrees, it has room and is quick."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from paceline.cli.diagnosis.finding import Finding, fault, ok, warning
from paceline.cli.failures import ExitCode
from paceline.cli.session import Session
from paceline.clock import Clock, SystemClock
from paceline.settings import Settings, masked_database_url
from paceline.storage import checkup, migrate, row_security
from paceline.storage.database import Database, DatabaseUnreachableError, now
from paceline.storage.migrate import SchemaError, SchemaState

_REFUSALS = ("authentication failed", "no password supplied", "does not exist", "no pg_hba.conf")
_MOST_SKEW_MS = 2_000
_CONNECTIONS_OF_A_PROCESS = 17
"""The pool of ``Database``, those for glances, and the one that listens for work."""
_COMMITS = 9


def schema(settings: Settings, database: Database) -> Iterator[Finding]:
    """The database answers and has our schema; an empty one is given it."""
    shown = masked_database_url(settings.database_url)
    try:
        found = database.read_now(migrate.state)
        migrate.ready(database, create=True)
    except DatabaseUnreachableError as error:
        yield _unreachable(str(error))
    except SchemaError as error:
        code = f"schema_{found}"
        yield fault(
            "database", code, f"{shown}: its schema is {found}", str(error), ExitCode.CONFIGURATION
        )
    else:
        made = " (made just now)" if found is SchemaState.EMPTY else ""
        yield ok("database", f"{shown} answers{made}")


def _unreachable(reason: str) -> Finding:
    if any(words in reason for words in _REFUSALS):
        mend = "Correct the user, the password and the database's name in DATABASE_URL."
        return fault("database", "database_refuses", reason, mend, ExitCode.UNREACHABLE)
    mend = "Start the database, or correct DATABASE_URL."
    return fault("database", "database_unreachable", reason, mend, ExitCode.UNREACHABLE)


def clock(here: Session, ours: Clock | None = None) -> Iterator[Finding]:
    """PostgreSQL's clock, by which everything is timed, agrees with this machine's."""
    if here.database.is_sqlite:
        return
    ours = ours or SystemClock()
    before = ours.now_ms()
    theirs = here.database.read_now(now)
    skew_s = (theirs - (before + ours.now_ms()) / 2) / 1000
    found = f"PostgreSQL's is {abs(skew_s):.1f} s {'ahead' if skew_s > 0 else 'behind'}"
    if abs(skew_s) * 1000 <= _MOST_SKEW_MS:
        yield ok("clocks", found)
        return
    mend = "Let NTP set the clocks of both machines; scheduled campaigns follow PostgreSQL's."
    yield warning("clocks", "clock_skew", found, mend)


def connections(here: Session) -> Iterator[Finding]:
    """PostgreSQL has room for one more process."""
    free = here.database.read_now(checkup.free_connections)
    if free is None:
        return
    found = f"PostgreSQL gives {free} more"
    if free >= _CONNECTIONS_OF_A_PROCESS:
        yield ok("connections", found)
        return
    yield warning(
        "connections",
        "connections_few",
        f"{found}; a process takes up to {_CONNECTIONS_OF_A_PROCESS}",
        "Raise max_connections (or the limit of the role or the database), or run fewer processes.",
    )


def tenants_apart(here: Session) -> Iterator[Finding]:
    """PostgreSQL itself keeps the tenants apart, behind the filters of the queries."""
    if here.database.is_sqlite:
        return
    why = here.database.read_now(row_security.why_not)
    if why is None:
        yield ok("tenants apart", "PostgreSQL's row-level security is on")
        return
    role = here.database.read_now(row_security.mend)
    first = "" if why == row_security.NO_POLICIES else f"{role} Then "
    mend = f"{first}run as the owner of the tables: paceline db upgrade, and restart the API."
    found = f"row-level security is off: {why}"
    yield warning("tenants apart", "row_security_off", found, mend[0].upper() + mend[1:])


def commit_time(here: Session) -> Iterator[Finding]:
    """A permit can be used before it is void: a commit lies between its grant and the request."""
    half_ms = here.settings.rate_limit_margin_ms / 2
    typical_ms = statistics.median(_commit_ms(here.database) for _ in range(_COMMITS))
    found = f"one takes {typical_ms:.1f} ms; a permit is void after {half_ms:g} ms"
    if typical_ms < half_ms:
        yield ok("commits", found)
        return
    enough_ms = max(round(typical_ms / 10) * 40, 50)
    yield fault(
        "commits",
        "margin_too_small",
        found,
        f"Set RATE_LIMIT_MARGIN_MS={enough_ms}, or give the database a faster disk or network.",
    )


def _commit_ms(database: Database) -> float:
    began = time.perf_counter()
    database.write_now(checkup.commit_something)
    return (time.perf_counter() - began) * 1000
