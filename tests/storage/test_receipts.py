"""Receipts: an inbox, and a fold that order and repetition do not matter to."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paceline.domain.outcome import Answered, NoAnswer, Rejected, Rejection, ServerError
from paceline.storage import campaigns, doubt, inbox, receipts
from paceline.storage.inbox import InboxRow
from paceline.storage.receipts import KEPT_MS, LONGEST_WAIT_MS, Folded
from paceline.storage.schema import receipts as receipts_table


def sent(world, size=3):
    """A campaign that was accepted whole, and its messages' ids at the provider."""
    campaign = world.sending(size, batch_size=size)
    call = world.send()
    return campaign, [f"p{i}" for i in call.ids]


def put_in(world, *rows):
    world.write(inbox.put, world.main, list(rows))


def row(name="", delivery="delivered", reference=""):
    return InboxRow(name, reference, delivery, "", None)


def test_a_receipt_stays_in_the_inbox_until_it_is_folded(world):
    campaign, (first, *_) = sent(world)
    assert world.write(inbox.put, world.main, [row(first), row("unknown")]) == 2
    assert world.read(inbox.waiting) == 2
    assert world.write(receipts.fold) == Folded(taken=2, matched=1, changed=1)
    assert world.read(inbox.waiting) == 1
    assert world.counters(campaign) == {"total": 3, "sent": 3, "delivered": 1}


def test_an_empty_inbox_is_nothing_to_do(world):
    assert world.write(receipts.fold) == Folded()


def test_delivered_is_shown_with_its_time(world):
    sent(world, 1)
    world.pass_time(5000)
    world.receive(("p1", "delivered"))
    (message,) = world.messages()
    assert (message.status, message.delivery) == ("sent", "delivered")
    assert (message.delivered_at, message.sent_at) == (world.now, world.now - 5000)


@pytest.mark.parametrize("delivery", ["undelivered", "expired"])
def test_final_non_delivery_moves_a_message_from_sent_to_failed(world, delivery):
    campaign, (first, *_) = sent(world)
    world.receive((first, delivery))
    assert world.counters(campaign) == {"total": 3, "sent": 2, "failed": 1}
    assert world.campaign(campaign).processed == 3
    (message,) = world.messages(status="failed")
    assert (message.reason, message.delivery, message.failed_at) == (delivery, delivery, world.now)


def test_delivered_after_failed_moves_it_back_and_clears_the_reason(world):
    campaign, (first, *_) = sent(world)
    world.receive((first, "undelivered"))
    world.receive((first, "delivered"))
    assert world.counters(campaign) == {"total": 3, "sent": 3, "delivered": 1}
    message = world.messages()[0]
    assert (message.status, message.reason, message.failed_at) == ("sent", None, None)
    world.receive((first, "undelivered"))
    assert world.messages()[0] == message


def test_duplicates_change_nothing(world):
    campaign, (first, *_) = sent(world)
    assert world.receive(*[(first, "delivered")] * 5) == Folded(taken=5, matched=5, changed=1)
    before = world.messages()
    assert world.receive((first, "delivered")) == Folded(taken=1, matched=1, changed=0)
    assert world.messages() == before
    assert world.counters(campaign) == {"total": 3, "sent": 3, "delivered": 1}


def test_an_intermediate_report_changes_no_settled_message(world):
    _, (first, *_) = sent(world)
    assert world.receive((first, "none")) == Folded(taken=1, matched=1, changed=0)


def test_the_fold_takes_a_round_at_a_time(world):
    _, ids = sent(world, 5)
    put_in(world, *[row(name) for name in ids])
    assert world.write(receipts.fold, limit=3) == Folded(3, 3, 3)
    assert world.write(receipts.fold, limit=3) == Folded(2, 2, 2)


def test_a_receipt_of_another_account_is_not_ours(world):
    campaign, (first, *_) = sent(world)
    spare = world.account("spare")
    world.write(inbox.put, spare, [row(first)])
    assert world.write(receipts.fold) == Folded(taken=1)
    assert world.counters(campaign) == {"total": 3, "sent": 3}


def test_a_receipt_for_a_rejected_message_does_no_harm(world):
    campaign = world.sending(1)
    call = world.call()
    world.record(call, Rejected(Rejection("30")))
    world.receive(("stray", "delivered"), reference="")
    assert world.counters(campaign) == {"total": 1, "failed": 1}


# --- too early, too late


