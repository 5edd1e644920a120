"""Events for tenants' own servers: written with the change, once, and only where wanted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from paceline.clock import iso
from paceline.domain.campaign import CampaignVerb
from paceline.domain.outcome import Answered, NoAnswer, Rejection
from paceline.domain.webhook_event import MESSAGE_EVENTS, WANTABLE, EventType
from paceline.storage import (
    campaigns,
    launches,
    schema,
    webhook_deliveries,
    webhook_endpoints,
    webhook_events,
)
from tests.storage.world import World

URL = "https://example.com/hook"
A_DAY_MS = 24 * 3_600_000


def endpoint(world: World, *events: EventType, tenant: int | None = None) -> int:
    """An endpoint that wants these types, or all."""
    row = world.write(
        webhook_endpoints.add,
        tenant or world.acme,
        url=URL,
        secret="sealed",
        events=events or WANTABLE,
    )
    return int(row.id)


def change(world: World, campaign_id: int, verb: CampaignVerb) -> None:
    world.write(lambda connection: campaigns.change(connection, world.acme, campaign_id, verb))


def told(world: World) -> list[tuple[str, int]]:
    """(type, subject) of every event, in the order in which they were written."""
    return [(row.type, row.subject_id) for row in world.rows(schema.webhook_events)]


def pending(world: World, endpoint_id: int) -> list[int]:
    """The events that wait to be delivered to an endpoint."""
    rows = world.rows(schema.webhook_deliveries, endpoint_id=endpoint_id, status="pending")
    assert all(row.due_at is not None for row in rows)
    return [row.event_id for row in rows]


def batches_told(world: World, *batch_ids: int) -> None:
    world.write(webhook_events.batches, batch_ids, world.now)


def tell_of_completed(world: World, within_ms: int = A_DAY_MS) -> list[int]:
    found = world.read(webhook_events.completed, within_ms=within_ms)
    for campaign_id in found:
        world.write(webhook_events.complete, campaign_id)
    return found


def test_without_an_endpoint_nothing_is_written(world: World) -> None:
    campaign = world.sending(3)
    change(world, campaign, CampaignVerb.PAUSE)
    world.write(campaigns.cancel, world.acme, campaign)
    assert told(world) == []


def test_a_campaigns_events_follow_its_status(world: World) -> None:
    endpoint_id = endpoint(world)
    campaign = world.sending(3)
    change(world, campaign, CampaignVerb.PAUSE)
    change(world, campaign, CampaignVerb.RESUME)
    world.write(campaigns.cancel, world.acme, campaign)
    names = ["campaign.started", "campaign.paused", "campaign.resumed", "campaign.cancelled"]
    assert told(world) == [(name, campaign) for name in names]
    assert pending(world, endpoint_id) == [row.id for row in world.rows(schema.webhook_events)]


def test_the_payload_tells_status_and_counters(world: World) -> None:
    endpoint(world)
    campaign = world.sending(3, name='a "quoted" name')
    (event,) = world.rows(schema.webhook_events)
    assert json.loads(event.payload) == {
        "type": "campaign.started",
        "timestamp": iso(world.now),
        "data": {
            "id": campaign,
            "name": 'a "quoted" name',
            "status": "sending",
            "audience": 3,
            "total": 3,
            "queued": 3,
            "sent": 0,
            "failed": 0,
            "processed": 0,
            "delivered": 0,
            "unconfirmed": 0,
        },
    }


def test_a_campaign_that_fails_at_its_time_is_told(world: World) -> None:
    endpoint(world)
    campaign = world.draft(scheduled_at=world.now)
    world.write(campaigns.fail, campaign, "Too late.")
    assert told(world) == [("campaign.failed", campaign)]


def test_an_event_is_undone_with_its_change(world: World) -> None:
    endpoint(world)
    world.contacts(1)
    campaign = world.draft()

    def stumble(connection: Connection) -> None:
        launches.start(connection, None, campaign, batch_size=3)
        raise RuntimeError("the transaction fails after the change")

    with pytest.raises(RuntimeError):
        world.write(stumble)
    assert told(world) == []
    assert world.rows(schema.webhook_deliveries) == []


def test_each_endpoint_gets_what_it_wants_and_no_other_tenants(world: World) -> None:
    other = world.tenant("other")
    all_of_it = endpoint(world)
    pauses = endpoint(world, EventType.CAMPAIGN_PAUSED)
    strangers = endpoint(world, tenant=other)
    disabled = endpoint(world)
    world.write(webhook_endpoints.disable, disabled, "for a test")
    campaign = world.sending(1)
    change(world, campaign, CampaignVerb.PAUSE)
    started, paused = (row.id for row in world.rows(schema.webhook_events))
    assert pending(world, all_of_it) == [started, paused]
    assert pending(world, pauses) == [paused]
    assert pending(world, strangers) == pending(world, disabled) == []


def test_completion_is_told_once_however_often_it_is_looked_for(world: World) -> None:
    endpoint(world, EventType.CAMPAIGN_COMPLETED)
    campaign = world.sending(3)
    assert tell_of_completed(world) == []
    world.send()
    completed_at = world.now
    world.pass_time(5_000)
    assert world.read(webhook_events.completed, within_ms=4_999) == []
    assert tell_of_completed(world) == [campaign]
    assert tell_of_completed(world) == []
    world.write(webhook_events.complete, campaign)  # as of two workers that have looked at once
    (event,) = world.rows(schema.webhook_events)
    (_delivery,) = world.rows(schema.webhook_deliveries)
    assert event.created_at == completed_at
    assert json.loads(event.payload)["data"]["sent"] == 3


def test_completion_is_not_told_to_who_came_after_it(world: World) -> None:
    world.sending(3)
    world.send()
    world.pass_time(1)
    endpoint(world)
    assert tell_of_completed(world) == []
    assert told(world) == []


def test_a_cancelled_campaign_tells_of_its_messages(world: World) -> None:
    endpoint(world, EventType.MESSAGE_FAILED)
    campaign = world.sending(4, batch_size=2)
    world.send()
    world.write(campaigns.cancel, world.acme, campaign)
    world.pass_time(1)
    while world.write(campaigns.sweep_cancelled, campaign):
        pass
    failed = [row.id for row in world.messages(status="failed")]
    assert len(failed) == 2
    assert told(world) == [("message.failed", message_id) for message_id in failed]


def test_a_batch_tells_of_what_was_sent_and_failed(world: World) -> None:
    endpoint(world, *MESSAGE_EVENTS)
    world.sending(3)
    call = world.call()
    world.pass_time(1)
    refused = Rejection("rejected", "no such network")
    world.record(call, Answered(["p1", None, "p3"], rejections={1: refused}))
    batches_told(world, call.attempt.batch.id)
    first, second, third = call.ids
    assert told(world) == [
        ("message.sent", first),
        ("message.sent", third),
        ("message.failed", second),
    ]
    assert json.loads(world.rows(schema.webhook_events)[-1].payload)["data"] == {
        "id": second,
        "campaign_id": world.messages()[0].campaign_id,
        "to": world.messages(id=second)[0].phone,
        "status": "failed",
        "reason": "rejected",
        "delivery": "none",
    }


def test_doubt_is_told_of_and_a_decision_is_asked_for_when_nothing_else_is_left(
    world: World,
) -> None:
    endpoint(world, EventType.MESSAGE_UNCONFIRMED, EventType.CAMPAIGN_NEEDS_DECISION)
    campaign = world.sending(4, batch_size=2)
    doubtful = world.call()
    world.record(doubtful, NoAnswer("no answer"))
    batches_told(world, doubtful.attempt.batch.id)
    assert told(world) == [("message.unconfirmed", each) for each in doubtful.ids]
    world.pass_time(60_000)  # the account is closed for a while
    last = world.send()
    batches_told(world, last.attempt.batch.id)
    assert told(world)[2:] == [("campaign.needs_decision", campaign)]


def test_many_messages_are_told_of_in_chunks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_events, "CHUNK", 2)
    endpoint_id = endpoint(world, EventType.MESSAGE_DELIVERED)
    world.sending(5, batch_size=5)
    ids = [row.id for row in world.messages()]
    type_of = dict.fromkeys(ids, EventType.MESSAGE_DELIVERED)
    type_of[ids[0]] = EventType.MESSAGE_UNDELIVERED  # which nobody wants
    world.write(webhook_events.messages, type_of, world.now)
    assert told(world) == [("message.delivered", each) for each in ids[1:]]
    assert len(pending(world, endpoint_id)) == 4


def test_a_reply_is_told_of_without_its_text(world: World) -> None:
    endpoint(world)
    reply = {
        "account_id": world.main,
        "tenant_id": world.acme,
        "phone": "+306900000001",
        "number": "+306999999999",
        "text": "Stop it, please",
        "keyword": "STOP",
        "received_at": world.now,
    }
    made = world.write(
        lambda c: c.execute(
            insert(schema.inbound_messages).returning(schema.inbound_messages.c.id), reply
        ).scalar_one()
    )
    world.write(webhook_events.reply, made)
    (event,) = world.rows(schema.webhook_events)
    assert json.loads(event.payload)["data"] == {
        "id": made,
        "from": "+306900000001",
        "to": "+306999999999",
        "keyword": "STOP",
    }


def test_suppressions_are_told_of_by_their_number(world: World) -> None:
    world.suppress("+306900000001")
    endpoint(world)
    world.suppress("+306900000001", "+306900000002", "+306900000003")
    seq = max(row.seq for row in world.rows(schema.suppressions))
    before = len(told(world))
    world.write(webhook_events.suppressed, world.acme, seq, world.now)
    new = world.rows(schema.webhook_events)[before:]
    phones = {json.loads(event.payload)["data"]["phone"] for event in new}
    assert phones == {"+306900000002", "+306900000003"}


def test_tenants_wanting_are_those_with_an_enabled_endpoint_for_it(world: World) -> None:
    other = world.tenant("other")
    endpoint(world, EventType.MESSAGE_SENT)
    endpoint(world, EventType.CAMPAIGN_STARTED, tenant=other)
    assert world.read(webhook_endpoints.tenants_wanting, MESSAGE_EVENTS) == {world.acme}
    for row in world.rows(schema.webhook_endpoints):
        world.write(webhook_endpoints.disable, row.id, "for a test")
    assert world.read(webhook_endpoints.tenants_wanting, WANTABLE) == frozenset()


def test_old_events_are_forgotten_with_their_deliveries_and_new_ones_are_kept(
    world: World,
) -> None:
    endpoint(world)
    world.sending(1)
    world.pass_time(A_DAY_MS + 1)
    world.sending(1)
    assert world.write(webhook_events.forget, older_than_ms=A_DAY_MS) == 1
    (event,) = world.rows(schema.webhook_events)
    (delivery,) = world.rows(schema.webhook_deliveries)
    assert delivery.event_id == event.id
    assert world.write(webhook_events.forget, older_than_ms=A_DAY_MS) == 0


def test_completions_are_forgotten_too_the_oldest_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_events, "FORGET_AT_ONCE", 1)
    endpoint(world, EventType.CAMPAIGN_COMPLETED)
    finished = []
    for _ in range(2):
        finished.append(world.sending(1))
        while world.campaign(finished[-1]).queued:
            world.send()
        tell_of_completed(world)
        world.pass_time(A_DAY_MS)
    assert world.write(webhook_events.forget, older_than_ms=A_DAY_MS + 1) == 1
    assert told(world) == [("campaign.completed", finished[1])]


def taken(world: World, busy: tuple[int, ...] = ()) -> list[list[Any]]:
    """Take what is due, by endpoint."""
    due = world.read(webhook_deliveries.due, busy=busy, most=10)
    return [world.write(webhook_deliveries.take, ids, lease_ms=60_000) for ids in due]


def test_what_is_due_comes_by_endpoint_in_order_and_is_taken_once(world: World) -> None:
    one, two = endpoint(world), endpoint(world)
    for _ in range(3):
        world.write(webhook_events.test, world.acme, one)
    world.write(webhook_events.test, world.acme, two)
    assert [[each.id for each in group] for group in taken(world, busy=(two,))] == [[1, 2, 3]]
    assert [[each.id for each in group] for group in taken(world)] == [[4]]
    assert taken(world) == []
    world.pass_time(60_000)
    assert [len(group) for group in taken(world)] == [3, 1]


def test_what_was_queued_for_a_disabled_endpoint_has_failed(world: World) -> None:
    endpoint_id = endpoint(world)
    world.write(webhook_events.test, world.acme, endpoint_id)
    world.write(webhook_endpoints.disable, endpoint_id, "for a test")
    assert taken(world) == [[]]
    (row,) = world.rows(schema.webhook_deliveries)
    assert (row.status, row.due_at, row.error) == ("failed", None, "the endpoint is disabled")


def test_an_endpoint_is_removed_in_pieces(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_endpoints, "REMOVE_AT_ONCE", 2)
    endpoint_id = endpoint(world)
    for _ in range(3):
        world.write(webhook_events.test, world.acme, endpoint_id)
    assert not world.write(webhook_endpoints.remove, world.acme, endpoint_id)
    assert world.write(webhook_endpoints.remove, world.acme, endpoint_id)
    assert world.rows(schema.webhook_deliveries) == []
    assert world.rows(schema.webhook_endpoints) == []
