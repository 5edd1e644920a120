"""Answers that come twice, late, or for an attempt that is not the newest any more."""

from __future__ import annotations

import pytest

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
from paceline.domain.verdict import Policy, UnconfirmedPolicy
from paceline.storage import doubt
from paceline.storage.conclusion import Recorded

NO = Rejection("21211", "not a number", reason="invalid_number")
RESEND = Policy(unconfirmed=UnconfirmedPolicy.RESEND)
DEDUPES = Policy(deduplicates=True)


REPEATABLE = [
    (Answered(["a", None, "c"], {1: NO}), Policy()),
    (Rejected(NO), Policy()),
    (Refused("402", 402), Policy()),
    (NotSent("down"), Policy()),
    (Throttled(retry_after_ms=500), Policy()),
    (ServerError("503", 503), Policy()),
    (NoAnswer("timed out"), Policy()),
    (NoAnswer("timed out"), RESEND),
    (NoAnswer("timed out"), DEDUPES),
]


@pytest.mark.parametrize(("outcome", "policy"), REPEATABLE)
def test_a_repeated_record_changes_nothing(world, outcome, policy):
    """The commit happened and its answer was lost: the worker records again."""
    world.sending(6)
    call = world.call()
    world.record(call, outcome, policy)
    before = world.everything()
    world.record(call, outcome, policy)
    assert world.everything() == before


def test_a_late_answer_settles_an_unconfirmed_batch(world):
    campaign = world.sending(3)
    call = world.expired_call()
    assert world.counters(campaign) == {"total": 3, "queued": 3, "unconfirmed": 3}
    world.record(call, call.accepted())
    assert world.counters(campaign) == {"total": 3, "sent": 3}
    assert (world.batch(call).status, world.batch(call).tries) == ("done", 1)
    assert world.attempts()[0].outcome == "answered"
    assert world.campaign(campaign).status == "completed"


def test_a_late_answer_settles_its_rejections_too(world):
    """The only attempt that was in doubt is the one that answers."""
    campaign = world.sending(3)
    world.record(world.expired_call(), Answered(["a", None, "c"], {1: NO}))
    assert world.counters(campaign) == {"total": 3, "sent": 2, "failed": 1}
    assert world.campaign(campaign).status == "completed"


@pytest.mark.parametrize(
    ("outcome", "counters"),
    [
        (Rejected(NO), {"total": 3, "queued": 3}),
        (Throttled(), {"total": 3, "queued": 3}),
        (NotSent("down"), {"total": 3, "queued": 3}),
    ],
)
def test_a_late_proof_that_nothing_was_accepted_ends_the_doubt(world, outcome, counters):
    campaign = world.sending(3)
    call = world.expired_call()
    world.record(call, outcome)
    assert world.counters(campaign) == counters
    assert world.batch(call).in_doubt is False


def test_a_late_rejection_is_no_proof_for_the_attempt_before_it(world):
    campaign = world.sending(3)
    world.record(world.call(), NoAnswer("timed out"), RESEND)
    world.pass_time(3000)
    world.record(world.expired_call(), Answered(["a", None, "c"], {1: NO}), RESEND)
    assert world.counters(campaign) == {"total": 3, "queued": 1, "sent": 2, "unconfirmed": 1}


@pytest.mark.parametrize("policy", [Policy(), RESEND, DEDUPES])
def test_one_submission_is_one_try_however_late_it_is_recorded(world, policy):
    world.sending(3)
    call = world.expired_call()
    world.record(call, NoAnswer("timed out"), policy)
    assert world.batch(call).tries == 1


def test_an_answer_to_an_older_attempt_is_evidence_only(world):
    campaign = world.sending(3)
    old = world.expired_call()
    world.decide(old.attempt.batch.id, doubt.Decision.RESEND)
    new = world.call()
    assert new.attempt.batch.fence > old.attempt.batch.fence
    assert world.record(old, old.accepted()) == Recorded(None)
    assert world.batch(new).status == "submitting"
    assert world.counters(campaign) == {"total": 3, "queued": 3}
    first, second = world.attempts()
    assert (first.outcome, second.outcome) == ("answered", None)
    assert len(world.names()) == 3
    world.receive((f"p{old.ids[0]}", "delivered"))
    assert world.messages(id=old.ids[0])[0].delivery == "delivered"
    world.record(new, Answered(["x", "y", "z"]))
    assert world.counters(campaign) == {"total": 3, "sent": 3, "delivered": 1}


def test_an_answer_after_an_operator_failed_the_batch_is_evidence_only(world):
    campaign = world.sending(3)
    call = world.expired_call()
    world.decide(call.attempt.batch.id, doubt.Decision.FAIL)
    assert world.record(call, call.accepted()) == Recorded(None)
    assert world.counters(campaign) == {"total": 3, "failed": 3}
    assert len(world.names()) == 3


def test_a_receipt_before_the_answer_leaves_the_rest_to_the_answer(world):
    campaign = world.sending(3)
    call = world.call()
    world.receive(("early", "delivered"), reference=world.reference(call.ids[0]))
    assert world.counters(campaign) == {"total": 3, "queued": 2, "sent": 1, "delivered": 1}
    world.record(call, NoAnswer("timed out"))
    assert world.counters(campaign)["unconfirmed"] == 2


@pytest.mark.parametrize("delivery", ["none", "delivered", "undelivered"])
def test_a_batch_that_receipts_have_proven_whole_is_not_in_doubt_any_more(world, delivery):
    campaign = world.sending(1)
    call = world.call()
    world.receive(("early", delivery), reference=world.reference(call.ids[0]))
    world.record(call, NoAnswer("timed out"))
    assert world.batch(call).status == "done"
    assert world.read(doubt.undecided, world.acme, campaign) == []
    assert world.campaign(campaign).status == "completed"
