"""The bare architecture: what any engine that writes down before it calls has to do, and no more.

    python -m benchmarks.yardstick DATABASE_URL PROVIDER_URL RECIPIENTS BATCH_SIZE CONCURRENCY

On Paceline's own tables, with its launch, its rendering, its way to the database (durability
included) and its HTTP client: commit a reservation, load and render, commit an intent (both windows
written, the attempt written), make the call, commit the record (messages, batch, attempt, the
campaign's counters). Each of these steps is the fewest statements that write this down. There are
no checks (limits, turns, fences, leases, opt-outs, the account's state, doubt), no logs, no
metrics, no receipts and nothing that makes them possible, and any failure ends the run. So the
ratio of Paceline's speed to this one is what all that costs.

Used by `benchmarks.campaign --yardstick`; prints `{"seconds": …}`, from before the campaign is
started until the last record is committed. The database must be empty.
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
from paceline.engine.interpreter import keep_the_event_loop_quick
from paceline.engine.rendering import render
from paceline.engine.worker import AT_THE_GATE
from paceline.providers import create
from paceline.providers.base import Account, Provider
from paceline.settings import sqlalchemy_url
from paceline.storage import accounts, campaigns, launches, migrate, tenants
from paceline.storage.batches import ReservedBatch
from paceline.storage.database import Database, now

_TEXT = "Hello {{first_name|there}}, our shop has 20% off everything until Sunday."
_LOOK_AGAIN_S = 0.02
"""While the launch goes on, what it wrote meanwhile is looked for this often."""


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
        migrate.upgrade(database)
        campaign_id = database.write_now(_fill, task)
        keep_the_event_loop_quick()
        started = time.perf_counter()
        await _Engine(database, provider, task, campaign_id).run()
        return time.perf_counter() - started
    finally:
        await provider.aclose()
        database.close()


class _Engine:
    """Holds as many batches as Paceline's worker does, and makes as many calls at a time."""

    def __init__(
        self, database: Database, provider: Provider, task: Task, campaign_id: int
    ) -> None:
        self.database = database
        self.provider = provider
        self.task = task
        self.campaign_id = campaign_id
        self.places = asyncio.Semaphore(task.concurrency)
        self.in_hand: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        launching = asyncio.create_task(self._launch())
        while True:
            over = launching.done()  # looked at first: what it wrote before that is found below
            free = self.task.concurrency + AT_THE_GATE - len(self.in_hand)
            for batch in await self.database.write(_reserve, free):
                self.in_hand.add(asyncio.create_task(self._send(batch)))
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
        chunk = await self.database.write(launches.start, None, self.campaign_id, batch_size=size)
        while not chunk.finished:
            chunk = await self.database.write(_next_chunk, self.campaign_id)

    async def _send(self, batch: ReservedBatch) -> None:
        (rendered,) = await self.database.read(render, [batch])
        call = self.provider.prepare(rendered.sender, rendered.outgoing)
        async with self.places:
            assert await call.connect() is None
            attempt_id = await self.database.write(_intend, batch, len(rendered.message_ids))
            outcome = await call.submit(math.inf)
            assert isinstance(outcome, Answered), outcome
            assert not outcome.rejections, outcome
            await self.database.write(_record, batch, attempt_id)


def _fill(connection: Connection, task: Task) -> int:
    """A tenant, its contacts and its campaign; the campaign's id."""
    tenant = tenants.keep(connection, "benchmark")
    account = accounts.keep(
        connection,
        name="benchmark",
        values={
            "provider": "mitto",
            "base_url": task.provider_url,
            "external_id": "benchmark",
            "api_key": "benchmark",
            "sender": "Benchmark",
        },
    )
    connection.execute(
        _CONTACTS, {"tenant": tenant.id, "until": task.recipients, "now": now(connection)}
    )
    draft = campaigns.create(
        connection,
        tenant.id,
        account_id=account.id,
        name="Benchmark",
        text=_TEXT,
        sender="Benchmark",
    )
    return int(draft.id)


def _next_chunk(connection: Connection, campaign_id: int) -> launches.Launched:
    chunk = launches.write_chunk(connection, campaign_id)
    assert chunk is not None
    return chunk


def _reserve(connection: Connection, most: int) -> Sequence[ReservedBatch]:
    if not most:
        return ()
    return [ReservedBatch(*row) for row in connection.execute(_RESERVE, {"most": most})]


def _intend(connection: Connection, batch: ReservedBatch, size: int) -> int:
    at = now(connection)
    ids = {"batch": batch.id, "tenant": batch.tenant_id, "account": batch.account_id}
    connection.execute(_SPEND_TENANT, ids | {"window": f"[{at},1]"})
    connection.execute(_SPEND_ACCOUNT, ids | {"window": f"[{at},1]"})
    connection.execute(_MOVE, ids | {"status": "submitting"})
    attempt = {"campaign": batch.campaign_id, "fence": batch.fence, "size": size, "now": at}
    attempt_id: int = connection.execute(_ATTEMPT, ids | attempt).scalar_one()
    return attempt_id


def _record(connection: Connection, batch: ReservedBatch, attempt_id: int) -> None:
    at = now(connection)
    sent = connection.execute(_SENT, {"batch": batch.id, "now": at}).rowcount
    connection.execute(_MOVE, {"batch": batch.id, "status": "done"})
    connection.execute(_FINISH, {"attempt": attempt_id, "now": at})
    connection.execute(_COUNT, {"campaign": batch.campaign_id, "sent": sent})


_CONTACTS = sql(
    "WITH RECURSIVE numbers (n) AS"
    " (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :until)"
    " INSERT INTO contacts (tenant_id, phone, first_name, attributes, created_at, updated_at)"
    " SELECT :tenant, '+3069' || (10000000 + n), 'Name' || n, '{}', :now, :now FROM numbers"
)
_RESERVE = sql(
    "UPDATE batches SET status = 'reserved', fence = fence + 1 WHERE id IN"
    " (SELECT id FROM batches WHERE status = 'queued' ORDER BY account_id, tenant_id, campaign_id,"
    " due_at, id LIMIT :most)"
    " RETURNING id, tenant_id, account_id, campaign_id, fence, generation, seen_opt_outs"
)
_SPEND_TENANT = sql("UPDATE tenants SET grants = :window WHERE id = :tenant")
_SPEND_ACCOUNT = sql("UPDATE traffic_accounts SET grants = :window WHERE id = :account")
_MOVE = sql("UPDATE batches SET status = :status WHERE id = :batch")
_ATTEMPT = sql(
    "INSERT INTO attempts (tenant_id, account_id, campaign_id, batch_id, fence, generation, size,"
    " worker, started_at, send_by)"
    " VALUES (:tenant, :account, :campaign, :batch, :fence, 0, :size, 'yardstick', :now, :now)"
    " RETURNING id"
)
_SENT = sql("UPDATE messages SET status = 'sent', sent_at = :now WHERE batch_id = :batch")
_FINISH = sql("UPDATE attempts SET outcome = 'answered', finished_at = :now WHERE id = :attempt")
_COUNT = sql(
    "UPDATE campaigns SET queued = queued - :sent, sent = sent + :sent,"
    " processed = processed + :sent WHERE id = :campaign"
)


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
