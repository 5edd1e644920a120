"""What an operator decides about messages that may have been accepted."""

from __future__ import annotations

import pytest

from paceline.domain.campaign import CampaignVerb
from paceline.domain.errors import ConflictError, NotFoundError
from paceline.domain.outcome import NoAnswer, Throttled
from paceline.domain.verdict import Policy
from paceline.storage import campaigns, doubt, standings
from paceline.storage.doubt import Decision


def unconfirmed(world):
    """A campaign of two batches, of which the first is unconfirmed."""
    campaign = world.sending(6)
    call = world.call()
    world.record(call, NoAnswer("timed out"))
    world.pass_time(3000)
    return campaign, call.attempt.batch


def test_a_resend_begins_anew_under_a_new_reference(world):
    campaign, batch = unconfirmed(world)
    assert world.decide(batch.id, Decision.RESEND) == 3
    row = world.batch(batch)
    assert (row.status, row.tries, row.retry_count, row.generation) == ("queued", 0, 0, 1)
    assert (row.in_doubt, row.doubt_since, row.due_at) == (False, None, world.now)
    assert world.counters(campaign) == {"total": 6, "queued": 6}
    world.send()
    again = world.reserve()
    assert (again.id, again.generation) == (batch.id, 1)
    world.send(again)
    assert [attempt.generation for attempt in world.attempts(batch_id=batch.id)] == [0, 1]
    assert world.counters(campaign) == {"total": 6, "sent": 6}


def test_fail_counts_them_as_failed(world):
    campaign, batch = unconfirmed(world)
    assert world.decide(batch.id, Decision.FAIL) == 3
    assert world.counters(campaign) == {"total": 6, "queued": 3, "failed": 3}
    failed = world.messages(status="failed")
    assert {(m.reason, m.failed_at, m.in_doubt) for m in failed} == {("given_up", world.now, False)}
    assert world.batch(batch).status == "done"


def test_accept_counts_them_as_sent_without_an_id(world):
    campaign, batch = unconfirmed(world)
    assert world.decide(batch.id, Decision.ACCEPT) == 3
    assert world.counters(campaign) == {"total": 6, "queued": 3, "sent": 3}
    assert {(m.sent_at, m.in_doubt) for m in world.messages(status="sent")} == {(world.now, False)}


@pytest.mark.parametrize("decision", Decision)
def test_a_decision_is_carried_out_once(world, decision):
    campaign, batch = unconfirmed(world)
    world.decide(batch.id, decision)
    counters, row = world.counters(campaign), world.batch(batch)
    assert world.decide(batch.id, decision) == 0
    assert (world.counters(campaign), world.batch(batch)) == (counters, row)


@pytest.mark.parametrize("decision", [Decision.FAIL, Decision.ACCEPT])
def test_the_last_decision_completes_the_campaign(world, decision):
    campaign, batch = unconfirmed(world)
    world.send()
    assert world.campaign(campaign).status == "sending"
    world.decide(batch.id, decision)
    assert world.campaign(campaign).status == "completed"


def test_only_what_is_still_in_doubt_is_decided(world):
    campaign, batch = unconfirmed(world)
    world.receive(("late", "delivered"), reference=world.reference(world.messages()[0].id))
    assert world.decide(batch.id, Decision.FAIL) == 2
    assert world.counters(campaign) == {
        "total": 6,
        "queued": 3,
        "sent": 1,
        "failed": 2,
        "delivered": 1,
    }


def test_nothing_of_a_cancelled_campaign_is_sent_again(world):
    campaign, batch = unconfirmed(world)
    world.write(campaigns.cancel, world.acme, campaign)
    with pytest.raises(ConflictError, match="cancelled"):
        world.decide(batch.id, Decision.RESEND)
    assert world.batch(batch).status == "unconfirmed"
    assert world.decide(batch.id, Decision.ACCEPT) == 3
    assert world.campaign(campaign).status == "cancelled"


def test_a_resend_in_a_paused_campaign_waits_for_it(world):
    campaign, batch = unconfirmed(world)
    world.write(campaigns.change, world.acme, campaign, CampaignVerb.PAUSE)
    world.decide(batch.id, Decision.RESEND)
    assert world.reservation(5).batches == []
    world.write(campaigns.change, world.acme, campaign, CampaignVerb.RESUME)
    world.send()
    assert world.reserve().id == batch.id


def test_the_undecided_batches_are_listed_for_their_tenant_only(world):
    campaign, batch = unconfirmed(world)
    assert world.read(doubt.undecided, world.acme, campaign) == [batch.id]
    with pytest.raises(NotFoundError):
        world.read(doubt.undecided, world.tenant("rival"), campaign)


def test_a_single_message_is_decided_by_its_batch(world):
    message = world.single()
    assert world.read(standings.unconfirmed_batch, world.acme, message) is None
    call = world.call()
    world.record(call, NoAnswer("timed out"))
    batch_id = world.read(standings.unconfirmed_batch, world.acme, message)
    assert batch_id == call.attempt.batch.id
    with pytest.raises(NotFoundError):
        world.read(standings.unconfirmed_batch, world.tenant("rival"), message)
    assert world.decide(batch_id, Decision.ACCEPT) == 1
    assert world.messages()[0].status == "sent"


def test_a_reference_is_new_once_non_acceptance_was_proven_after_a_resend(world):
    _, batch = unconfirmed(world)
    world.decide(batch.id, Decision.RESEND)
    world.send()
    world.record(world.call(), Throttled(retry_after_ms=0))
    assert world.batch(batch).generation == 2


# --- resending where the provider can help


DEDUPES = Policy(deduplicates=True, dedupe_horizon_ms=100_000)


def test_where_references_are_remembered_a_resend_keeps_them_and_the_doubt(world):
    campaign = world.sending(3)
    call = world.expired_call()
    batch = call.attempt.batch
    assert world.decide(batch.id, Decision.RESEND, DEDUPES) == 3
    row = world.batch(batch)
    assert (row.status, row.tries, row.generation) == ("queued", 0, 0)
    again = world.call()
    world.record(again, Throttled(retry_after_ms=0), DEDUPES)
    assert world.batch(batch).generation == 0, "the first attempt may still have been accepted"
    world.pass_time(3000)
    world.record(world.call(), again.accepted(), DEDUPES)
    assert world.counters(campaign) == {"total": 3, "sent": 3}


def test_where_references_are_forgotten_by_now_a_resend_is_the_operators_risk(world):
    world.sending(3)
    batch = world.expired_call().attempt.batch
    world.pass_time(100_000)
    assert world.decide(batch.id, Decision.RESEND, DEDUPES) == 3
    row = world.batch(batch)
    assert (row.status, row.generation, row.in_doubt) == ("queued", 1, False)


def test_what_the_provider_will_be_asked_about_is_not_sent_again_before(world):
    world.policy = Policy(looks_up=True)
    campaign = world.sending(3)
    batch = world.expired_call().attempt.batch
    assert world.decide(batch.id, Decision.RESEND) == 0
    assert world.counters(campaign) == {"total": 3, "queued": 3, "unconfirmed": 3}
    assert world.decide(batch.id, Decision.ACCEPT) == 3
