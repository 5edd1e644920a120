"""Record: what came of an attempt, however often it is written down and however late it comes."""

from __future__ import annotations

import pytest

from paceline.domain.errors import RateLimitExceeded
from paceline.domain.message import Reason
from paceline.domain.outcome import (
    Answered,
    NoAnswer,
    NotSent,
    Refused,
    Rejected,
    Rejection,
    ServerError,
    Throttled,
)
from paceline.domain.verdict import (
    Doubt,
    Fail,
    GiveBack,
    Policy,
    Retry,
    Settle,
    UnconfirmedPolicy,
)
from paceline.storage import doubt, outcomes
from paceline.storage.batches import Attempt, LostReservationError
from paceline.storage.conclusion import Recorded
from tests.storage.world import LEASE_MS

NO = Rejection("21211", "not a number", reason="invalid_number")
BLOCKED = Rejection("21610", "blocked", reason="opted_out")
RESEND = Policy(unconfirmed=UnconfirmedPolicy.RESEND)
DEDUPES = Policy(deduplicates=True)


# --- answers


def test_an_accepted_batch_is_sent_and_its_campaign_completed(world):
    campaign = world.sending(3)
    call = world.call()
    world.pass_time(80)
    assert world.record(call, call.accepted()) == Recorded(Settle(), sent=3)
    assert world.counters(campaign) == {"total": 3, "sent": 3}
    row = world.campaign(campaign)
    assert (row.status, row.completed_at) == ("completed", world.now)
    assert {(m.status, m.sent_at, m.reason) for m in world.messages()} == {
        ("sent", world.now, None)
    }
    batch = world.batch(call)
    assert (batch.status, batch.tries, batch.retry_count, batch.lease_until) == ("done", 1, 0, None)
    (attempt,) = world.attempts()
    assert (attempt.outcome, attempt.http_status, attempt.bulk_id) == ("answered", 200, "bulk")
    assert attempt.finished_at == world.now
    known = world.names()
    assert {row.provider_message_id: row.message_id for row in known} == {
        f"p{i}": i for i in call.ids
    }
    assert {(row.account_id, row.attempt_id) for row in known} == {(world.main, attempt.id)}


def test_an_answer_may_take_some_and_reject_others(world):
    campaign = world.sending(4, batch_size=4)
    call = world.call()
    answer = Answered(["a", None, "c", None], {1: NO, 3: BLOCKED})
    assert world.record(call, answer) == Recorded(Settle(), sent=2, failed=2)
    assert world.counters(campaign) == {"total": 4, "sent": 2, "failed": 2}
    assert [(m.status, m.reason, m.error) for m in world.messages()] == [
        ("sent", None, None),
        ("failed", "invalid_number", "21211: not a number"),
        ("sent", None, None),
        ("failed", "opted_out", "21610: blocked"),
    ]
    assert world.messages()[1].failed_at == world.now
    assert world.batch(call).status == "done"
    assert len(world.names()) == 2


def test_an_answer_of_another_length_than_the_call_is_a_bug_and_changes_nothing(world):
    world.sending(3)
    call = world.call()
    before = world.everything()
    with pytest.raises(ValueError, match="zip"):
        world.record(call, Answered(["a", "b"]))
    assert world.everything() == before


def test_a_rejected_call_of_one_message_fails_it(world):
    campaign = world.sending(1)
    call = world.call()
    recorded = world.record(call, Rejected(Rejection("30", "bad sender"), 422))
    assert recorded == Recorded(Fail(Reason.REJECTED, "30: bad sender"), failed=1)
    assert world.counters(campaign) == {"total": 1, "failed": 1}
    assert {(m.reason, m.error) for m in world.messages()} == {("rejected", "30: bad sender")}
    assert world.campaign(campaign).status == "completed"