def test_an_early_receipt_waits_and_joins_its_message(world):
    campaign = world.sending(1)
    call = world.call()
    put_in(world, row("p1"))
    assert world.write(receipts.fold) == Folded(taken=1)
    world.record(call, Answered(["p1"]))
    assert world.write(receipts.fold) == Folded()
    world.pass_time(1000)
    assert world.write(receipts.fold) == Folded(taken=1, matched=1, changed=1)
    assert world.counters(campaign) == {"total": 1, "sent": 1, "delivered": 1}


def test_an_unmatched_receipt_is_looked_at_less_and_less_often_and_then_dropped(world):
    put_in(world, row("nobody"))
    waits = []
    while True:
        folded = world.write(receipts.fold)
        assert folded.taken == 1
        if folded.dropped:
            break
        (waiting,) = world.rows(receipts_table)
        waits.append(waiting.due_at - world.now)
        world.pass_time(waits[-1])
    assert waits[:13] == [1000 << n for n in range(12)] + [LONGEST_WAIT_MS]
    assert max(waits) == LONGEST_WAIT_MS
    assert KEPT_MS <= sum(waits) <= KEPT_MS + LONGEST_WAIT_MS
    assert world.read(inbox.waiting) == 0


# --- receipts that know our reference


def test_our_reference_proves_an_acceptance_whose_answer_never_came(world):
    campaign = world.sending(1)
    call = world.call()
    world.record(call, NoAnswer("timed out"))
    world.receive(("late", "none"), reference=world.reference(call.ids[0]))
    assert world.counters(campaign) == {"total": 1, "sent": 1}
    assert world.batch(call).status == "done"
    assert (world.batch(call).in_doubt, world.batch(call).doubt_since) == (False, None)
    assert world.campaign(campaign).status == "completed"
    (known,) = world.names()
    assert (known.provider_message_id, known.attempt_id) == ("late", call.attempt.id)


def test_a_receipt_may_carry_our_reference_only(world):
    campaign = world.sending(1)
    call = world.call()
    world.record(call, NoAnswer("timed out"))
    for _ in range(2):
        world.receive(("", "delivered"), reference=world.reference(call.ids[0]))
    assert world.counters(campaign) == {"total": 1, "sent": 1, "delivered": 1}


def test_a_batch_stays_unconfirmed_until_its_last_message_is_proven(world):
    campaign = world.sending(2)
    call = world.call()
    world.record(call, NoAnswer("timed out"))
    first, second = (world.reference(i) for i in call.ids)
    world.receive(("a", "delivered"), reference=first)
    assert world.batch(call).status == "unconfirmed"
    assert world.counters(campaign)["unconfirmed"] == 1
    world.receive(("b", "undelivered"), reference=second)
    assert world.batch(call).status == "done"
    assert world.counters(campaign) == {"total": 2, "sent": 1, "failed": 1, "delivered": 1}


def test_a_message_proven_before_its_retry_is_not_sent_again(world):
    """The 5xx had been an acceptance after all."""
    world.sending(2)
    call = world.call()
    world.record(call, ServerError("502", 502))
    world.receive(("a", "none"), reference=world.reference(call.ids[0]))
    world.pass_time(3000)
    assert world.call().ids == call.ids[1:]


@pytest.mark.parametrize(
    "forge",
    [
        lambda good: good.replace(good.split("-")[0], "ffffffff"),
        lambda good: f"{good.split('-')[0]}-999999-0",
        lambda good: f"{good.split('-')[0]}-1-7",
        lambda good: f"{good.split('-')[0]}-{10**30}-0",
        lambda good: f"{good.split('-')[0]}-{2**63 - 1}-{2**31 - 1}",
        lambda _: "campaign 7",
    ],
)
def test_a_reference_that_is_not_ours_matches_nothing_and_stops_nothing(world, forge):
    campaign = world.sending(1)
    call = world.call()
    world.record(call, NoAnswer("timed out"))
    good = world.reference(call.ids[0])
    put_in(world, row("forged", reference=forge(good)), row("real", reference=good))
    assert world.write(receipts.fold) == Folded(taken=2, matched=1, changed=1)
    assert world.counters(campaign) == {"total": 1, "sent": 1, "delivered": 1}


