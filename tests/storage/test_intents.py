"""The intent: both permits and the attempt, or nothing at all; and nobody who opted out in it."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from paceline.domain.campaign import CampaignVerb
from paceline.domain.limits import Limit
from paceline.domain.outcome import NoAnswer, NotSent, Refused, Throttled
from paceline.domain.verdict import Policy, UnconfirmedPolicy
from paceline.storage import (
    accounts,
    campaigns,
    opt_outs,
    outcomes,
    suppressions,
    tenants,
)
from paceline.storage.batches import Attempt, LostReservationError
from paceline.storage.limits import Pacing
from paceline.storage.schema import tenants as tenants_table
from paceline.storage.wishes import Gone, Lost, Stale, Wait, Wish
from tests.storage.world import LEASE_MS, phones_of

RESEND = Policy(unconfirmed=UnconfirmedPolicy.RESEND)


def test_an_intent_writes_the_attempt_before_the_call(world):
    campaign = world.sending(3)
    batch = world.reserve()
    world.pass_time(10)
    attempt = world.intend(batch, size=3)
    assert isinstance(attempt, Attempt)
    (row,) = world.attempts()
    assert row.id == attempt.id
    assert (row.batch_id, row.fence, row.generation, row.size) == (batch.id, 1, 0, 3)
    assert (row.campaign_id, row.tenant_id, row.account_id) == (campaign, world.acme, world.main)
    assert (row.worker, row.outcome, row.finished_at) == ("tester", None, None)
    assert (row.started_at, row.send_by) == (world.now, world.now + 25)
    assert attempt.send_by == world.clock.monotonic() + 0.025
    state = world.batch(batch)
    assert (state.status, state.lease_until) == ("submitting", world.now + LEASE_MS)


def test_a_permit_lives_half_the_narrower_margin(world):
    world.sending(1)
    pacing = Pacing(Limit(50, 1000, 50), Limit(100, 1000, 20))
    attempt = world.intend(world.reserve(), pacing=pacing)
    assert attempt.send_by == world.clock.monotonic() + 0.010


def test_one_permit_of_both_windows_is_spent_whatever_the_size(world):
    world.sending(6)
    world.call()
    world.call()
    assert world.grants() == (f"[{world.now},2]", f"[{world.now},2]")


@pytest.mark.parametrize(
    ("pacing", "held_by", "tenant_left", "account_left"),
    [
        (Pacing(Limit(1, 1000, 50), Limit(9, 1000, 50)), "tenant", 0, 8),
        (Pacing(Limit(9, 1000, 50), Limit(1, 1000, 50)), "account", 8, 0),
    ],
)
def test_a_full_window_spends_no_permit_of_the_other_one(
    world, pacing, held_by, tenant_left, account_left
):
    world.sending(6)
    first, second = world.reservation(2).batches
    world.intend(first, pacing=pacing)
    before = world.grants()
    world.pass_time(400)
    wait = world.intend(second, pacing=pacing)
    assert isinstance(wait, Wait)
    assert wait.for_ms == 650
    assert wait.denied.held_by == held_by
    assert wait.denied.tenant_remaining == tenant_left
    assert wait.denied.account_remaining == account_left
    assert world.grants() == before
    assert world.batch(second).status == "reserved"
    assert len(world.attempts()) == 1
    world.pass_time(650)
    assert isinstance(world.intend(second, pacing=pacing), Attempt)


def test_limits_of_their_own_go_before_the_defaults(world):
    world.sending(9)
    first, second = world.reservation(2).batches
    world.write(tenants.change, world.acme, {"rate_max": 1, "rate_window_ms": 60_000})
    world.intend(first)
    assert world.intend(second).for_ms == 60_050
    world.write(tenants.change, world.acme, {"rate_max": 2})
    world.write(accounts.change, world.main, {"rate_max": 1})
    assert world.intend(second).denied.held_by == "account"
    world.write(accounts.change, world.main, {"rate_max": None})
    assert isinstance(world.intend(second), Attempt)


def test_a_window_from_the_future_is_restamped_once(world):
    """The clock was set back: the grants lie in the past, and the wait must not start anew."""
    world.sending(3)
    batch = world.reserve()
    ahead = f"[{world.now + 90_000},50]"
    world.write(lambda c: c.execute(update(tenants_table).values(grants=ahead)))
    assert world.intend(batch).for_ms == 1300
    assert world.grants()[0] == f"[{world.now + 90_000},0,-89750,50]"
    world.pass_time(1250)
    assert world.intend(batch).for_ms == 50


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_a_campaign_that_was_stopped_gets_no_intent(world, verb):
    campaign = world.sending(3)
    batch = world.reserve()
    before = world.grants()
    if verb == "pause":
        world.write(campaigns.change, world.acme, campaign, CampaignVerb.PAUSE)
    else:
        world.write(campaigns.cancel, world.acme, campaign)
    intent = world.intend(batch)
    assert isinstance(intent, Gone)
    assert world.batch(batch).status == "queued"
    assert world.batch(batch).lease_until is None
    assert world.grants() == before
    assert world.attempts() == []


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (Refused("401", 401), "account held"),
        (Throttled(retry_after_ms=5000), "account closed"),
        (NotSent("down"), "account closed"),
    ],
)
def test_an_account_that_was_shut_meanwhile_gets_no_intent(world, outcome, why):
    world.sending(6)
    first, second = world.reservation(2).batches
    world.record(world.call(first), outcome)
    before = world.grants()
    assert world.intend(second) == Gone(why)
    assert world.batch(second).status == "queued"
    assert world.batch(second).tries == 0
    assert world.grants() == before


def test_an_account_is_open_again_at_the_moment_it_says(world):
    world.sending(6)
    first, second = world.reservation(2).batches
    world.record(world.call(first), Throttled(retry_after_ms=5000))
    world.pass_time(5000)
    assert isinstance(world.intend(second), Attempt)


def test_a_lost_reservation_spends_no_permit(world):
    world.sending(3)
    lost = world.reserve()
    world.pass_time(LEASE_MS)
    world.write(outcomes.expire, lost.id, lambda _: Policy())
    again = world.reserve()
    before = world.grants()
    assert world.intend(lost) == Lost()
    assert world.grants() == before
    assert world.attempts() == []
    assert world.batch(again).status == "reserved"


def test_a_batch_is_never_submitted_twice_under_one_reservation(world):
    world.sending(3)
    batch = world.reserve()
    world.intend(batch)
    assert world.intend(batch) == Lost()
    assert world.grants()[0] == f"[{world.now},1]"
    assert len(world.attempts()) == 1


# --- several at once


def reserved(world, want):
    return world.reservation(want).batches


def test_batches_that_go_together_take_the_permits_in_their_order(world):
    """The tenant has two left, so its third batch waits; a rival's behind it has its own window."""
    rival = world.tenant("rival")
    world.write(tenants.change, world.acme, {"rate_max": 2})
    world.sending(9)
    ours = reserved(world, 2)
    world.write(tenants.change, world.acme, {"rate_max": 3})
    ours += reserved(world, 1)
    world.write(tenants.change, world.acme, {"rate_max": 2})
    world.sending(3, tenant=rival)
    (theirs,) = [b for b in reserved(world, 3) if b.tenant_id == rival]
    first, second, third, last = world.intend_together(
        *(Wish(batch, 3) for batch in [*ours, theirs])
    )
    assert [type(each) for each in (first, second, third, last)] == [
        Attempt,
        Attempt,
        Wait,
        Attempt,
    ]
    assert (third.denied.held_by, third.for_ms) == ("tenant", 1050)
    assert [a.batch_id for a in world.attempts()] == [ours[0].id, ours[1].id, theirs.id]
    assert {a.batch.id: a.id for a in (first, second, last)} == {
        row.batch_id: row.id for row in world.attempts()
    }
    assert world.grants() == (f"[{world.now},2]", f"[{world.now},3]")
    assert world.batch(ours[2]).status == "reserved"


