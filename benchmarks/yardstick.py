"""The bare architecture: what any engine that writes down before it calls has to do, and no more.

    python -m benchmarks.yardstick DATABASE_URL PROVIDER_URL RECIPIENTS BATCH_SIZE CONCURRENCY

Launch: every contact becomes a message row, in chunks, and sending begins with the first. For each
batch: commit a reservation, load and render, commit an intent, make the call, commit each message's
result with its provider's id. There are no limits, fences, leases, suppressions, counters,
receipts, logs or retries: any failure ends the run. It uses Paceline's way to the database
(durability included), its HTTP client and its JSON, so a ratio to it is what the rest costs.

Used by `benchmarks.campaign --yardstick`; prints `{"seconds": …}`, from before the first chunk of
the launch until the last result is committed. The database must be empty.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import uvloop
from sqlalchemy import Connection
from sqlalchemy import text as sql

from paceline.domain.outcome import Answered
from paceline.providers import create
from paceline.providers.base import Account, OutgoingMessage, Provider
from paceline.settings import sqlalchemy_url
from paceline.storage.database import Database, is_postgres
from paceline.storage.launches import CHUNK

"""As Paceline's launch."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to run."""

    database_url: str
    provider_url: str
    recipients: int
    batch_size: int
    concurrency: int

    def words(self) -> list[str]:
        """As arguments of the command."""
        return [str(value) for value in astuple(self)]


async def run(task: Task) -> float:
    """Fill the database, then launch and send; return the seconds of the latter two."""
    database = Database(sqlalchemy_url(task.database_url))
    provider = create(Account("mitto", task.provider_url, "benchmark", "benchmark"))
    try:
        database.write_now(_fill, task.recipients)
        started = time.perf_counter()
        await _Engine(database, provider, task).run()
        return time.perf_counter() - started
    finally:
        await provider.aclose()
        database.close()


