"""Batches that are taken apart: down to the message at fault, and no further than it takes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from paceline.domain.limits import Limit
from paceline.domain.outcome import Answered, NoAnswer, Outcome, Rejected, Rejection
from paceline.domain.verdict import Policy, UnconfirmedPolicy
from paceline.storage import campaigns, outcomes, scouts, splitting
from paceline.storage.limits import Pacing
from paceline.storage.schema import batches
from tests.storage.world import LEASE_MS, Call, World

NO = Rejection("400", "invalid number")
BUSY = Rejection("E1", "try later", retryable=True)


@dataclass
class Provider:
    """Rejects a whole call, naming no message, when one of its messages is bad."""

    bad: set[int] = field(default_factory=set)
    rejects_all: bool = False
    largest: int | None = None
    sizes: list[int] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)

    def answer(self, call: Call) -> Outcome:
        self.sizes.append(len(call.ids))
        if self.largest is not None and len(call.ids) > self.largest:
            return Rejected(Rejection("too_large", "too many"), 413)
        if self.rejects_all or self.bad & set(call.ids):
            return Rejected(NO)
        self.accepted += call.ids
        return call.accepted()


def send_all(world: World, provider: Provider, policy: Policy | None = None) -> None:
    """What a worker does until nothing is due any more."""
    while reserved := world.reservation(1).batches:
        call = world.call(reserved[0])
        recorded = world.record(call, provider.answer(call), policy)
        if recorded.was_scout:
            world.write(scouts.after_scout, reserved[0].id)


@pytest.fixture
def wide(world):
    world.pacing = Pacing(Limit(1_000_000, 1000, 50), Limit(1_000_000, 1000, 50))
    return world


@pytest.mark.parametrize("bad", [(0,), (1,), (7,), (15,), (0, 15), (0, 1), (3, 4, 9), range(5)])
def test_only_the_messages_at_fault_fail(wide, bad):
    campaign = wide.sending(16, batch_size=16)
    ids = [message.id for message in wide.messages()]
    provider = Provider(bad={ids[position] for position in bad})
    send_all(wide, provider)
    failed = {message.id for message in wide.messages(status="failed")}
    assert failed == provider.bad
    assert sorted(provider.accepted) == sorted(set(ids) - provider.bad)
    assert wide.campaign(campaign).status == "completed"
    assert {message.reason for message in wide.messages(status="failed")} == {"rejected"}


def test_one_bad_message_costs_about_two_calls_for_each_halving(wide):
    wide.sending(64, batch_size=64)
    bad = wide.messages()[40].id
    provider = Provider(bad={bad})
    send_all(wide, provider)
    assert len(provider.sizes) <= 2 + 2 * 6 + 1


def test_a_call_that_is_at_fault_itself_costs_three_calls_and_not_one_for_each_message(wide):
    campaign = wide.sending(64, batch_size=64)
    provider = Provider(rejects_all=True)
    send_all(wide, provider)
    assert provider.sizes == [64, 1, 1]
    assert wide.counters(campaign) == {"total": 64, "failed": 64}
    assert {message.error for message in wide.messages()} == {str(NO)}
    assert wide.campaign(campaign).status == "completed"


def test_bisecting_costs_no_try_and_uses_a_new_reference(wide):
    wide.sending(4, batch_size=4)
    first = wide.call()
    wide.record(first, Rejected(NO))
    scout = wide.reserve()
    assert scout.generation == 1
    assert (wide.batch(scout).tries, wide.batch(first).tries) == (0, 0)


def test_the_rest_waits_for_its_scout_and_goes_by_itself_if_nothing_is_heard_of_it(wide):
    wide.sending(4, batch_size=4)
    rest = wide.call()
    wide.record(rest, Rejected(NO))
    scout = wide.call()
    assert len(scout.ids) == 1
    assert wide.reservation(5).batches == []
    wide.record(scout, NoAnswer("timed out"))
    wide.write(scouts.after_scout, scout.attempt.batch.id)
    assert wide.reservation(5).batches == []
    wide.pass_time(splitting.PARKED_MS)
    (batch,) = wide.reservation(5).batches
    assert batch.id == rest.attempt.batch.id


def test_a_cancelled_rest_stays_cancelled_whatever_becomes_of_its_scout(wide):
    campaign = wide.sending(4, batch_size=4)
    wide.record(wide.call(), Rejected(NO))
    scout = wide.call()
    wide.write(campaigns.cancel, wide.acme, campaign)
    wide.write(campaigns.sweep_cancelled, campaign)
    wide.record(scout, scout.accepted())
    wide.write(scouts.after_scout, scout.attempt.batch.id)
    assert wide.counters(campaign) == {"total": 4, "sent": 1, "failed": 3}


def test_a_call_that_is_too_large_is_halved_until_it_fits(wide):
    campaign = wide.sending(20, batch_size=20)
    provider = Provider(largest=6)
    send_all(wide, provider)
    assert sorted(provider.sizes) == [5, 5, 5, 5, 10, 10, 20]
    assert wide.counters(campaign) == {"total": 20, "sent": 20}


def test_one_message_that_is_too_large_fails(wide):
    campaign = wide.sending(1)
    send_all(wide, Provider(largest=0))
    assert wide.counters(campaign) == {"total": 1, "failed": 1}


def test_a_batch_larger_than_the_provider_takes_is_divided_before_the_call(wide):
    wide.sending(5, batch_size=5)
    batch = wide.reserve()
    wide.write(outcomes.divide, batch, 3)
    sizes = [len(wide.load(each).recipients) for each in wide.reservation(5).batches]
    assert sorted(sizes) == [2, 3]
    assert {row.generation for row in wide.rows(batches)} == {0}


def test_a_call_that_is_rejected_whole_ends_no_doubt_and_changes_no_reference(wide):
    campaign = wide.sending(4, batch_size=4)
    policy = Policy(deduplicates=True)
    wide.record(wide.call(), NoAnswer("timed out"), policy)
    wide.pass_time(6000)
    wide.record(wide.call(), Rejected(NO), policy)
    assert wide.counters(campaign) == {"total": 4, "queued": 4, "unconfirmed": 4}
    halves = [wide.call(batch) for batch in wide.reservation(5).batches]
    assert [len(half.ids) for half in halves] == [2, 2]
    assert {row.generation for row in wide.rows(batches)} == {0}


def test_a_receipt_by_our_reference_finds_a_message_that_was_split_off_in_doubt(wide):
    campaign = wide.sending(2, batch_size=2)
    policy = Policy(deduplicates=True)
    call = wide.call()
    wide.record(call, NoAnswer("timed out"), policy)
    wide.pass_time(6000)
    wide.record(wide.call(), Rejected(NO), policy)
    for message_id in call.ids:
        wide.receive((f"p{message_id}", "delivered"), reference=wide.reference(message_id))
    assert wide.counters(campaign) == {"total": 2, "sent": 2, "delivered": 2}


# --- messages that are rejected for now


def test_a_message_that_is_rejected_for_now_goes_on_alone_with_its_tries(wide):
    campaign = wide.sending(3)
    call = wide.call()
    wide.record(call, Answered(["a", None, "c"], {1: BUSY}))
    assert wide.counters(campaign) == {"total": 3, "queued": 1, "sent": 2}
    assert wide.batch(call).status == "done"
    assert wide.reservation(5).batches == []
    wide.pass_time(3000)
    again = wide.call()
    assert again.ids == [call.ids[1]]
    row = wide.batch(again)
    assert (row.tries, row.retry_count, row.generation, row.size) == (1, 1, 1, 1)
    wide.record(again, again.accepted())
    assert wide.campaign(campaign).status == "completed"


def test_a_message_that_is_rejected_for_now_five_times_has_failed(wide):
    campaign = wide.sending(2, batch_size=2)
    call = wide.call()
    wide.record(call, Answered(["a", None], {1: BUSY}))
    waits = []
    for _ in range(4):
        before = wide.now
        while not (reserved := wide.reservation(1).batches):
            wide.pass_time(100)
        waits.append(wide.now - before)
        wide.record(wide.call(reserved[0]), Answered([None], {0: BUSY}))
    assert waits == [3000, 6000, 12_000, 24_000]
    assert wide.counters(campaign) == {"total": 2, "sent": 1, "failed": 1}
    (failed,) = wide.messages(status="failed")
    assert (failed.reason, failed.error) == ("attempts_exhausted", str(BUSY))


def test_in_a_cancelled_campaign_nothing_is_tried_again(wide):
    campaign = wide.sending(2, batch_size=2)
    call = wide.call()
    wide.write(campaigns.cancel, wide.acme, campaign)
    wide.record(call, Answered(["a", None], {1: BUSY}))
    assert wide.counters(campaign) == {"total": 2, "sent": 1, "failed": 1}
    assert wide.messages(status="failed")[0].reason == "cancelled"


def test_where_an_older_attempt_is_in_doubt_a_rejection_for_now_proves_nothing(wide):
    campaign = wide.sending(2, batch_size=2)
    resend = Policy(unconfirmed=UnconfirmedPolicy.RESEND)
    wide.record(wide.call(), NoAnswer("timed out"), resend)
    wide.pass_time(LEASE_MS)
    wide.record(wide.call(), Answered(["a", None], {1: BUSY}), resend)
    assert wide.counters(campaign) == {"total": 2, "queued": 1, "sent": 1, "unconfirmed": 1}
