"""What is in doubt stays in doubt when its campaign is cancelled, whatever hands it back."""

from __future__ import annotations

from paceline.domain.outcome import NoAnswer, Refused
from paceline.domain.verdict import Policy, UnconfirmedPolicy
from paceline.storage import campaigns, outcomes

RESEND = Policy(unconfirmed=UnconfirmedPolicy.RESEND)


def reserved_in_doubt(world):
    campaign = world.sending(3)
    world.record(world.call(), NoAnswer("timed out"), RESEND)
    world.pass_time(3000)
    return campaign, world.reserve()


def assert_unconfirmed(world, campaign, batch):
    assert world.batch(batch).status == "unconfirmed"
    assert world.counters(campaign) == {"total": 3, "queued": 3, "unconfirmed": 3}


def test_a_refusal_says_nothing_about_the_call_before_it(world):
    campaign, batch = reserved_in_doubt(world)
    call = world.call(batch)
    world.write(campaigns.cancel, world.acme, campaign)
    world.record(call, Refused("401", 401), RESEND)
    assert_unconfirmed(world, campaign, batch)


def test_a_reservation_that_runs_out_says_nothing_about_the_call_before_it(world):
    campaign, batch = reserved_in_doubt(world)
    world.write(campaigns.cancel, world.acme, campaign)
    world.write(outcomes.expire, batch.id, lambda _: RESEND, all_of_them=True)
    assert_unconfirmed(world, campaign, batch)
