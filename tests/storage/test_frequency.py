"""The frequency cap: nobody is in more intents in so many days than the tenant allows."""

from __future__ import annotations

import pytest

from paceline.domain.hours import DAY_MS
from paceline.domain.outcome import NoAnswer, NotSent
from paceline.domain.verdict import Policy, UnconfirmedPolicy
from paceline.storage import frequency, outcomes, tenants
from paceline.storage.batches import Attempt, LostReservationError
from paceline.storage.schema import contacted
from paceline.storage.wishes import TooOften, Wish
from tests.storage.world import LEASE_MS, World


def cap(world: World, most: int | None = 1, days: int | None = 7, tenant: int | None = None):
    values = {"frequency_max": most, "frequency_days": days}
    world.write(tenants.change, tenant or world.acme, values)


def noted(world: World) -> list[tuple[str, int]]:
    return [(row.phone, row.message_id) for row in world.rows(contacted)]


def test_the_second_campaign_of_the_week_goes_only_to_whom_the_first_did_not(world):
    cap(world)
    world.sending(2)
    world.send()
    second = world.sending(1)  # to these two as well
    batch = world.reserve()
    before = world.grants()
    assert world.intend(batch) == TooOften()
    assert world.grants() == before
    assert len(world.attempts()) == 1
    dropped, left = world.write(frequency.drop, batch)
    assert (len(dropped), left) == (2, 1)
    failed = world.messages(campaign_id=second, status="failed")
    assert {(m.reason, m.failed_at) for m in failed} == {("frequency_cap", world.now)}
    assert world.counters(second) == {"total": 3, "queued": 1, "failed": 2}
    assert isinstance(world.intend(batch, size=1), Attempt)
    assert len(noted(world)) == 3


def test_a_batch_emptied_by_the_cap_is_done(world):
    cap(world)
    world.sending(3)
    world.send()
    second = world.start(world.draft())
    batch = world.reserve()
    assert world.intend(batch) == TooOften()
    assert world.write(frequency.drop, batch)[1] == 0
    assert (world.batch(batch).status, world.batch(batch).lease_until) == ("done", None)
    assert world.campaign(second).status == "completed"


def test_the_window_slides_by_the_moment(world):
    cap(world, most=1, days=7)
    world.sending(3)
    world.send()
    world.start(world.draft())
    batch = world.reserve()
    world.pass_time(7 * DAY_MS - 1)
    assert world.intend(batch) == TooOften()
    world.pass_time(1)
    assert isinstance(world.intend(batch), Attempt)


def test_so_many_as_the_cap_says_go(world):
    cap(world, most=2)
    world.sending(3)
    world.send()
    world.start(world.draft())
    world.send()
    world.start(world.draft())
    assert world.intend(world.reserve()) == TooOften()


def test_two_batches_that_ask_together_are_counted_one_after_the_other(world):
    cap(world)
    world.sending(3)
    world.start(world.draft())
    one, other = world.reservation(want=2).batches
    first, second = world.intend_together(Wish(one, 3), Wish(other, 3))
    assert isinstance(first, Attempt)
    assert second == TooOften()


def test_a_message_is_noted_once_whatever_its_tries(world):
    cap(world)
    world.sending(3)
    world.record(world.call(), NotSent("refused"))
    world.pass_time(3_000)
    again = world.send()
    assert [message_id for _, message_id in noted(world)] == again.ids


def test_a_void_permit_does_not_count_twice(world):
    cap(world, most=2)
    world.sending(3)
    call = world.call()
    batch = world.write(outcomes.void, call.attempt, LEASE_MS)
    assert isinstance(world.intend(batch), Attempt)
    world.start(world.draft())
    assert isinstance(world.intend(world.reserve()), Attempt)


def test_what_waits_for_a_permit_is_not_counted(world):
    cap(world)
    world.write(tenants.change, world.acme, {"rate_max": 1, "rate_window_ms": 1000})
    world.sending(1, batch_size=1)
    world.send()
    world.contacts(1)
    world.start(world.draft(), batch_size=1)
    before = noted(world)
    for batch in world.reservation(want=2).batches:
        world.intend(batch, size=1)
    assert noted(world) == before


def test_in_doubt_counts_as_contacted(world):
    cap(world)
    world.sending(3)
    world.record(world.call(), NoAnswer("timed out"))
    world.pass_time(3_000)
    world.start(world.draft())
    assert world.intend(world.reserve()) == TooOften()


def test_one_in_doubt_whom_the_cap_holds_back_stays_in_doubt_apart(world):
    campaign = world.sending(3)
    world.record(world.call(), NoAnswer("timed out"), Policy(unconfirmed=UnconfirmedPolicy.RESEND))
    world.pass_time(3_000)
    batch = world.reserve()
    message = world.messages()[0]
    cap(world)
    note = {"tenant_id": world.acme, "phone": message.phone, "message_id": 99, "at": world.now}
    world.write(lambda c: c.execute(contacted.insert(), note))
    assert world.intend(batch) == TooOften()
    dropped, left = world.write(frequency.drop, batch)
    assert (dropped, left) == ([message.id], 2)
    (apart,) = world.messages(id=message.id)
    assert (apart.status, apart.in_doubt) == ("queued", True)
    assert world.batch(apart.batch_id).status == "unconfirmed"
    assert world.counters(campaign) == {"total": 3, "queued": 3, "unconfirmed": 3}


def test_another_tenants_messages_do_not_count(world):
    rival = world.tenant("rival")
    cap(world)
    cap(world, tenant=rival)
    (phone,) = world.contacts(1)
    world.contacts(1, rival, phone=phone)
    for tenant in (rival, world.acme):
        world.start(world.draft(tenant))
        world.send()


def test_a_message_without_a_campaign_is_neither_counted_nor_held_back(world):
    cap(world)
    (phone,) = world.contacts(1)
    world.single(phone)
    world.send()
    assert noted(world) == []
    world.start(world.draft())
    world.send()
    world.single(phone)
    world.send()


@pytest.mark.parametrize(("most", "days"), [(None, None), (1, None), (None, 7)])
def test_without_a_cap_nothing_is_noted(world, most, days):
    cap(world, most, days)
    world.sending(3)
    world.send()
    assert noted(world) == []


def test_a_cap_that_was_lifted_holds_nobody_back(world):
    cap(world)
    world.sending(3)
    world.send()
    world.start(world.draft())
    batch = world.reserve()
    assert world.intend(batch) == TooOften()
    cap(world, None, None)
    assert world.write(frequency.drop, batch) == ([], 3)
    assert isinstance(world.intend(batch), Attempt)


def test_drop_refuses_a_reservation_that_was_lost(world):
    world.sending(3)
    batch = world.reserve()
    world.write(outcomes.expire, batch.id, lambda _: Policy(), all_of_them=True)
    with pytest.raises(LostReservationError):
        world.write(frequency.drop, batch)


def test_what_no_cap_looks_at_is_forgotten(world):
    rival = world.tenant("rival")
    cap(world, days=7)
    cap(world, days=30, tenant=rival)
    for tenant in (world.acme, rival):
        world.sending(2, tenant=tenant)
        world.send()
    world.pass_time(7 * DAY_MS - 1)
    assert world.write(frequency.forget_old) == 0
    world.pass_time(1)
    assert world.write(frequency.forget_old) == 2
    assert {row.tenant_id for row in world.rows(contacted)} == {rival}
    cap(world, None, None, tenant=rival)
    assert world.write(frequency.forget_old) == 2
    assert noted(world) == []