class _Engine:
    """Holds twice as many batches as it makes calls at a time, as Paceline's worker does."""

    def __init__(self, database: Database, provider: Provider, task: Task) -> None:
        self.database = database
        self.provider = provider
        self.task = task
        self.places = asyncio.Semaphore(task.concurrency)
        self.in_hand: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        launching = asyncio.create_task(self._launch())
        while True:
            over = launching.done()  # looked at first: what it wrote before that is found below
            free = 2 * self.task.concurrency - len(self.in_hand)
            for batch_id in await self.database.write(_reserve, free):
                self.in_hand.add(asyncio.create_task(self._send(batch_id)))
            if over and not self.in_hand:
                break
            waiting_for = self.in_hand | (set() if over else {launching})
            done, _ = await asyncio.wait(
                waiting_for, return_when=asyncio.FIRST_COMPLETED, timeout=_LOOK_AGAIN_S
            )
            for task in done:
                task.result()
            self.in_hand -= done

    async def _launch(self) -> None:
        size = self.task.batch_size
        chunk = max(CHUNK // size, 1) * size
        for first in range(0, self.task.recipients, chunk):
            await self.database.write(_write_chunk, first, first + chunk, size)

    async def _send(self, batch_id: int) -> None:
        ids, outgoing = await self.database.read(_render, batch_id)
        call = self.provider.prepare("Benchmark", outgoing)
        async with self.places:
            assert await call.connect() is None
            await self.database.write(_intend, batch_id)
            outcome = await call.submit(math.inf)
            assert isinstance(outcome, Answered), outcome
            assert not outcome.rejections, outcome
            await self.database.write(_record, batch_id, outcome.provider_ids, ids)


_LOOK_AGAIN_S = 0.02
"""While the launch goes on: the rows it wrote meanwhile are looked for this often."""


def _fill(connection: Connection, recipients: int) -> None:
    """The tables, with contacts in one of them."""
    postgres = is_postgres(connection)
    integer = "BIGINT" if postgres else "INTEGER"
    for statement in _TABLES:
        # As Paceline's: room in every page, so that PostgreSQL can update rows in place.
        room = " WITH (fillfactor = 80)" if postgres and "messages (" in statement else ""
        connection.execute(sql(statement.format(id=integer) + room))
    connection.execute(
        sql("INSERT INTO contacts VALUES (:id, :phone, :name)"),
        [
            {"id": n, "phone": f"+3069{10_000_000 + n}", "name": f"Name{n}"}
            for n in range(recipients)
        ],
    )


def _write_chunk(connection: Connection, first: int, until: int, size: int) -> None:
    span = {"first": first, "until": until}
    connection.execute(_MESSAGES, span | {"size": size})
    connection.execute(_BATCHES, span)


def _reserve(connection: Connection, most: int) -> list[int]:
    return list(connection.execute(_RESERVE, {"most": most}).scalars()) if most else []


def _render(connection: Connection, batch_id: int) -> tuple[list[int], list[OutgoingMessage]]:
    rows = connection.execute(_LOAD, {"batch": batch_id}).all()
    return [row.id for row in rows], [
        OutgoingMessage(
            row.phone, f"Hello {row.name}, our shop has 20% off everything until Sunday.", ""
        )
        for row in rows
    ]


def _intend(connection: Connection, batch_id: int) -> None:
    connection.execute(_ATTEMPT, {"batch": batch_id})
    connection.execute(_MOVE, {"batch": batch_id, "status": "submitting"})


def _record(
    connection: Connection, batch_id: int, provider_ids: Sequence[str | None], ids: list[int]
) -> None:
    if is_postgres(connection):
        connection.execute(_SENT, {"provider_ids": list(provider_ids), "ids": ids})
    else:
        sent = list(zip(provider_ids, ids, strict=True))
        connection.exec_driver_sql(_SENT_ONE_BY_ONE, sent)
    connection.execute(_MOVE, {"batch": batch_id, "status": "done"})
    connection.execute(_FINISH, {"batch": batch_id})


_TABLES = (
    "CREATE TABLE contacts (id {id} PRIMARY KEY, phone TEXT NOT NULL, name TEXT NOT NULL)",
    (
        "CREATE TABLE messages (id {id} PRIMARY KEY, batch_id BIGINT NOT NULL,"
        " phone TEXT NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL, provider_id TEXT)"
    ),
    "CREATE INDEX messages_of_batch ON messages (batch_id)",
    "CREATE TABLE batches (id {id} PRIMARY KEY, status TEXT NOT NULL)",
    "CREATE INDEX batches_queued ON batches (id) WHERE status = 'queued'",
    "CREATE TABLE attempts (batch_id {id} PRIMARY KEY, outcome TEXT)",
)


_MESSAGES = sql(
    "INSERT INTO messages SELECT id, id / :size, phone, name, 'queued', NULL FROM contacts"
    " WHERE id >= :first AND id < :until"
)
_BATCHES = sql(
    "INSERT INTO batches SELECT DISTINCT batch_id, 'queued' FROM messages"
    " WHERE id >= :first AND id < :until"
)
_RESERVE = sql(
    "UPDATE batches SET status = 'reserved' WHERE id IN"
    " (SELECT id FROM batches WHERE status = 'queued' ORDER BY id LIMIT :most) RETURNING id"
)
_LOAD = sql("SELECT id, phone, name FROM messages WHERE batch_id = :batch ORDER BY id")
_ATTEMPT = sql("INSERT INTO attempts (batch_id) VALUES (:batch)")
_MOVE = sql("UPDATE batches SET status = :status WHERE id = :batch")
_SENT = sql(
    "UPDATE messages SET status = 'sent', provider_id = answer.provider_id FROM"
    " unnest(CAST(:provider_ids AS text[]), CAST(:ids AS bigint[])) AS answer (provider_id, id)"
    " WHERE messages.id = answer.id"
)
_SENT_ONE_BY_ONE = "UPDATE messages SET status = 'sent', provider_id = ? WHERE id = ?"
_FINISH = sql("UPDATE attempts SET outcome = 'accepted' WHERE batch_id = :batch")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.yardstick",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("database_url")
    parser.add_argument("provider_url")
    for name in ("recipients", "batch_size", "concurrency"):
        parser.add_argument(name, type=int)
    seconds = uvloop.run(run(Task(**vars(parser.parse_args()))))
    print(json.dumps({"seconds": seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
