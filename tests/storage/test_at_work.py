"""The queue as an operator looks at it: each batch in one place, whatever keeps it there."""

from __future__ import annotations

from dataclasses import replace

from paceline.domain.campaign import CampaignVerb
from paceline.domain.outcome import NoAnswer, NotSent
from paceline.domain.retry import RetryPolicy
from paceline.storage import accounts, at_work, campaigns
from paceline.storage.at_work import Here, Place, Queue
from tests.storage.world import World


def places(world: World, whose: int | None = None) -> dict[str, Here]:
    """Those that are not empty."""
    found = world.read(at_work.queue, whose)
    return {place: here for place, here in found.places.items() if here.batches}


def state(world: World) -> Queue:
    return world.read(at_work.queue, None)


def test_nothing_is_anywhere_at_first(world: World) -> None:
    found = state(world)
    assert places(world) == {}
    assert (found.oldest_ms, found.next_retry_at, found.receipts) == (None, None, 0)


def test_a_batch_is_ready_in_hand_submitting_and_gone(world: World) -> None:
    world.sending(3)
    assert places(world) == {Place.READY: Here(1, 3)}
    world.pass_time(5_000)
    assert state(world).oldest_ms == 5_000
    batch = world.reserve()
    assert places(world) == {Place.IN_HAND: Here(1, 3)}
    call = world.call(batch)
    assert places(world) == {Place.SUBMITTING: Here(1, 3)}
    world.record(call, call.accepted())
    assert places(world) == {}


def test_a_failed_try_is_retrying_until_its_backoff_ends_and_says_why(world: World) -> None:
    world.policy = replace(world.policy, retry=RetryPolicy(5, 3_000))
    world.sending(3)
    world.record(world.call(), NotSent("connection refused"))
    world.write(accounts.release, world.main)
    found = state(world)
    assert places(world) == {Place.RETRYING: Here(1, 3)}
    assert found.next_retry_at == world.now + 3_000
    (error,) = world.read(at_work.errors, None)
    assert (error.error, error.batches, error.messages, error.tries) == (
        "connection refused",
        1,
        3,
        1,
    )
    world.pass_time(3_000)
    assert places(world) == {Place.READY: Here(1, 3)}


def test_what_may_have_been_accepted_is_unconfirmed(world: World) -> None:
    world.sending(3)
    world.record(world.call(), NoAnswer("silence"))
    assert places(world) == {Place.UNCONFIRMED: Here(1, 3)}
    assert state(world).unconfirmed == 3


def test_an_account_that_is_held_or_closed_shuts_its_batches_in(world: World) -> None:
    world.sending(3)
    world.write(accounts.change, world.main, {"held_at": 1, "held_why": "401"})
    assert places(world) == {Place.ACCOUNT_SHUT: Here(1, 3)}
    world.write(accounts.change, world.main, {"held_at": None, "closed_until": world.now + 1000})
    assert places(world) == {Place.ACCOUNT_SHUT: Here(1, 3)}
    world.pass_time(1000)
    assert places(world) == {Place.READY: Here(1, 3)}


def test_a_paused_campaign_stops_its_batches_and_they_do_not_age(world: World) -> None:
    campaign = world.sending(3)
    world.write(lambda c: campaigns.change(c, world.acme, campaign, CampaignVerb.PAUSE))
    assert places(world) == {Place.STOPPED: Here(1, 3)}
    assert state(world).oldest_ms is None


def test_a_tenant_sees_its_own_and_only_all_together_see_the_inbox(world: World) -> None:
    other = world.tenant("other")
    world.sending(3)
    world.single(tenant=other)
    assert places(world, world.acme) == {Place.READY: Here(1, 3)}
    assert places(world, other) == {Place.READY: Here(1, 1)}
    assert places(world) == {Place.READY: Here(2, 4)}
    assert world.read(at_work.queue, other).receipts is None


def test_workers_show_their_calls_and_what_is_under_way(world: World) -> None:
    world.sending(6)
    world.send()
    world.pass_time(1000)
    world.call()
    (worker,) = world.read(at_work.workers, None, within_ms=60_000)
    assert (worker.calls, worker.messages, worker.under_way) == (2, 6, 1)
    assert worker.last_at == world.now
    assert worker.answered_at == world.now - 1000
    assert world.read(at_work.workers, world.tenant("other"), within_ms=60_000) == []
    world.pass_time(61_000)
    assert world.read(at_work.workers, None, within_ms=60_000) == []


def test_a_lease_that_ran_out_is_told_of(world: World) -> None:
    world.sending(3)
    world.call()
    assert state(world).leases_run_out == 0
    world.pass_time(60_000)
    assert state(world).leases_run_out == 1