def test_a_refused_call_costs_no_try_and_holds_the_account(world):
    campaign = world.sending(3)
    call = world.call()
    assert world.record(call, Refused("402", 402)) == Recorded(GiveBack("402"))
    batch = world.batch(call)
    assert (batch.status, batch.tries, batch.retry_count, batch.due_at) == ("queued", 0, 0, 0)
    assert batch.error == "402"
    assert world.counters(campaign) == {"total": 3, "queued": 3}


# --- retries


@pytest.mark.parametrize(
    ("outcome", "wait", "generation"),
    [
        (NotSent("down"), 3000, 0),
        (ServerError("503", 503), 3000, 0),
        (ServerError("503", 503, retry_after_ms=9000), 9000, 0),
        (Throttled(retry_after_ms=8000), 8000, 1),
    ],
)
def test_a_passing_failure_queues_the_batch_again(world, outcome, wait, generation):
    campaign = world.sending(3)
    call = world.call()
    assert isinstance(world.record(call, outcome).verdict, Retry)
    batch = world.batch(call)
    assert (batch.status, batch.tries, batch.retry_count) == ("queued", 1, 1)
    assert (batch.due_at, batch.generation) == (world.now + wait, generation)
    assert (batch.in_doubt, batch.lease_until, batch.error) == (False, None, outcome.error)
    assert world.counters(campaign) == {"total": 3, "queued": 3}


def test_five_failed_tries_are_four_retries_and_the_end(world):
    campaign = world.sending(3)
    seen = []
    for wait in (3000, 6000, 12_000, 24_000, 48_000):
        call = world.call()
        world.record(call, NotSent("down"))
        batch = world.batch(call)
        seen.append((batch.tries, batch.retry_count, batch.status))
        world.pass_time(wait)
    assert seen == [
        (1, 1, "queued"),
        (2, 2, "queued"),
        (3, 3, "queued"),
        (4, 4, "queued"),
        (5, 4, "done"),
    ]
    assert {(m.reason, m.error) for m in world.messages()} == {("attempts_exhausted", "down")}
    assert world.counters(campaign) == {"total": 3, "failed": 3}


def test_no_connection_is_a_try_without_an_attempt(world):
    world.sending(3)
    batch = world.reserve()
    recorded = world.write(outcomes.record_unsent, batch, NotSent("refused"), world.policy)
    assert isinstance(recorded.verdict, Retry)
    row = world.batch(batch)
    assert (row.status, row.tries, row.due_at) == ("queued", 1, world.now + 3000)
    assert world.account_row().failures == 1
    assert world.attempts() == []
    assert world.write(outcomes.record_unsent, batch, NotSent("refused"), world.policy) == Recorded(
        None
    )
    assert world.batch(batch).tries == 1


def test_a_denial_by_our_own_limits_is_a_try_and_no_fault_of_the_account(world):
    world.sending(3)
    denial = RateLimitExceeded(0, 0)
    for tries, wait in enumerate((3000, 6000, 12_000, 24_000), start=1):
        batch = world.reserve()
        world.write(outcomes.record_denial, batch, denial, world.policy)
        row = world.batch(batch)
        assert (row.status, row.retry_count, row.due_at) == ("queued", tries, world.now + wait)
        world.pass_time(wait)
    world.write(outcomes.record_denial, world.reserve(), denial, world.policy)
    assert {m.reason for m in world.messages()} == {"rate_limit_exceeded"}
    assert world.account_row().failures == 0


# --- doubt


def test_no_answer_leaves_the_batch_unconfirmed_and_the_campaign_sending(world):
    campaign = world.sending(3)
    call = world.call()
    assert world.record(call, NoAnswer("timed out")) == Recorded(Doubt("timed out"))
    batch = world.batch(call)
    assert (batch.status, batch.tries, batch.in_doubt) == ("unconfirmed", 1, True)
    assert (batch.doubt_since, batch.fence) == (world.now, call.attempt.batch.fence)
    assert world.counters(campaign) == {"total": 3, "queued": 3, "unconfirmed": 3}
    assert world.campaign(campaign).status == "sending"
    assert world.reservation(5).batches == []


