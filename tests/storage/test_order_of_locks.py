"""Campaigns are locked before their batches, by everybody. Whoever took a batch first would wait
for the campaign with the batch in hand, and somebody else for the batch with the campaign in hand.
"""

from __future__ import annotations

import pytest
from sqlalchemy import select

from paceline.domain.outcome import NoAnswer
from paceline.domain.verdict import Policy
from paceline.engine import pace
from paceline.storage import (
    apart,
    campaigns,
    counters,
    doubt,
    erasing,
    frequency,
    intents,
    opt_outs,
    outcomes,
    tenants,
)
from paceline.storage.schema import batches
from tests.storage.test_races import PATIENCE_S, intent, race  # noqa: F401 - the fixture
from tests.storage.world import LEASE_MS

pytestmark = pytest.mark.parametrize("database", ["postgres"], indirect=True)


def a_record(world):
    call = world.call()
    return call.attempt.batch.id, (outcomes.record, [world.result(call, NoAnswer("timed out"))])


def an_expiry(world):
    call = world.call()
    world.pass_time(LEASE_MS)
    return call.attempt.batch.id, (outcomes.expire, call.attempt.batch.id, lambda _: Policy())


def a_bug(world):
    batch = world.call().attempt.batch
    return batch.id, (outcomes.record_bug, batch, "internal error")


def a_drop(world):
    batch = world.reserve()
    world.suppress(world.messages()[0].phone)
    return batch.id, (opt_outs.drop, batch)


def a_drop_of_who_had_enough(world):
    world.write(tenants.change, world.acme, {"frequency_max": 1, "frequency_days": 7})
    first = world.reserve()
    world.start(world.draft(account=world.account("second")))
    world.call(world.reserve())
    return first.id, (frequency.drop, first)


def a_sorting(world):
    batch = world.reserve()
    return batch.id, (apart.by_region, batch)


def a_cut(world):
    batch = world.reserve()
    return batch.id, (apart.to_size, batch, 1)


def an_intent_at_its_own_speed(world):
    batch = world.reserve()
    world.write(pace.change, world.acme, batch.campaign_id, {"rate_max": 5})

    def intend(connection):
        return intents.intend(connection, **intent(world, batch))

    return batch.id, (intend,)


def a_decision(world):
    batch = world.expired_call().attempt.batch

    def decide(connection):
        doubt.decide(
            connection,
            batch.id,
            doubt.Decision.FAIL,
            actor="tester",
            policy_of=lambda _: Policy(),
        )

    return batch.id, (decide,)


def an_erasure(world):
    batch_id = world.rows(batches)[0].id
    phone = world.messages()[0].phone

    def finish(connection):
        erasing.finish(connection, world.acme, phone, contacts=1, rejects=[], actor="tester")

    return batch_id, (finish,)


def a_sweep(world):
    batch_id = world.rows(batches)[0].id
    campaign = world.rows(batches)[0].campaign_id
    world.write(campaigns.cancel, world.acme, campaign)
    return batch_id, (campaigns.sweep_cancelled, campaign)


@pytest.mark.parametrize(
    "prepare",
    [
        a_record,
        an_expiry,
        a_bug,
        a_drop,
        a_drop_of_who_had_enough,
        a_sorting,
        a_cut,
        an_intent_at_its_own_speed,
        a_decision,
        a_sweep,
        an_erasure,
    ],
    ids=lambda prepare: prepare.__name__,
)
def test_who_waits_for_a_campaign_holds_none_of_its_batches(world, race, prepare):  # noqa: F811
    campaign = world.sending(3)
    batch_id, what = prepare(world)
    free = select(batches.c.id).where(batches.c.id == batch_id).with_for_update(nowait=True)
    with race.held(counters.lock, campaign):
        waiting = race.run(*what)
        race.until_blocked(waiting)
        assert world.database.write_now(lambda c: c.execute(free).scalar_one()) == batch_id
    waiting.result(PATIENCE_S)
