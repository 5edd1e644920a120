"""Wake-ups across processes, by way of a real PostgreSQL: nobody here looks for work by itself."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
import uvloop
from sqlalchemy import Connection

from paceline.engine import wakeups, worker
from paceline.engine.orders import Orders
from paceline.engine.process import working
from paceline.engine.wakeups import waking, woken
from paceline.settings import Settings, load, sqlalchemy_url
from paceline.simulator import Simulator, running
from paceline.storage import accounts, messages, migrate, notices, tenants
from paceline.storage.database import Database, DatabaseUnreachableError

PATIENCE_S = 30.0
AN_HOUR_S = 3600.0
LISTENERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE %s"


@pytest.fixture
def never_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that finds nothing to do waits until it is woken."""
    monkeypatch.setattr(worker, "POLL_S", AN_HOUR_S)


@pytest.fixture
def settings(postgres_url: str) -> Settings:
    return load({"DATABASE_URL": postgres_url, "PACELINE_DEFAULT_COUNTRY": "GR"})


@dataclass
class Counter:
    """Who is to be woken; says how often that happened."""

    rung: int = 0

    def wake(self) -> None:
        self.rung += 1


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it never happened"
        await asyncio.sleep(0.01)


def opened(settings: Settings) -> Database:
    return Database(sqlalchemy_url(settings.database_url))


def listeners(settings: Settings) -> list[int]:
    """The PostgreSQL backends that listen."""
    with psycopg.connect(settings.database_url) as connection:
        return [pid for (pid,) in connection.execute(LISTENERS, ["LISTEN%"]).fetchall()]


@asynccontextmanager
async def a_worker_elsewhere(settings: Settings) -> AsyncIterator[int]:
    """A worker with a database of its own, as in another process; gives the tenant's id."""
    database = opened(settings)
    migrate.upgrade(database)
    async with running(Simulator(seed=1)) as provider_url:
        account = {
            "provider": "mitto",
            "base_url": provider_url,
            "external_id": "traffic-1",
            "api_key": "provider-secret",
            "sender": "Paceline",
        }
        await database.write(accounts.keep, name="provider", values=account)
        tenant = await database.write(tenants.keep, "acme")
        async with working(database, settings):
            yield int(tenant.id)
    database.close()


async def order_one_message(orders: Orders, tenant_id: int, number: int) -> None:
    """Give an order and wait until it is carried out."""
    queued = await orders.send(tenant_id, to=f"+306900000{number:03}", text="Hello")
    deadline = time.monotonic() + PATIENCE_S
    while True:
        message = await orders.database.read(messages.get, tenant_id, queued.id)
        if message.status == "sent":
            return
        assert time.monotonic() < deadline, f"message {number} is still {message.status}"
        await asyncio.sleep(0.01)


async def send_from_elsewhere(settings: Settings) -> None:
    """Five orders, each given after the last one was carried out: a look that the worker takes for
    another reason may find one of them, not all.
    """
    async with a_worker_elsewhere(settings) as tenant_id:
        here = opened(settings)
        async with waking(here) as wake:
            orders = Orders(here, settings, wake=wake)
            for number in range(5):
                await order_one_message(orders, tenant_id, number)
        here.close()
    assert listeners(settings) == []


async def test_orders_given_elsewhere_wake_a_worker_that_never_looks(
    settings: Settings, never_looks: None
) -> None:
    await send_from_elsewhere(settings)


def test_the_same_holds_under_uvloop(settings: Settings, never_looks: None) -> None:
    uvloop.run(send_from_elsewhere(settings))


async def test_a_listener_whose_connection_is_ended_listens_again_and_looks_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    monkeypatch.setattr(wakeups, "_PAUSE_AFTER_FAILURE_S", 0.01)
    database = opened(settings)
    woken_here = Counter()
    async with woken(database, woken_here.wake):
        await until(lambda: woken_here.rung == 1)
        (first,) = listeners(settings)
        with psycopg.connect(settings.database_url) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", [first])
        await until(lambda: woken_here.rung == 2)
        assert listeners(settings) != [first]
        async with waking(database) as wake:
            wake()
        await until(lambda: woken_here.rung == 3)
    assert [each["event"] for each in logged] == ["notices_not_heard"]
    assert listeners(settings) == []
    database.close()


async def test_rings_during_a_ring_make_one_more(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    transactions = Counter()
    go_on = threading.Event()

    def slow(connection: Connection) -> None:
        transactions.wake()
        assert go_on.wait(PATIENCE_S)

    monkeypatch.setattr(notices, "ring", slow)
    database = opened(settings)
    async with waking(database) as wake:
        wake()
        await until(lambda: transactions.rung == 1)
        for _ in range(100):
            wake()
            await asyncio.sleep(0)
        go_on.set()
    assert transactions.rung == 2
    database.close()


@pytest.mark.parametrize("fault", [DatabaseUnreachableError("gone"), RuntimeError("a bug")])
async def test_an_order_is_carried_out_though_nobody_can_be_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, logged: list[Any], fault: Exception
) -> None:
    def failing(connection: Connection) -> None:
        raise fault

    monkeypatch.setattr(notices, "ring", failing)
    database = opened(settings)
    migrate.upgrade(database)
    tenant = await database.write(tenants.keep, "acme")
    values = {"provider": "mitto", "base_url": "http://127.0.0.1:9", "sender": "Paceline"}
    values |= {"external_id": "a", "api_key": "k"}
    await database.write(accounts.keep, name="provider", values=values)
    async with waking(database) as wake:
        orders = Orders(database, settings, wake=wake)
        message = await orders.send(tenant.id, to="+306900000001", text="Hello")
    assert message.status == "queued"
    assert [each["event"] for each in logged] == ["notice_not_sent"]
    database.close()


async def test_a_worker_of_this_process_is_woken_without_the_database(settings: Settings) -> None:
    database = opened(settings)
    here = Counter()
    async with waking(database, here.wake) as wake:
        wake()
        assert here.rung == 1
    database.close()


async def test_on_sqlite_only_the_worker_of_this_process_is_woken(tmp_path: Any) -> None:
    database = Database(f"sqlite:///{tmp_path}/paceline.db")
    here = Counter()
    async with woken(database, here.wake), waking(database, here.wake) as wake:
        wake()
    assert here.rung == 1
    async with waking(database) as wake:
        wake()
    database.close()
