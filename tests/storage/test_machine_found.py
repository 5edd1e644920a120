"""The shortest ways to what the state machine has found (``test_machine``)."""

from __future__ import annotations

import pytest

from paceline.domain.outcome import (
    NoAnswer,
    NotSent,
    Rejected,
    Rejection,
    ServerError,
    Throttled,
)
from paceline.domain.verdict import Policy
from paceline.storage import batches, campaigns, confirmations, outcomes, restart
from paceline.storage.doubt import Decision
from tests.storage.world import LEASE_MS, Call, World

HOUR_MS = 3_600_000
DEDUPES = Policy(deduplicates=True)
REMEMBERS_A_DAY = Policy(deduplicates=True, dedupe_horizon_ms=24 * HOUR_MS)
LOOKS_UP = Policy(looks_up=True)


def expire(world: World, call: Call, policy: Policy) -> None:
    world.write(outcomes.expire, call.attempt.batch.id, lambda _: policy)


def test_what_a_provider_has_forgotten_is_not_sent_again_however_late_its_silence_is_noticed(world):
    """The worker died, and nobody was there for two days."""
    world.sending(3)
    call = world.call()
    world.pass_time(48 * HOUR_MS)
    expire(world, call, REMEMBERS_A_DAY)
    world.pass_time(REMEMBERS_A_DAY.confirm_window_ms)
    for doubted in world.write(confirmations.claim, limit=5, lease_ms=LEASE_MS):
        world.write(confirmations.send_again, doubted, REMEMBERS_A_DAY)
    assert world.batch(call).status == "unconfirmed"


def test_an_age_that_a_look_up_is_judged_by_counts_from_the_attempt(world):
    world.sending(3)
    call = world.call()
    world.pass_time(48 * HOUR_MS)
    expire(world, call, LOOKS_UP)
    world.pass_time(LOOKS_UP.confirm_window_ms)
    (doubted,) = world.write(confirmations.claim, limit=5, lease_ms=LEASE_MS)
    assert doubted.age_ms >= 48 * HOUR_MS


@pytest.mark.parametrize("policy", [DEDUPES, LOOKS_UP])
def test_after_a_restore_nothing_that_was_in_doubt_ends_by_itself(world, policy):
    """Under the new references the provider knows nothing, which proves nothing."""
    world.sending(3)
    call = world.call()
    world.pass_time(LEASE_MS)
    expire(world, call, policy)
    world.write(restart.after_restore)
    world.pass_time(policy.confirm_window_ms)
    assert world.write(confirmations.claim, limit=5, lease_ms=LEASE_MS) == []


def test_a_late_answer_is_recorded_though_the_tries_began_anew_and_the_campaign_is_cancelled(world):
    campaign = world.sending(3)
    call = world.call()
    world.pass_time(LEASE_MS)
    expire(world, call, DEDUPES)
    world.decide(call.attempt.batch.id, Decision.RESEND, DEDUPES)
    world.write(campaigns.cancel, world.acme, campaign)
    world.write(campaigns.sweep_cancelled, campaign)
    world.record(call, Throttled(), DEDUPES)
    assert world.counters(campaign) == {"total": 3, "failed": 3}


def test_a_queued_batch_whose_every_message_a_receipt_has_proven_is_done(world):
    campaign = world.sending(1)
    call = world.call()
    world.record(call, NoAnswer("timed out"), DEDUPES)
    world.receive(("late", "delivered"), reference=world.reference(call.ids[0]))
    assert world.campaign(campaign).status == "completed"
    assert world.batch(call).status == "done"


def test_a_receipt_that_knows_our_reference_only_tells_of_the_sms_that_was_answered_for(world):
    campaign = world.sending(1)
    call = world.send()
    world.receive(("", "undelivered"), reference=world.reference(call.ids[0]))
    assert world.counters(campaign) == {"total": 1, "failed": 1}


def test_a_message_that_may_have_been_accepted_before_does_not_fail_with_its_call(world):
    """The answer is about the call: nobody looked at the reference."""
    campaign = world.sending(1)
    world.record(world.call(), NoAnswer("timed out"), DEDUPES)
    world.pass_time(3_000)
    world.record(world.call(), Rejected(Rejection("bad sender")), DEDUPES)
    assert world.counters(campaign) == {"total": 1, "queued": 1, "unconfirmed": 1}


def test_a_batch_that_is_to_be_sent_again_is_done_when_receipts_have_proven_it_before_that(world):
    campaign = world.sending(1)
    call = world.expired_call()
    world.decide(call.attempt.batch.id, Decision.RESEND)
    world.receive(("late", "delivered"), reference=world.reference(call.ids[0]))
    assert world.campaign(campaign).status == "completed"
    assert world.batch(call).status == "done"


def test_after_a_restore_a_batch_that_receipts_have_proven_whole_waits_for_no_decision(world):
    campaign = world.sending(1)
    call = world.call()
    world.receive(("early", "delivered"), reference=world.reference(call.ids[0]))
    world.write(restart.after_restore)
    assert world.campaign(campaign).status == "completed"
    assert world.batch(call).status == "done"


@pytest.mark.parametrize("how", ["given back", "lapsed", "not connected"])
def test_a_reserved_batch_that_receipts_prove_is_done_however_it_is_left(world, how):
    campaign = world.sending(1)
    call = world.call()
    world.record(call, NoAnswer("timed out"), DEDUPES)
    world.pass_time(3_000)
    batch = world.reserve()
    world.receive(("late", "delivered"), reference=world.reference(call.ids[0]))
    assert world.campaign(campaign).status == "completed"
    if how == "given back":
        world.write(batches.give_back, batch)
    elif how == "lapsed":
        world.pass_time(LEASE_MS)
        expire(world, call, DEDUPES)
    else:
        world.write(outcomes.record_unsent, batch, NotSent("down"), DEDUPES)
    assert world.batch(call).status == "done"


@pytest.mark.parametrize("outcome", [NoAnswer("timed out"), ServerError("503", 503)])
def test_a_call_that_receipts_have_proven_leaves_nothing_to_send_again(world, outcome):
    campaign = world.sending(1)
    call = world.call()
    world.receive(("early", "delivered"), reference=world.reference(call.ids[0]))
    world.record(call, outcome, DEDUPES)
    assert world.campaign(campaign).status == "completed"
    assert world.batch(call).status == "done"
