"""A Paceline process: its database made ready, its account kept, its worker run and stopped."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from paceline.clock import SystemClock
from paceline.domain.errors import ConflictError
from paceline.engine import operations
from paceline.engine.interpreter import keep_the_event_loop_quick
from paceline.engine.outbound import Deliveries
from paceline.engine.rules import Rules
from paceline.engine.wakeups import woken
from paceline.engine.worker import Worker
from paceline.settings import Settings, sqlalchemy_url, sqlite_path
from paceline.storage import credentials, doubt, migrate, outcomes, restart
from paceline.storage.database import Database, DatabaseUnreachableError
from paceline.storage.sealing import Sealer, sealer_of
from paceline.telemetry import get_logger

log = get_logger("process")

ACCOUNT_FROM_SETTINGS = "mitto"
"""The name of the traffic account that the Mitto variables describe."""


_STOP_SLACK_S = 5.0
"""Recording the answers to the last calls may take this long after the provider's time is up."""


class SecondSenderError(ConflictError):
    """On SQLite one process sends; another one holds the lock."""

    code = "second_sender"


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """The database with the newest schema, made if it is empty.

    Raises:
        DatabaseUnreachableError: there is none to talk to.
        SchemaError: its schema is older or newer than ours, or not ours at all.
    """
    make_folder(settings)
    database = Database(sqlalchemy_url(settings.database_url))
    try:
        migrate.ready(database, create=True)
        yield database
    finally:
        database.close()


@contextmanager
def ready_database(settings: Settings) -> Iterator[Database]:
    """As ``open_database``, with the account of the settings.

    Raises:
        SecretError: credentials were sealed with another secret than ours.
    """
    with open_database(settings) as database:
        keep_account(database, settings)
        yield database


def make_folder(settings: Settings) -> None:
    """Make the folder of an SQLite database.

    Raises:
        DatabaseUnreachableError: it cannot be made.
    """
    if not settings.database_url.startswith("sqlite"):
        return
    folder = Path(sqlite_path(settings.database_url)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseUnreachableError(
            f"The database's folder {folder} cannot be made: {error.strerror}. "
            "Set PACELINE_DATA_DIR or DATABASE_URL."
        ) from error


def unlock(database: Database, settings: Settings) -> Sealer:
    """What opens the installation's credentials; whatever of them is still plain is sealed.

    Raises:
        SecretError: they were sealed with another secret than ours, or ours cannot be had.
    """
    sealer = sealer_of(settings)
    database.write_now(credentials.check_in, sealer)
    return sealer


def keep_account(database: Database, settings: Settings) -> None:
    """With the Mitto variables set, their account exists, is up to date and is the default.

    Raises:
        SecretError: as ``unlock``.
    """
    if not settings.mitto_api_key:
        return
    sealer = unlock(database, settings)
    values = {
        "provider": "mitto",
        "base_url": settings.mitto_api_base,
        "external_id": settings.mitto_traffic_account_id,
        "api_key": settings.mitto_api_key,
        "sender": settings.mitto_sender or "",
    }
    database.write_now(
        operations.keep_account, name=ACCOUNT_FROM_SETTINGS, values=values, sealer=sealer
    )


@asynccontextmanager
async def working(database: Database, settings: Settings) -> AsyncIterator[Worker]:
    """Run a worker; at the end let it finish its calls, for as long as the provider may take.

    Raises:
        SecondSenderError: on SQLite another process sends from this database.
        SecretError: there is no secret to open the accounts' keys with.
    """
    keep_the_event_loop_quick()
    with _sole_sender(database):
        if database.is_sqlite:
            await take_up_again(database, Rules.of(settings))
        clock = SystemClock()
        worker = Worker(
            database,
            Rules.of(settings),
            clock,
            sealer=sealer_of(settings),
            public_url=settings.public_url,
            deliveries=Deliveries.of(database, settings, clock),
        )
        running = asyncio.create_task(worker.run())
        try:
            async with woken(database, worker.wake):
                yield worker
        finally:
            worker.stop()
            await _ended(running, settings.provider_timeout_ms / 1000 + _STOP_SLACK_S)


async def _ended(running: asyncio.Task[None], within_s: float) -> None:
    """Wait for a worker that was told to stop; without its database it would never end."""
    done, _ = await asyncio.wait({running}, timeout=within_s)
    if done:
        await running
    else:
        # Nothing is sent again by this: what could not be recorded becomes unconfirmed.
        log.error("stop_timed_out", after_s=within_s)
        running.cancel()


async def take_up_again(database: Database, rules: Rules) -> None:
    """Only one process sends on SQLite, and it is we: whatever was in hand is nobody's now."""
    for batch_id in await database.read(doubt.in_hand):
        status = await database.write(outcomes.expire, batch_id, rules.policy_of, all_of_them=True)
        log.warning("batch_taken_back", batch_id=batch_id, status=str(status))
    await database.write(restart.spend_windows)


@contextmanager
def _sole_sender(database: Database) -> Iterator[None]:
    if not database.is_sqlite:
        yield
        return
    path = f"{database.url.database}.sender.lock"
    with open(path, "a+", encoding="ascii") as file:  # noqa: PTH123 - flock wants the descriptor
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise SecondSenderError(
                f"Another process ({file.read().strip() or 'unknown'}) sends from this database. "
                "SQLite serves one sender; stop that one, or use PostgreSQL for several."
            ) from None
        file.truncate(0)
        file.write(f"pid {os.getpid()}")
        file.flush()
        yield  # the lock goes with the descriptor, also when we are killed