def test_what_may_be_sent_again_keeps_its_doubt_and_its_reference(world):
    campaign = world.sending(3)
    call = world.call()
    world.record(call, NoAnswer("timed out"), DEDUPES)
    since = world.now
    batch = world.batch(call)
    assert (batch.status, batch.in_doubt, batch.generation) == ("queued", True, 0)
    assert world.counters(campaign) == {"total": 3, "queued": 3, "unconfirmed": 3}
    world.pass_time(3000)
    again = world.call()
    world.record(again, Throttled(retry_after_ms=0), DEDUPES)
    batch = world.batch(call)
    assert (batch.in_doubt, batch.doubt_since, batch.generation) == (True, since, 0)
    world.pass_time(6000)
    world.send()
    assert world.counters(campaign) == {"total": 3, "sent": 3}
    batch = world.batch(call)
    assert (batch.status, batch.in_doubt, batch.doubt_since) == ("done", False, None)


def test_out_of_tries_in_doubt_is_unconfirmed_and_never_failed(world):
    campaign = world.sending(3)
    for wait in (3000, 6000, 12_000, 24_000, 48_000):
        call = world.call()
        world.record(call, NoAnswer("timed out"), RESEND)
        world.pass_time(wait)
    assert world.batch(call).status == "unconfirmed"
    assert world.batch(call).tries == 5
    assert world.counters(campaign) == {"total": 3, "queued": 3, "unconfirmed": 3}


def test_a_rejection_proves_nothing_while_an_older_attempt_is_in_doubt(world):
    campaign = world.sending(3)
    world.record(world.call(), NoAnswer("timed out"), RESEND)
    world.pass_time(3000)
    call = world.call()
    world.record(call, Answered(["a", None, "c"], {1: NO}), RESEND)
    assert world.counters(campaign) == {"total": 3, "queued": 1, "sent": 2, "unconfirmed": 1}
    assert world.batch(call).status == "unconfirmed"
    assert world.messages(id=call.ids[1])[0].in_doubt


def test_a_rejection_by_a_provider_that_deduplicates_is_proof(world):
    campaign = world.sending(3)
    world.record(world.call(), NoAnswer("timed out"), DEDUPES)
    world.pass_time(3000)
    world.record(world.call(), Answered(["a", None, "c"], {1: NO}), DEDUPES)
    assert world.counters(campaign) == {"total": 3, "sent": 2, "failed": 1}


# --- void, bugs, expiry


def test_a_void_permit_costs_no_try_and_leaves_no_doubt(world):
    campaign = world.sending(3)
    call = world.call()
    batch = world.write(outcomes.void, call.attempt, LEASE_MS)
    row = world.batch(batch)
    assert (row.status, row.tries, row.in_doubt, row.fence) == ("reserved", 0, False, batch.fence)
    assert (batch.fence, row.lease_until) == (2, world.now + LEASE_MS)
    assert world.attempts()[0].outcome == "void"
    again = world.intend(batch)
    assert isinstance(again, Attempt)
    assert world.counters(campaign) == {"total": 3, "queued": 3}


def test_a_void_attempt_can_neither_be_voided_nor_recorded_again(world):
    world.sending(3)
    call = world.call()
    world.write(outcomes.void, call.attempt, LEASE_MS)
    with pytest.raises(LostReservationError):
        world.write(outcomes.void, call.attempt, LEASE_MS)
    assert world.record(call, call.accepted()).verdict is None
    assert world.batch(call).status == "reserved"


def test_an_attempt_that_ran_out_cannot_be_voided(world):
    world.sending(3)
    call = world.expired_call()
    with pytest.raises(LostReservationError):
        world.write(outcomes.void, call.attempt, LEASE_MS)
    assert world.batch(call).status == "unconfirmed"