def test_a_late_receipt_of_the_first_attempt_after_a_resend_is_counted_once(world):
    campaign = world.sending(1)
    first = world.call()
    world.record(first, NoAnswer("timed out"))
    world.decide(first.attempt.batch.id, doubt.Decision.RESEND)
    world.pass_time(3000)
    second = world.call()
    world.record(second, Answered(["second"]))
    world.receive(("second", "undelivered"))
    world.receive(("first", "delivered"), reference=world.reference(first.ids[0]))
    assert world.counters(campaign) == {"total": 1, "sent": 1, "delivered": 1}
    attempts = {r.provider_message_id: r.attempt_id for r in world.names()}
    assert attempts == {"first": first.attempt.id, "second": second.attempt.id}


def test_a_failure_of_one_attempt_is_no_failure_while_another_was_accepted(world):
    """Also when the other one's answer has not been indexed yet."""
    campaign = world.sending(1)
    first = world.call()
    world.record(first, NoAnswer("timed out"))
    world.decide(first.attempt.batch.id, doubt.Decision.RESEND)
    world.pass_time(3000)
    second = world.call()
    world.receive(("first", "none"), reference=world.reference(first.ids[0]))
    world.record(second, Answered(["second"]))
    world.receive(("first", "undelivered"), reference=world.reference(first.ids[0]))
    assert world.counters(campaign) == {"total": 1, "sent": 1}
    assert [row.provider_message_id for row in world.names()] == ["first", "second"]


def test_a_cancelled_message_that_was_delivered_counts_as_sent(world):
    campaign = world.sending(1)
    call = world.call()
    world.record(call, NoAnswer("timed out"))
    world.write(campaigns.cancel, world.acme, campaign)
    world.decide(call.attempt.batch.id, doubt.Decision.FAIL)
    world.receive(("late", "delivered"), reference=world.reference(call.ids[0]))
    assert world.counters(campaign) == {"total": 1, "sent": 1, "delivered": 1}
    assert world.campaign(campaign).status == "cancelled"


def test_single_messages_have_receipts_too(world):
    world.single()
    world.send()
    world.receive(("p1", "undelivered"))
    assert (world.messages()[0].status, world.messages()[0].reason) == ("failed", "undelivered")


REPORTS = st.lists(
    st.tuples(st.sampled_from(["p1", "p2"]), st.sampled_from(["none", "undelivered", "delivered"])),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reports=REPORTS, data=st.data())
def test_the_order_and_the_cut_of_the_rounds_change_nothing(world, reports, data):
    shuffled = data.draw(st.permutations(reports + data.draw(st.permutations(reports))))
    limit = data.draw(st.integers(1, 4))
    ends = []
    for order, at_once in ((reports, 500), (shuffled, limit)):
        tenant = world.tenant(f"tenant {world.now}")
        campaign = world.sending(2, batch_size=2, tenant=tenant)
        call = world.call()
        names = dict(zip(["p1", "p2"], [f"c{campaign}-p1", f"c{campaign}-p2"], strict=True))
        world.record(call, Answered(list(names.values())))
        put_in(world, *[row(names[name], delivery) for name, delivery in order])
        while world.write(receipts.fold, limit=at_once).taken:
            pass
        rows = world.messages(campaign_id=campaign)
        ends.append((world.counters(campaign), [(m.status, m.delivery, m.reason) for m in rows]))
        world.pass_time(2000)
    assert ends[0] == ends[1]


def test_thousands_of_receipt_sets_come_to_the_same_shuffled_and_repeated(world):
    """Each message of two like campaigns gets the same reports, in the second all of them twice and
    in disorder, before and after its neighbours'.
    """
    chance = random.Random(20)
    deliveries = ["none", "delivered", "undelivered", "expired"]
    sets = [chance.choices(deliveries, k=chance.randint(1, 4)) for _ in range(2000)]
    world.contacts(len(sets))
    ends = []
    for repeats in (1, 2):
        campaign = world.start(world.draft(), batch_size=500)
        ids = []
        for _ in range(len(sets) // 500):
            call = world.call()
            world.record(call, Answered([f"c{campaign}-{i}" for i in call.ids]))
            ids += call.ids
        reports = [
            row(f"c{campaign}-{message_id}", delivery)
            for message_id, its in zip(ids, sets, strict=True)
            for delivery in its * repeats
        ]
        if repeats > 1:
            chance.shuffle(reports)
        put_in(world, *reports)
        while world.write(receipts.fold).taken:
            pass
        rows = world.messages(campaign_id=campaign)
        ends.append((world.counters(campaign), [(m.status, m.delivery, m.reason) for m in rows]))
    assert ends[0] == ends[1]
    assert {delivery for _, delivery, _ in ends[0][1]} == set(deliveries)