def test_one_that_cannot_go_keeps_none_of_the_others(world):
    paused = world.sending(3)
    (halted,) = reserved(world, 1)
    world.write(campaigns.change, world.acme, paused, CampaignVerb.PAUSE)
    world.sending(9)
    lost, stale, going = reserved(world, 3)
    world.write(outcomes.expire, lost.id, lambda _: Policy(), all_of_them=True)
    world.suppress(world.messages(batch_id=stale.id)[0].phone)
    said = world.intend_together(*(Wish(batch, 3) for batch in (halted, lost, stale, going)))
    assert said[:3] == [Gone("campaign paused"), Lost(), Stale()]
    assert isinstance(said[3], Attempt)
    assert [row.batch_id for row in world.attempts()] == [going.id]
    assert world.grants() == (f"[{world.now},1]", f"[{world.now},1]")
    assert world.batch(halted).status == "queued"


# --- opt-outs


def test_an_opt_out_after_the_load_makes_the_batch_stale_and_drop_fails_the_recipient(world):
    campaign = world.sending(3)
    batch = world.reserve()
    leaving, *staying = world.load(batch).recipients
    world.suppress(leaving.phone)
    before = world.grants()
    assert world.intend(batch) == Stale()
    assert world.grants() == before
    assert world.attempts() == []

    dropped, checked = world.write(opt_outs.drop, batch)
    assert dropped == [leaving.id]
    (message,) = world.messages(id=leaving.id)
    assert (message.status, message.reason, message.failed_at) == ("failed", "opted_out", world.now)
    assert world.counters(campaign) == {"total": 3, "queued": 2, "failed": 1}
    assert world.load(checked).recipients == staying
    assert isinstance(world.intend(checked, size=2), Attempt)


