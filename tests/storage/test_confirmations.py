"""Ending doubt after the quiet period: by asking the provider, or by its memory of references."""

from __future__ import annotations

import pytest

from paceline.domain.message import Delivery
from paceline.domain.outcome import Known, NoAnswer
from paceline.domain.verdict import Policy
from paceline.storage import campaigns, confirmations, doubt, receipts
from paceline.storage.wishes import Gone, Wish

ASKS = Policy(looks_up=True)
DEDUPES = Policy(deduplicates=True, dedupe_horizon_ms=120_000)
QUIET_MS = 60_000


def claim(world):
    return world.write(confirmations.claim, limit=10, lease_ms=120_000)


def doubted(world, policy=ASKS, size=3):
    """A campaign's only batch, in doubt, and its quiet period over."""
    campaign = world.sending(size, batch_size=size)
    world.record(world.call(), NoAnswer("timed out"), policy)
    world.pass_time(QUIET_MS)
    (found,) = claim(world)
    return campaign, found


def record(world, found, known, policy=ASKS):
    return world.write(confirmations.record, found, known, policy)


def known(found, *positions):
    references = list(found.references)
    return {references[i]: Known(f"p{i}") for i in positions}


def test_nobody_asks_before_the_quiet_period_is_over(world):
    world.sending(3)
    world.record(world.call(), NoAnswer("timed out"), ASKS)
    world.pass_time(QUIET_MS - 1)
    assert claim(world) == []
    world.pass_time(1)
    (found,) = claim(world)
    assert found.references == {world.reference(m.id): m.id for m in world.messages()}


def test_one_worker_asks_and_the_next_only_when_it_fell_silent(world):
    doubted(world)
    assert claim(world) == []
    world.pass_time(120_000)
    assert len(claim(world)) == 1


def test_what_the_provider_knows_is_sent_and_its_receipts_find_it(world):
    campaign, found = doubted(world)
    record(world, found, known(found, 0, 1, 2))
    assert world.counters(campaign) == {"total": 3, "sent": 3}
    assert world.campaign(campaign).status == "completed"
    world.receive(("p1", "delivered"))
    assert world.counters(campaign)["delivered"] == 1


def test_what_the_provider_does_not_know_is_tried_again_under_a_new_reference(world):
    campaign, found = doubted(world)
    record(world, found, known(found, 1))
    assert world.counters(campaign) == {"total": 3, "queued": 2, "sent": 1}
    world.pass_time(3000)
    again = world.call()
    assert len(again.ids) == 2
    assert again.attempt.batch.generation == 1
    assert world.batch(again).tries == 1
    world.record(again, again.accepted(), ASKS)
    assert world.campaign(campaign).status == "completed"


def test_out_of_tries_what_the_provider_does_not_know_has_failed(world):
    campaign = world.sending(2, batch_size=2)
    for _ in range(5):
        world.record(world.call(), NoAnswer("timed out"), ASKS)
        world.pass_time(QUIET_MS)
        (found,) = claim(world)
        record(world, found, {})
        world.pass_time(30_000)
    assert world.counters(campaign) == {"total": 2, "failed": 2}
    assert {m.reason for m in world.messages()} == {"attempts_exhausted"}


def test_a_delivery_that_the_look_up_told_of_is_folded_like_a_receipt(world):
    campaign, found = doubted(world, size=1)
    (reference,) = found.references
    record(world, found, {reference: Known("p0", Delivery.DELIVERED)})
    world.write(receipts.fold)
    assert world.counters(campaign) == {"total": 1, "sent": 1, "delivered": 1}


@pytest.mark.parametrize("verb", ["late answer", "operator"])
def test_what_was_settled_meanwhile_is_left_alone(world, verb):
    campaign = world.sending(3)
    call = world.call()
    world.record(call, NoAnswer("timed out"), ASKS)
    world.pass_time(QUIET_MS)
    (found,) = claim(world)
    if verb == "operator":
        world.decide(found.batch_id, doubt.Decision.ACCEPT)
    else:
        world.record(call, call.accepted(), ASKS)
    before = world.everything()
    assert record(world, found, {}).verdict is None
    assert world.everything() == before
    assert world.counters(campaign) == {"total": 3, "sent": 3}
    world.pass_time(200_000)
    assert claim(world) == []


def test_in_a_cancelled_campaign_what_the_provider_does_not_know_is_cancelled(world):
    campaign, found = doubted(world)
    world.write(campaigns.cancel, world.acme, campaign)
    record(world, found, known(found, 0))
    assert world.counters(campaign) == {"total": 3, "sent": 1, "failed": 2}
    assert {m.reason for m in world.messages(status="failed")} == {"cancelled"}


def test_a_batch_whose_worker_died_is_asked_about_as_well(world):
    world.policy = ASKS
    campaign = world.sending(3)
    world.expired_call()
    assert world.counters(campaign)["unconfirmed"] == 3
    world.pass_time(QUIET_MS)
    assert len(claim(world)) == 1


def test_where_nothing_can_help_nobody_asks(world):
    world.sending(3)
    world.expired_call()
    world.pass_time(10 * QUIET_MS)
    assert claim(world) == []


# --- a provider that deduplicates


def test_where_references_are_remembered_a_dead_workers_batch_is_sent_again_under_its_own(world):
    world.policy = DEDUPES
    campaign = world.sending(3)
    lost = world.expired_call()
    world.pass_time(QUIET_MS)
    (found,) = claim(world)
    world.write(confirmations.send_again, found, DEDUPES)
    world.pass_time(3000)
    again = world.call()
    assert again.attempt.batch.generation == lost.attempt.batch.generation
    world.record(again, again.accepted(), DEDUPES)
    assert world.counters(campaign) == {"total": 3, "sent": 3}


def test_beyond_the_horizon_nothing_in_doubt_is_sent_again(world):
    world.policy = DEDUPES
    campaign = world.sending(3)
    world.expired_call()
    world.pass_time(100_000)
    (found,) = claim(world)
    world.write(confirmations.send_again, found, DEDUPES)
    assert world.reservation(5).batches == []
    assert world.counters(campaign) == {"total": 3, "queued": 3, "unconfirmed": 3}


def test_a_batch_that_waited_for_its_permit_beyond_the_horizon_is_not_sent(world):
    campaign = world.sending(3)
    world.record(world.call(), NoAnswer("timed out"), DEDUPES)
    world.pass_time(3000)
    batch = world.reserve()
    world.pass_time(117_000)
    (intent,) = world.intend_together(Wish(batch, 3, dedupe_horizon_ms=120_000))
    assert isinstance(intent, Gone)
    assert world.batch(batch).status == "unconfirmed"
    assert world.counters(campaign) == {"total": 3, "queued": 3, "unconfirmed": 3}
    assert world.grants() == ("", "") or len(world.attempts()) == 1