def test_a_bug_before_the_intent_fails_the_batch_and_after_it_leaves_doubt(world):
    campaign = world.sending(6)
    before, after = world.reservation(2).batches
    call = world.call(after)
    world.write(outcomes.record_bug, before, "internal error: KeyError")
    world.write(outcomes.record_bug, call.attempt.batch, "internal error: KeyError")
    assert world.counters(campaign) == {"total": 6, "queued": 3, "failed": 3, "unconfirmed": 3}
    assert {m.reason for m in world.messages(batch_id=before.id)} == {"internal_error"}
    assert world.batch(after).status == "unconfirmed"
    assert world.write(outcomes.record_bug, before, "again") == Recorded(None)


def test_a_lease_that_ran_out_queues_a_reservation_and_doubts_a_submission(world):
    campaign = world.sending(6)
    held, called = world.reservation(2).batches
    world.pass_time(1)
    world.call(called)
    world.pass_time(LEASE_MS - 2)
    assert world.read(doubt.expired) == []
    assert world.write(outcomes.expire, held.id, lambda _: Policy()) is None
    world.pass_time(1)
    assert world.read(doubt.expired) == [held.id]
    assert world.write(outcomes.expire, called.id, lambda _: Policy()) is None
    world.pass_time(1)
    assert set(world.read(doubt.expired)) == {held.id, called.id}
    assert world.write(outcomes.expire, held.id, lambda _: Policy()) == "queued"
    assert world.write(outcomes.expire, called.id, lambda _: Policy()) == "unconfirmed"
    assert world.read(doubt.expired) == []
    row = world.batch(held)
    assert (row.status, row.tries, row.due_at, row.error) == ("queued", 0, 0, None)
    assert world.counters(campaign) == {"total": 6, "queued": 6, "unconfirmed": 3}
    assert world.attempts()[0].outcome == "no_answer"
    assert world.write(outcomes.expire, called.id, lambda _: Policy()) is None


def test_at_a_restart_everything_in_hand_is_taken_back_whatever_its_lease(world):
    world.sending(6)
    held, called = world.reservation(2).batches
    world.call(called)
    assert world.read(doubt.in_hand) == [held.id, called.id]
    for batch_id in (held.id, called.id):
        world.write(outcomes.expire, batch_id, lambda _: Policy(), all_of_them=True)
    assert world.batch(held).status == "queued"
    assert world.batch(called).status == "unconfirmed"
    assert world.read(doubt.in_hand) == []


def test_a_single_message_goes_the_same_way_without_counters(world):
    world.single()
    call = world.call()
    world.record(call, NoAnswer("timed out"))
    assert world.messages()[0].in_doubt
    world.record(call, call.accepted())
    (message,) = world.messages()
    assert (message.status, message.in_doubt, message.sent_at) == ("sent", False, world.now)


# --- several at once


def test_outcomes_of_several_campaigns_are_recorded_together(world):
    other = world.tenant("other")
    campaigns = [world.sending(3), world.sending(5, tenant=other, batch_size=5), world.sending(2)]
    calls = {call.attempt.batch.campaign_id: call for call in (world.call() for _ in campaigns)}
    results = [
        world.result(calls[campaigns[0]], calls[campaigns[0]].accepted()),
        world.result(calls[campaigns[1]], Answered(["a", "b", None, "d", "e"], {2: NO})),
        world.result(calls[campaigns[2]], NoAnswer("timed out")),
    ]
    first, second, third = world.write(outcomes.record, results)
    assert (first.sent, first.failed) == (3, 0)
    assert (second.sent, second.failed) == (4, 1)
    assert third == Recorded(Doubt("timed out"))
    assert [world.campaign(each).status for each in campaigns] == [
        "completed",
        "completed",
        "sending",
    ]


def test_what_a_receipt_has_settled_before_is_not_counted_again_beside_others(world):
    campaigns = [world.sending(3), world.sending(3)]
    calls = [world.call() for _ in campaigns]
    early = calls[0].ids[0]
    world.receive(("early", "delivered"), reference=world.reference(early))
    recorded = world.write(outcomes.record, [world.result(each, each.accepted()) for each in calls])
    assert [each.sent for each in recorded] == [2, 3]
