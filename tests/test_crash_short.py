"""The crash loops in small, and in smallest form what they have found.

In full they are `python -m tests.crash`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from benchmarks.processes import ProcessFailedError
from paceline.clock import VirtualClock
from paceline.domain.outcome import NoAnswer
from paceline.engine import worker
from paceline.providers.http import HttpEndpoint
from paceline.settings import sqlalchemy_url
from paceline.storage import database as storage
from paceline.storage import messages, migrate, outcomes
from paceline.storage.batches import Attempt
from paceline.storage.database import Database, DatabaseUnreachableError, ping
from paceline.storage.wishes import Lost, Wish
from tests.acceptance.world import world
from tests.crash import full_disk, gone, provider
from tests.crash.database_kills import database_kills
from tests.crash.kills import Sender, kills
from tests.crash.stops import stops
from tests.crash.terms import terms
from tests.postgres import PostgresServer, running_postgres
from tests.storage.world import LEASE_MS, World

SMALL: dict[str, Any] = {"recipients": 1500, "batch_size": 5}
"""More than is sent while things go wrong, also on a busy machine."""


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL that may come to harm."""
    with running_postgres() as running:
        yield running


def test_a_kill_sends_nothing_twice_and_loses_nothing(database_url: str) -> None:
    sender: Sender = "serve" if database_url.startswith("sqlite") else "worker"
    report = kills(database_url, times=2, seed=7, senders=[sender], **SMALL)
    assert report.broken == []


def test_who_wakes_up_after_its_lease_sends_only_what_is_its_own(database_url: str) -> None:
    report = stops(database_url, times=2, seed=1, **SMALL)
    assert report.broken == []


def test_sigterm_under_load_ends_in_time_and_leaves_nothing_behind(postgres_url: str) -> None:
    report = terms(postgres_url, times=2, seed=1, senders=["worker"], **SMALL)
    assert report.broken == []


def test_a_kill_of_postgresql_itself_sends_nothing_twice(server: PostgresServer) -> None:
    report = database_kills(server, times=2, seed=1, **SMALL)
    assert report.broken == []


def test_a_database_that_was_gone_is_missed_and_found_again(server: PostgresServer) -> None:
    report = gone.server_gone(server, seconds=2, **SMALL)
    assert report.broken == []
    assert set(report.figures["ready_answered"]) == {503}


def test_when_a_file_cannot_grow_nothing_is_sent_again_and_all_goes_on_later(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/paceline.db"
    report = full_disk.pages_used_up(url, seconds=2, **SMALL)
    assert report.broken == []


def test_when_the_disk_of_postgresql_is_full_nothing_is_sent_again_and_all_goes_on_later() -> None:
    try:
        report = full_disk.postgres_disk_filled(seconds=2, **SMALL)
    except ProcessFailedError as error:  # this is not root, or may not mount
        pytest.skip(str(error))
    assert report.broken == []


def test_who_lost_its_batch_gets_no_intent_beside_who_has_it_now(database_url: str) -> None:
    """Both may be trips of one worker, which was stopped, or whose database was."""
    clock = VirtualClock()
    with closing(Database(sqlalchemy_url(database_url), clock=clock)) as database:
        migrate.upgrade(database)
        here = World(database, clock)
        here.sending(3)
        lost = here.reserve()
        here.pass_time(LEASE_MS)
        here.write(outcomes.expire, lost.id, lambda _: here.policy)
        held = here.reserve()
        intents = here.intend_together(Wish(lost, 3), Wish(held, 3))
    assert [type(each) for each in intents] == [Lost, Attempt]


async def test_an_answer_that_came_while_the_process_was_stopped_is_read() -> None:
    """Stopped here by an event loop that has its hands full."""
    with provider({"latency_ms": 100}) as url:
        endpoint = HttpEndpoint(f"{url}/control", {}, timeout_ms=500)
        call = endpoint.question([], lambda answer: answer.status)
        assert await call.connect() is None
        told = await call.submit(time.monotonic() + 60, written=lambda _: time.sleep(1))
        await endpoint.aclose()
    assert not isinstance(told, NoAnswer)


def test_a_lock_of_another_program_is_no_bug_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_SQLITE_BUSY_MS", 100)
    path = tmp_path / "paceline.db"
    with (
        closing(Database(f"sqlite:///{path}")) as database,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        database.write_now(ping)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseUnreachableError, match="holds its lock"):
            database.write_now(ping)


async def test_a_worker_that_can_record_no_answer_is_not_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise DatabaseUnreachableError("The database cannot be written: its disk is full.")

    monkeypatch.setattr(worker, "SILENT_S", 3 * worker.POLL_S)
    async with world(f"sqlite:///{tmp_path}/paceline.db", SMS_BATCH_SIZE="5") as w:
        with monkeypatch.context() as full:
            full.setattr(outcomes, "record", refused)
            campaign_id = await w.started(5)
            deadline = time.monotonic() + 4 * worker.SILENT_S
            while True:
                said = w.worker.state()
                if said is not None or time.monotonic() > deadline:
                    break
                await asyncio.sleep(0.05)
        await w.completed(campaign_id)
        assert said is not None
        assert w.worker.state() is None


def test_a_page_of_messages_costs_what_is_on_it(postgres_url: str) -> None:
    """However many a campaign has, and whatever was in the tables when PostgreSQL last looked."""
    clock = VirtualClock()
    with closing(Database(sqlalchemy_url(postgres_url), clock=clock)) as database:
        migrate.upgrade(database)
        here = World(database, clock)
        campaign = here.sending(300)
        for _ in range(40):
            here.send()
            here.pass_time(100)
        here.names()  # now all answers are indexed, and gone
        here.write(lambda connection: connection.exec_driver_sql("ANALYZE"))
        for _ in range(40):
            here.send()
            here.pass_time(100)
        plan = plan_of(database, messages.page, here.acme, campaign_id=campaign, limit=10)
    assert max(loops_in(plan)) <= 100


def plan_of(database: Database, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """How PostgreSQL carried out the statement of a storage function that reads."""
    said: list[tuple[str, Any]] = []

    def explained(connection: Connection) -> Any:
        function(connection, *args, **kwargs)
        statement, parameters = said[-1]
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
        return connection.exec_driver_sql(explain, parameters).scalar_one()[0]["Plan"]

    @event.listens_for(database._engines[0], "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        said.append((statement, parameters))

    return database.read_now(explained)


def loops_in(plan: Mapping[str, Any]) -> Iterator[int]:
    yield plan["Actual Loops"]
    for part in plan.get("Plans", ()):
        yield from loops_in(part)
