"""Webhooks to tenants' servers, over real HTTP: signed, tried again, never lost, ended in time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from paceline.clock import VirtualClock
from paceline.domain.webhook_event import (
    MOST_TRIES,
    SECRET_BYTES,
    WAITS_MS,
    EventType,
    secret_of,
    signature,
)
from paceline.engine.outbound import ENDPOINTS_AT_ONCE, LEASE_MS, REST_S, Deliveries
from paceline.engine.posting import Poster
from paceline.engine.subscriptions import KEPT_S, Subscriptions
from paceline.settings import sqlalchemy_url
from paceline.storage import migrate, schema, webhook_endpoints, webhook_events
from paceline.storage.database import AnyRow, Database
from paceline.storage.sealing import Sealer
from paceline.storage.webhook_deliveries import TAKEN_AT_ONCE
from tests.engine.receiver import Receiver, receiving
from tests.storage.world import World

SECRET = secret_of(bytes(SECRET_BYTES))
SEALER = Sealer("a secret of an installation")


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    clock = VirtualClock()
    database = Database(sqlalchemy_url(database_url), clock=clock)
    migrate.upgrade(database)
    yield World(database, clock)
    database.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
async def deliveries(world: World) -> AsyncIterator[Deliveries]:
    async with delivering(world) as running:
        yield running


@asynccontextmanager
async def delivering(world: World) -> AsyncIterator[Deliveries]:
    running = Deliveries(world.database, SEALER, world.clock, Poster(allow_private=True))
    yield running
    await running.aclose()


def endpoint(world: World, url: str, *events: EventType, secret: str | None = None) -> int:
    row = world.write(
        webhook_endpoints.add,
        world.acme,
        url=url,
        secret=SEALER.seal(SECRET) if secret is None else secret,
        events=events or (EventType.CAMPAIGN_COMPLETED,),
    )
    return int(row.id)


def queue(world: World, endpoint_id: int, count: int = 1) -> None:
    for _ in range(count):
        world.write(webhook_events.test, world.acme, endpoint_id)


def rows(world: World, **where: Any) -> list[AnyRow]:
    return world.rows(schema.webhook_deliveries, **where)


async def settle(deliveries: Deliveries) -> None:
    """Step until there is nothing to do."""
    async with asyncio.timeout(30):
        while await deliveries.step() is not None:
            pass


async def test_a_delivery_is_signed_as_receivers_verify_it(
    world: World, deliveries: Deliveries, receiver: Receiver
) -> None:
    queue(world, endpoint(world, receiver.url))
    await settle(deliveries)
    (request,) = receiver.requests
    (event,) = world.rows(schema.webhook_events)
    assert request.body.decode() == event.payload
    assert json.loads(request.body)["type"] == "endpoint.test"
    event_id, timestamp = request.headers["webhook-id"], int(request.headers["webhook-timestamp"])
    prefix = world.rows(schema.installation)[0].prefix
    assert event_id == f"evt_{prefix}_{event.id}"
    assert timestamp == world.now // 1000
    expected = signature(SECRET, event_id, timestamp, request.body)
    assert request.headers["webhook-signature"] == expected
    (row,) = rows(world)
    assert (row.status, row.tries, row.due_at) == ("delivered", 1, None)
    assert (row.http_status, row.error, row.delivered_at) == (200, None, world.now)


async def test_a_failed_delivery_is_tried_again_under_the_same_id_at_its_time(
    world: World, deliveries: Deliveries, receiver: Receiver
) -> None:
    receiver.answers = [(500, {}), (302, {"Location": "/"}), (204, {})]
    queue(world, endpoint(world, receiver.url))
    for wait_ms in WAITS_MS[:2]:
        await settle(deliveries)
        (row,) = rows(world)
        assert (row.status, row.due_at) == ("pending", world.now + wait_ms)
        world.pass_time(wait_ms - 1)
        await settle(deliveries)
        assert rows(world) == [row]
        world.pass_time(1)
    await settle(deliveries)
    (row,) = rows(world)
    assert (row.status, row.tries, row.http_status) == ("delivered", 3, 204)
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert len({request.headers["webhook-signature"] for request in receiver.requests}) == 3


async def test_an_answer_that_asks_for_time_gets_it(
    world: World, deliveries: Deliveries, receiver: Receiver
) -> None:
    receiver.answers = [(429, {"Retry-After": "60"})]
    queue(world, endpoint(world, receiver.url), 3)
    await settle(deliveries)
    tried = [row for row in rows(world) if row.tries]
    assert {row.due_at for row in tried} == {world.now + 60_000}
    world.pass_time(59_999)
    await settle(deliveries)
    assert len(receiver.requests) == len(tried)


async def test_an_endpoint_that_fails_is_left_alone_for_a_moment(
    world: World, deliveries: Deliveries, receiver: Receiver
) -> None:
    receiver.answers = [(500, {})]
    queue(world, endpoint(world, receiver.url), 10)
    await settle(deliveries)
    await settle(deliveries)
    assert len(receiver.requests) <= 2
    assert [row.due_at for row in rows(world, tries=0)] == [world.now] * (
        10 - len(receiver.requests)
    )
    receiver.answers = [(200, {})]
    world.pass_time(round(REST_S * 1000))
    await settle(deliveries)
    assert {row.status for row in rows(world)} == {"delivered"}


async def test_deliveries_are_made_in_their_order(
    world: World, deliveries: Deliveries, receiver: Receiver
) -> None:
    queue(world, endpoint(world, receiver.url), 50)
    await settle(deliveries)
    ids = [int(each.headers["webhook-id"].rpartition("_")[2]) for each in receiver.requests]
    assert sorted(ids) == list(range(1, 51))
    # Two are on their way at a time, so neighbours may change places.
    assert all(abs(position - event_id) <= 2 for position, event_id in enumerate(ids, 1))


async def test_an_endpoint_that_was_busy_as_somebody_looked_is_looked_at_again(
    world: World, deliveries: Deliveries, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = world.database.read

    async def while_they_end(look: Any, *which: Any, **more: Any) -> Any:
        found = await read(look, *which, **more)
        await asyncio.gather(*deliveries._serving.values())
        return found

    monkeypatch.setattr(world.database, "read", while_they_end)
    queue(world, endpoint(world, receiver.url), 2 * TAKEN_AT_ONCE + 1)
    await settle(deliveries)
    assert {row.status for row in rows(world)} == {"delivered"}


async def test_few_are_on_their_way_to_one_endpoint_and_a_slow_one_keeps_nobody_waiting(
    world: World, deliveries: Deliveries, receiver: Receiver
) -> None:
    waiting = 0
    most = 0
    go_on = asyncio.Event()

    async def wait() -> None:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await go_on.wait()
        waiting -= 1

    async with receiving(before_answer=wait) as slow:
        queue(world, endpoint(world, slow.url), 10)
        queue(world, endpoint(world, receiver.url), 3)
        async with asyncio.timeout(30):
            while len(receiver.requests) < 3:
                await deliveries.step()
        assert most == 2
        go_on.set()
        await settle(deliveries)
        assert len(slow.requests) == 10
        assert most == 2


async def test_many_endpoints_take_turns(
    world: World, deliveries: Deliveries, receiver: Receiver
) -> None:
    for _ in range(2 * ENDPOINTS_AT_ONCE + 1):
        queue(world, endpoint(world, receiver.url))
    await settle(deliveries)
    assert len(receiver.requests) == 2 * ENDPOINTS_AT_ONCE + 1


async def test_an_endpoint_that_is_gone_is_disabled(
    world: World, deliveries: Deliveries, receiver: Receiver
) -> None:
    receiver.answers = [(410, {})]
    endpoint_id = endpoint(world, receiver.url)
    queue(world, endpoint_id, 5)
    await settle(deliveries)
    (row,) = world.rows(schema.webhook_endpoints)
    assert (row.disabled_at, row.disabled_why) == (world.now, "It answered 410 Gone.")
    world.pass_time(round(REST_S * 1000))
    await settle(deliveries)
    assert len(receiver.requests) <= 2
    assert {row.status for row in rows(world)} == {"failed"}


async def fail_to_the_end(world: World, deliveries: Deliveries) -> None:
    for wait_ms in WAITS_MS:
        await settle(deliveries)
        world.pass_time(wait_ms)
    await settle(deliveries)


async def test_an_endpoint_that_failed_for_five_days_is_disabled(
    world: World, deliveries: Deliveries, receiver: Receiver
) -> None:
    receiver.answers = [(500, {})]
    queue(world, endpoint(world, receiver.url))
    await fail_to_the_end(world, deliveries)
    assert len(receiver.requests) == MOST_TRIES
    (row,) = rows(world)
    assert (row.status, row.due_at, row.error) == ("failed", None, "HTTP 500")
    (row,) = world.rows(schema.webhook_endpoints)
    assert row.disabled_why == "Nothing could be delivered for five days."


async def test_an_endpoint_that_takes_other_deliveries_is_not_disabled(
    world: World, deliveries: Deliveries, receiver: Receiver
) -> None:
    queue(world, endpoint(world, receiver.url))
    await settle(deliveries)
    receiver.answers = [(500, {})]
    queue(world, 1)
    await fail_to_the_end(world, deliveries)
    assert rows(world)[1].status == "failed"
    # The one that was delivered is as old as the one that failed.
    (row,) = world.rows(schema.webhook_endpoints)
    assert row.disabled_at is None


async def test_a_worker_that_is_killed_leaves_its_deliveries_to_another(
    world: World, receiver: Receiver
) -> None:
    never = asyncio.Event()

    async def hang() -> None:
        await never.wait()

    receiver.before_answer = hang
    queue(world, endpoint(world, receiver.url), 2)
    async with delivering(world) as killed:
        async with asyncio.timeout(30):
            while len(receiver.requests) < 2:
                await killed.step()
    never.set()
    receiver.before_answer = None
    async with delivering(world) as another:
        await settle(another)
        assert {row.status for row in rows(world)} == {"pending"}
        world.pass_time(LEASE_MS)
        await settle(another)
    assert {row.status for row in rows(world)} == {"delivered"}
    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert sorted(ids[:2]) == sorted(ids[2:])


async def test_two_workers_share_the_deliveries(world: World, receiver: Receiver) -> None:
    for _ in range(4):
        queue(world, endpoint(world, receiver.url), 10)
    async with delivering(world) as one, delivering(world) as two:
        await asyncio.gather(settle(one), settle(two))
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 40
    assert len(receiver.requests) == 40


async def test_a_secret_that_cannot_be_opened_is_said_to_be_at_fault(
    world: World, deliveries: Deliveries, receiver: Receiver
) -> None:
    queue(world, endpoint(world, receiver.url, secret=Sealer("another secret").seal(SECRET)))
    await settle(deliveries)
    (row,) = rows(world)
    assert row.status == "pending"
    assert "PACELINE_SECRET" in row.error
    assert receiver.requests == []


async def test_the_completion_of_a_campaign_is_delivered(
    world: World, deliveries: Deliveries, receiver: Receiver
) -> None:
    endpoint(world, receiver.url)
    campaign = world.sending(3)
    await settle(deliveries)
    world.send()
    world.pass_time(1_000)
    await settle(deliveries)
    (request,) = receiver.requests
    told = json.loads(request.body)
    assert told["type"] == "campaign.completed"
    assert (told["data"]["id"], told["data"]["sent"]) == (campaign, 3)


async def test_what_was_completed_while_no_worker_ran_is_delivered(
    world: World, receiver: Receiver
) -> None:
    endpoint(world, receiver.url)
    world.sending(3)
    world.send()
    world.pass_time(12 * 3_600_000)
    async with delivering(world) as deliveries:
        await settle(deliveries)
    assert len(receiver.requests) == 1


async def test_logs_name_the_endpoint_and_never_its_url(
    world: World, deliveries: Deliveries, receiver: Receiver, logged: list[Any]
) -> None:
    receiver.answers = [(410, {})]
    url = receiver.url.replace("http://", "http://user:password@") + "?key=topsecret"
    endpoint_id = endpoint(world, url)
    queue(world, endpoint_id)
    await settle(deliveries)
    assert [each["event"] for each in logged] == ["delivery_failed", "endpoint_disabled"]
    assert {each["endpoint_id"] for each in logged} == {endpoint_id}
    assert not any(word in str(logged) for word in ("127.0.0.1", "password", "topsecret"))


async def test_subscriptions_are_looked_up_once_in_a_while(world: World) -> None:
    subscriptions = Subscriptions(world.database, world.clock.monotonic)
    assert await subscriptions.tenants() == frozenset()
    endpoint(world, "https://example.com", EventType.MESSAGE_SENT)
    assert await subscriptions.tenants() == frozenset()
    world.pass_time(round(KEPT_S * 1000))
    assert await subscriptions.tenants() == {world.acme}
