"""Traffic accounts: breaker, hold and release, and who may use which."""

from __future__ import annotations

import pytest

from paceline.domain.errors import NotFoundError
from paceline.domain.outcome import NoAnswer, NotSent, Refused, ServerError, Throttled
from paceline.storage import accounts, outcomes, tenants


def closed_for(world):
    until = world.account_row().closed_until
    return None if until is None else until - world.now


def test_failures_close_the_account_for_twice_as_long_each_time(world):
    world.sending(40, batch_size=1)
    waits = []
    for outcome in (NotSent("a"), ServerError("b", 500), NoAnswer("c"), NoAnswer("d")) * 2:
        world.record(world.call(), outcome)
        waits.append(closed_for(world))
        world.pass_time(waits[-1])
    assert waits == [3000, 6000, 12_000, 24_000, 48_000, 48_000, 48_000, 48_000]
    assert world.account_row().closed_why == "d"


def test_failures_of_calls_in_flight_do_not_add_up(world):
    world.sending(5, batch_size=1)
    calls = [world.call(batch) for batch in world.reservation(5).batches]
    world.pass_time(100)
    for call in calls:
        world.record(call, NoAnswer("timed out"))
    row = world.account_row()
    assert (row.failures, closed_for(world)) == (1, 3000)


def test_a_failed_connection_while_the_account_is_closed_does_not_add_up(world):
    world.sending(3, batch_size=1)
    for batch in world.reservation(3).batches:
        world.write(outcomes.record_unsent, batch, NotSent("down"), world.policy)
    assert (world.account_row().failures, closed_for(world)) == (1, 3000)


def test_an_answer_to_a_call_in_flight_does_not_open_a_closed_account(world):
    world.sending(2, batch_size=1)
    failing, slow = (world.call(batch) for batch in world.reservation(2).batches)
    world.record(failing, NoAnswer("timed out"))
    world.pass_time(10)
    world.record(slow, slow.accepted())
    row = world.account_row()
    assert (row.failures, closed_for(world)) == (1, 2990)


def test_an_answer_to_the_probe_opens_the_account(world):
    world.sending(3, batch_size=1)
    world.record(world.call(), NoAnswer("timed out"))
    world.pass_time(3000)
    world.send()
    row = world.account_row()
    assert (row.failures, row.closed_at, row.closed_why) == (0, None, None)
    world.record(world.call(), NoAnswer("timed out"))
    assert closed_for(world) == 3000


def test_a_throttled_call_closes_the_account_as_long_as_it_asks_and_is_no_failure(world):
    world.sending(2, batch_size=1)
    world.record(world.call(), Throttled(retry_after_ms=7000))
    assert (world.account_row().failures, closed_for(world)) == (0, 7000)
    assert world.account_row().closed_why == "429 Too Many Requests"


def test_a_shorter_wish_never_shortens_a_longer_one(world):
    world.sending(2, batch_size=1)
    first, second = (world.call(batch) for batch in world.reservation(2).batches)
    world.record(first, Throttled(retry_after_ms=7000))
    world.record(second, Throttled(retry_after_ms=1000))
    assert closed_for(world) == 7000


def test_a_throttled_call_in_flight_is_heeded_while_the_breaker_is_open(world):
    world.sending(2, batch_size=1)
    failing, throttled = (world.call(batch) for batch in world.reservation(2).batches)
    world.record(failing, NotSent("down"))
    world.record(throttled, Throttled(retry_after_ms=60_000))
    assert closed_for(world) == 60_000
    assert world.account_row().failures == 1


def test_a_refusal_holds_the_account_until_it_is_released(world):
    world.sending(2, batch_size=1)
    world.record(world.call(), Refused("402 Payment Required", 402))
    row = world.account_row()
    assert (row.held_at, row.held_why) == (world.now, "402 Payment Required")
    world.pass_time(10_000_000)
    assert world.reservation(5).batches == []
    row = world.write(accounts.release, world.main)
    assert (row.held_at, row.held_why) == (None, None)
    assert len(world.reservation(5).batches) == 2


def test_a_release_forgets_failures_and_the_time_that_was_left(world):
    world.sending(5, batch_size=1)
    world.record(world.call(), NoAnswer("timed out"))
    row = world.write(accounts.release, world.main)
    assert (row.failures, row.closed_at, row.closed_until, row.closed_why) == (0, None, None, None)
    assert len(world.reservation(5).batches) == 4


def test_releasing_what_is_not_there_is_an_error(world):
    with pytest.raises(NotFoundError):
        world.write(accounts.release, 999)


def test_a_very_long_error_is_cut(world):
    world.sending(1)
    world.record(world.call(), Refused("x" * 5000, 403))
    assert world.account_row().held_why == "x" * 300


def test_good_times_write_nothing_to_the_account(world):
    world.sending(6)
    world.send()
    before = world.account_row()
    call = world.call()
    spent = world.account_row()
    world.record(call, call.accepted())
    assert world.account_row() == spent
    assert before.grants != spent.grants


# --- which account


def test_a_tenant_uses_the_account_it_names_else_a_default_else_the_oldest(world):
    spare, third = world.account("spare"), world.account("third")
    assert world.read(accounts.usable, world.acme, None).id == world.main
    world.write(accounts.make_default, spare)
    assert world.read(accounts.usable, world.acme, None).id == spare
    world.write(tenants.change, world.acme, {"default_account_id": third})
    assert world.read(accounts.usable, world.acme, None).id == third
    assert world.read(accounts.usable, world.acme, world.main).id == world.main


def test_another_tenants_account_does_not_exist(world):
    rival = world.tenant("rival")
    theirs = world.account("theirs", tenant_id=rival)
    with pytest.raises(NotFoundError):
        world.read(accounts.usable, world.acme, theirs)
    assert world.read(accounts.usable, rival, theirs).id == theirs
    assert [row.id for row in world.read(accounts.all_of, world.acme)] == [world.main]
    assert [row.id for row in world.read(accounts.all_of)] == [world.main, theirs]


def test_an_account_kept_again_is_brought_up_to_date_and_keeps_its_webhook(world):
    before = world.account_row()
    again = world.account("main", api_key="new")
    row = world.account_row()
    assert (again, row.api_key) == (world.main, "new")
    assert row.webhook_token == before.webhook_token


def test_a_webhook_token_is_known_for_its_provider_only(world):
    token = world.account_row().webhook_token
    assert len(token) >= 40
    assert world.read(accounts.by_webhook_token, "simulated", token).id == world.main
    assert world.read(accounts.by_webhook_token, "mitto", token) is None
    assert world.read(accounts.by_webhook_token, "simulated", "") is None