def test_a_batch_emptied_by_opt_outs_is_done_and_spends_no_permit(world):
    campaign = world.sending(3)
    batch = world.reserve()
    before = world.grants()
    world.suppress(*phones_of(world.messages()))
    dropped, _ = world.write(opt_outs.drop, batch)
    assert len(dropped) == 3
    assert (world.batch(batch).status, world.batch(batch).lease_until) == ("done", None)
    assert world.campaign(campaign).status == "completed"
    assert world.grants() == before
    assert world.attempts() == []


def test_an_opt_out_of_somebody_else_costs_one_look_and_no_more(world):
    world.sending(3)
    world.suppress("+306911111111")
    batch = world.reserve()
    assert isinstance(world.intend(batch), Attempt)
    world.write(outcomes.expire, batch.id, lambda _: Policy(), all_of_them=True)


def test_an_opt_out_between_launch_and_reservation_is_heeded(world):
    world.sending(3)
    world.suppress(world.messages()[0].phone)
    assert world.intend(world.reserve()) == Stale()


def test_an_opt_out_at_another_tenant_is_not_ours(world):
    world.sending(3)
    world.suppress(*phones_of(world.messages()), tenant=world.tenant("rival"))
    assert isinstance(world.intend(world.reserve()), Attempt)


def test_an_opt_out_that_was_taken_back_and_repeated_is_heeded(world):
    world.sending(3)
    phone = world.messages()[0].phone
    batch = world.reserve()
    world.suppress(phone)
    _, batch = world.write(opt_outs.drop, batch)
    world.write(suppressions.remove, world.acme, phone)
    second = world.messages()[1].phone
    world.suppress(phone, second)
    assert world.intend(batch) == Stale()
    dropped, _ = world.write(opt_outs.drop, batch)
    assert [world.messages(id=i)[0].phone for i in dropped] == [second]


def test_an_opt_out_of_a_single_message_after_it_was_queued_is_heeded(world):
    message = world.single("+306912345678")
    world.suppress("+306912345678")
    batch = world.reserve()
    assert world.intend(batch) == Stale()
    assert world.write(opt_outs.drop, batch)[0] == [message]
    assert world.messages()[0].reason == "opted_out"


def test_drop_refuses_a_reservation_that_was_lost(world):
    campaign = world.sending(3)
    batch = world.reserve()
    world.suppress(world.messages()[0].phone)
    world.write(outcomes.expire, batch.id, lambda _: Policy(), all_of_them=True)
    with pytest.raises(LostReservationError):
        world.write(opt_outs.drop, batch)
    assert world.counters(campaign) == {"total": 3, "queued": 3}


def in_doubt(world, **campaign):
    """A batch of three that is in doubt and reserved again."""
    campaign_id = world.sending(3, **campaign)
    world.record(world.call(), NoAnswer("timed out"), RESEND)
    world.pass_time(3000)
    return campaign_id, world.reserve()


def test_one_who_opts_out_in_doubt_stays_in_doubt_apart(world):
    campaign, batch = in_doubt(world)
    leaving = world.messages()[0]
    world.suppress(leaving.phone)
    dropped, batch = world.write(opt_outs.drop, batch)
    assert dropped == [leaving.id]
    (message,) = world.messages(id=leaving.id)
    assert (message.status, message.in_doubt, message.reason) == ("queued", True, None)
    apart = world.batch(message.batch_id)
    assert (apart.status, apart.size, apart.in_doubt) == ("unconfirmed", 1, True)
    assert apart.lease_until is None
    assert world.counters(campaign) == {"total": 3, "queued": 3, "unconfirmed": 3}
    world.send(batch)
    assert world.counters(campaign) == {"total": 3, "queued": 1, "sent": 2, "unconfirmed": 1}
    assert world.campaign(campaign).status == "sending"


def test_one_kept_apart_in_doubt_is_still_proven_by_a_receipt_with_our_reference(world):
    campaign, batch = in_doubt(world)
    leaving = world.messages()[0]
    world.suppress(leaving.phone)
    world.write(opt_outs.drop, batch)
    world.receive(("late", "delivered"), reference=world.reference(leaving.id))
    (message,) = world.messages(id=leaving.id)
    assert (message.status, message.delivery, message.in_doubt) == ("sent", "delivered", False)
    assert world.batch(message.batch_id).status == "done"
    assert world.counters(campaign)["unconfirmed"] == 2


def test_what_a_receipt_proved_while_it_waited_at_the_gate_is_not_sent_again(world):
    campaign = world.sending(2, batch_size=2)
    policy = Policy(unconfirmed=UnconfirmedPolicy.RESEND)
    call = world.call()
    world.record(call, NoAnswer("timed out"), policy)
    world.pass_time(3000)
    batch = world.reserve()
    world.receive(("p1", "delivered"), reference=world.reference(call.ids[0]))
    (intent,) = world.intend_together(Wish(batch, 2))
    assert isinstance(intent, Stale)
    assert world.counters(campaign)["queued"] == 1
    (intent,) = world.intend_together(Wish(batch, 1))
    assert isinstance(intent, Attempt)
