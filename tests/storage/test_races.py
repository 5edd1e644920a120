"""Two transactions at once, on PostgreSQL, where they really are.

One is held open where it matters while the other one runs into it, so both orders are tried for
certain and nothing depends on luck. No race may end in a deadlock: the database would undo one side
and it would be tried again, but only after a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text

from paceline.domain import segment_text
from paceline.domain.campaign import CampaignVerb
from paceline.domain.errors import (
    ConflictError,
    InvalidInputError,
    NotADraftError,
    NotFoundError,
)
from paceline.domain.hours import DAY_MS
from paceline.domain.message import BatchStatus
from paceline.domain.outcome import Answered, NoAnswer, NotSent, Rejection
from paceline.domain.role import Role
from paceline.domain.verdict import Policy
from paceline.storage import (
    accounts,
    campaigns,
    frequency,
    intents,
    launches,
    lists,
    opt_outs,
    outcomes,
    postponed,
    segments,
    suppressions,
    tenants,
    turns,
    users,
)
from paceline.storage.batches import Attempt
from paceline.storage.launches import LaunchStoppedError
from paceline.storage.schema import batches, contacts
from paceline.storage.wishes import Gone, Lost, Stale, TooOften, Untimely, Wish
from tests.storage.world import LEASE_MS, PACING, World

pytestmark = pytest.mark.parametrize("database", ["postgres"], indirect=True)

PATIENCE_S = 20
_BLOCKED = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
_DEADLOCKS = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


class Race:
    """Runs storage functions in threads of their own, each in its own transaction."""

    def __init__(self, world: World, threads: ThreadPoolExecutor) -> None:
        self.world = world
        self.threads = threads

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        return self.threads.submit(self.world.database.write_now, function, *args, **kwargs)

    @contextmanager
    def held(
        self, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Iterator[Future[Any]]:
        """Inside, the function is done and its transaction is still open."""
        done, let_go = threading.Event(), threading.Event()

        def hold(connection):
            result = function(connection, *args, **kwargs)
            done.set()
            assert let_go.wait(PATIENCE_S)
            return result

        future = self.run(hold)
        try:
            assert done.wait(PATIENCE_S)
            yield future
        finally:
            let_go.set()
        future.result(PATIENCE_S)

    def until_blocked(self, future: Future[Any]) -> None:
        """Wait until the other transaction waits for a lock of the held one."""
        for _ in range(PATIENCE_S * 200):
            assert not future.done(), f"it did not wait: {future.result()}"
            if self.world.read(lambda c: c.execute(_BLOCKED).scalar_one()):
                return
            wait_for([future], timeout=0.005)
        pytest.fail("it never came to wait for a lock")

    def all(self, *futures: Future[Any]) -> list[Any]:
        return [future.result(PATIENCE_S) for future in futures]


@pytest.fixture
def race(world):
    before = deadlocks(world)
    with ThreadPoolExecutor(4) as threads:
        yield Race(world, threads)
    world.check_counters()
    assert deadlocks(world) == before


def deadlocks(world):
    # Its reader has figures of its own making only: ask for those of everybody.
    world.database.write_now(lambda c: c.execute(text("SELECT pg_stat_force_next_flush()")))
    world.database.write_now(lambda c: c.execute(text("SELECT pg_stat_clear_snapshot()")))
    return world.database.write_now(lambda c: c.execute(_DEADLOCKS).scalar_one())


def intent(world, batch, size=3):
    return {
        "wishes": [Wish(batch, size)],
        "pacing": PACING,
        "lease_ms": LEASE_MS,
        "worker": "racer",
        "monotonic": world.clock.monotonic,
    }


# --- cancel and pause against intend


def stop(verb):
    if verb is CampaignVerb.CANCEL:
        return campaigns.cancel, ()
    return campaigns.change, (verb,)


@pytest.mark.parametrize("verb", [CampaignVerb.CANCEL, CampaignVerb.PAUSE])
def test_no_intent_is_written_after_a_stop(world, race, verb):
    campaign = world.sending(3)
    batch = world.reserve()
    function, more = stop(verb)
    with race.held(function, world.acme, campaign, *more):
        intending = race.run(intents.intend, **intent(world, batch))
        race.until_blocked(intending)
    assert isinstance(intending.result(PATIENCE_S)[0], Gone)
    assert world.attempts() == []
    assert world.batch(batch).status == "queued"


@pytest.mark.parametrize("verb", [CampaignVerb.CANCEL, CampaignVerb.PAUSE])
def test_a_stop_waits_for_the_intent_that_came_first(world, race, verb):
    campaign = world.sending(3)
    batch = world.reserve()
    function, more = stop(verb)
    with race.held(intents.intend, **intent(world, batch)) as intending:
        stopping = race.run(function, world.acme, campaign, *more)
        race.until_blocked(stopping)
    assert isinstance(intending.result(PATIENCE_S)[0], Attempt)
    stopping.result(PATIENCE_S)
    assert world.batch(batch).status == "submitting"


# --- opt-out against intend


def test_no_intent_after_an_opt_out_contains_the_number(world, race):
    world.sending(3)
    batch = world.reserve()
    phone = world.messages()[0].phone
    with race.held(suppressions.add, world.acme, [phone], "stop"):
        intending = race.run(intents.intend, **intent(world, batch))
        race.until_blocked(intending)
    assert intending.result(PATIENCE_S) == [Stale()]
    assert world.attempts() == []


def test_a_drop_sees_the_opt_out_it_waited_for(world, race):
    world.sending(3)
    batch = world.reserve()
    first, second, _ = world.messages()
    world.suppress(first.phone)
    with race.held(suppressions.add, world.acme, [second.phone], "stop"):
        dropping = race.run(opt_outs.drop, batch)
        race.until_blocked(dropping)
    dropped, checked = dropping.result(PATIENCE_S)
    assert dropped == [first.id, second.id]
    assert isinstance(world.intend(checked, size=1), Attempt)


def test_an_opt_out_waits_for_the_intent_that_came_first(world, race):
    world.sending(3)
    batch = world.reserve()
    with race.held(intents.intend, **intent(world, batch)) as intending:
        leaving = race.run(suppressions.add, world.acme, [world.messages()[0].phone], "stop")
        race.until_blocked(leaving)
    assert isinstance(intending.result(PATIENCE_S)[0], Attempt)
    assert leaving.result(PATIENCE_S) == 1


# --- two workers


def test_two_intents_never_share_the_last_permit(world, race):
    world.sending(6)
    first, second = world.reservation(2).batches
    world.write(lambda c: c.execute(text("UPDATE tenants SET rate_max = 1")))
    with race.held(intents.intend, **intent(world, first)):
        late = race.run(intents.intend, **intent(world, second))
        race.until_blocked(late)
    assert late.result(PATIENCE_S)[0].for_ms == 1050
    assert world.grants()[0] == f"[{world.now},1]"


def reserving(want, **values):
    return {"want": want, "lease_ms": LEASE_MS, "pacing": PACING} | values


def test_two_reservers_never_get_the_same_batch(world, race):
    world.sending(6, batch_size=1)
    with race.held(turns.reserve, **reserving(3)) as first:
        second = race.run(turns.reserve, **reserving(3))
        race.until_blocked(second)
    taken = [batch.id for reservation in race.all(first, second) for batch in reservation.batches]
    assert len(taken) == len(set(taken)) == 6


def test_many_reservers_share_out_what_there_is(world, race):
    rival = world.tenant("rival")
    world.sending(20, batch_size=1)
    world.sending(20, batch_size=1, tenant=rival)
    reservations = race.all(*[race.run(turns.reserve, **reserving(3)) for _ in range(12)])
    taken = [batch for reservation in reservations for batch in reservation.batches]
    assert len({batch.id for batch in taken}) == len(taken) == 36
    per_tenant = [batch.tenant_id for batch in taken].count(rival)
    assert per_tenant == 18


def test_reservers_that_go_round_the_accounts_from_different_ends_do_not_deadlock(
    world, race, monkeypatch
):
    spare = world.account("spare")
    world.sending(2, batch_size=1)
    world.start(world.draft(account=spare), batch_size=1)
    both_hold_one = threading.Barrier(2, timeout=PATIENCE_S)
    real = turns._Turns.take
    met = threading.local()

    def take(self, want):
        if not hasattr(met, "once"):
            met.once = True
            both_hold_one.wait()
        return real(self, want)

    monkeypatch.setattr(turns._Turns, "take", take)
    reservations = race.all(
        race.run(turns.reserve, **reserving(4, first_account=world.main)),
        race.run(turns.reserve, **reserving(4, first_account=spare)),
    )
    taken = [batch.id for reservation in reservations for batch in reservation.batches]
    assert len(taken) == len(set(taken)) == 4


def test_a_reservation_that_ran_out_and_its_late_intent_never_both_win(world, race):
    world.sending(3)
    batch = world.reserve()
    world.pass_time(LEASE_MS)
    with race.held(outcomes.expire, batch.id, lambda _: Policy()):
        intending = race.run(intents.intend, **intent(world, batch))
        race.until_blocked(intending)
    assert intending.result(PATIENCE_S) == [Lost()]
    assert world.attempts() == []


def test_an_answer_and_the_expiry_of_its_lease_count_once(world, race):
    campaign = world.sending(3)
    call = world.call()
    world.pass_time(LEASE_MS)
    with race.held(outcomes.expire, call.attempt.batch.id, lambda _: Policy()):
        answer = race.run(outcomes.record, [world.result(call, call.accepted())])
        race.until_blocked(answer)
    assert answer.result(PATIENCE_S)[0].sent == 3
    assert world.counters(campaign) == {"total": 3, "sent": 3}


def test_records_of_one_campaign_at_once_add_up(world, race):
    campaign = world.sending(24, batch_size=2)
    calls = [world.call(batch) for batch in world.reservation(12).batches]
    no = Rejection("30")
    outcomes_of = [
        lambda call: Answered([f"p{i}" for i in call.ids]),
        lambda call: Answered([f"p{call.ids[0]}", None], {1: no}),
        lambda _: NotSent("down"),
        lambda _: NoAnswer("timed out"),
    ]
    race.all(
        *[
            race.run(outcomes.record, [world.result(call, outcomes_of[i % 4](call))])
            for i, call in enumerate(calls)
        ]
    )
    assert world.counters(campaign) == {
        "total": 24,
        "queued": 12,
        "sent": 9,
        "failed": 3,
        "unconfirmed": 6,
    }
    assert world.account_row().failures == 1


def test_records_of_two_campaigns_do_not_wait_for_each_other(world, race):
    first = world.sending(3)
    second = world.start(world.draft())
    calls = {batch.campaign_id: world.call(batch) for batch in world.reservation(2).batches}
    one, other = calls[first], calls[second]
    with race.held(outcomes.record, [world.result(one, one.accepted())]):
        answer = Answered(["x", "y", "z"])
        recorded = race.run(outcomes.record, [world.result(other, answer)])
        assert recorded.result(PATIENCE_S)[0].sent == 3


# --- launch


def test_one_worker_writes_a_chunk_and_the_other_one_leaves_it_alone(world, race, monkeypatch):
    monkeypatch.setattr(launches, "CHUNK", 4)
    campaign = world.sending(12)
    with race.held(launches.write_chunk, campaign) as first:
        second = race.run(launches.write_chunk, campaign)
        assert second.result(PATIENCE_S) is None
    assert first.result(PATIENCE_S).created == 4
    assert world.counters(campaign) == {"total": 8, "queued": 8}


def test_a_launch_by_many_workers_reaches_everybody_once(world, race, monkeypatch):
    monkeypatch.setattr(launches, "CHUNK", 4)
    campaign = world.sending(30)

    def work():
        while campaign in world.read(launches.under_way):
            world.database.write_now(launches.write_chunk, campaign)

    race.all(*[race.threads.submit(work) for _ in range(2)])
    assert world.counters(campaign) == {"total": 30, "queued": 30}
    assert len({message.phone for message in world.messages()}) == 30
    assert {row.status for row in world.rows(batches)} == {BatchStatus.QUEUED}


def test_a_cancellation_in_the_middle_of_a_chunk_undoes_the_chunk(world, race, monkeypatch):
    monkeypatch.setattr(launches, "CHUNK", 4)
    campaign = world.sending(12)
    in_the_middle, go_on = threading.Event(), threading.Event()
    real = launches._advance

    def advance(*args, **kwargs):
        in_the_middle.set()
        assert go_on.wait(PATIENCE_S)
        real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(launches, "_advance", advance)
        writing = race.run(launches.write_chunk, campaign)
        assert in_the_middle.wait(PATIENCE_S)
        cancelling = race.run(campaigns.cancel, world.acme, campaign)
        assert cancelling.result(PATIENCE_S).status == "cancelled"
        go_on.set()
        with pytest.raises(LaunchStoppedError):
            writing.result(PATIENCE_S)
    assert world.counters(campaign) == {"total": 4, "queued": 4}
    assert world.write(launches.write_chunk, campaign) is None
    assert world.read(launches.under_way) == []
    assert world.campaign(campaign).status == "cancelled"


def test_two_starts_make_one_launch(world, race):
    world.contacts(3)
    campaign = world.draft()
    with race.held(launches.start, world.acme, campaign, batch_size=3):
        again = race.run(launches.start, world.acme, campaign, batch_size=3)
        race.until_blocked(again)
    with pytest.raises(Exception, match="this one is sending"):
        again.result(PATIENCE_S)
    assert world.counters(campaign) == {"total": 3, "queued": 3}


def replacing(world, campaign, **values):
    described = {"account_id": world.main, "name": "late", "text": "Late", "sender": "ACME"}
    return {"tenant_id": world.acme, "campaign_id": campaign, **described, **values}


def test_a_draft_that_is_starting_is_replaced_no_more(world, race):
    world.contacts(3)
    campaign = world.draft()
    with race.held(launches.start, world.acme, campaign, batch_size=3):
        late = race.run(campaigns.replace, **replacing(world, campaign))
        race.until_blocked(late)
    with pytest.raises(NotADraftError, match="this campaign is sending: make a new campaign"):
        late.result(PATIENCE_S)
    assert world.campaign(campaign).text == "Hello"
    assert world.counters(campaign) == {"total": 3, "queued": 3}


def test_a_draft_that_is_being_replaced_starts_as_what_it_has_become(world, race):
    world.contacts(3)
    second = world.account("second")
    campaign = world.draft()
    with race.held(campaigns.replace, **replacing(world, campaign, account_id=second)):
        starting = race.run(launches.start, world.acme, campaign, batch_size=3)
        race.until_blocked(starting)
    assert starting.result(PATIENCE_S).created == 3
    assert world.campaign(campaign).text == "Late"
    assert {row.account_id for row in world.rows(batches)} == {second}


def test_who_locks_a_draft_to_start_it_knows_the_account_that_it_starts_with(world, race):
    second = world.account("second")
    campaign = world.draft()

    def account_to_start_with(connection):
        assert campaigns.get(connection, world.acme, campaign).account_id == world.main
        launches.lock_to_start(connection, world.acme, campaign)
        return accounts.of_campaign(connection, campaign).id

    with race.held(campaigns.replace, **replacing(world, campaign, account_id=second)):
        asking = race.run(account_to_start_with)
        race.until_blocked(asking)
    assert asking.result(PATIENCE_S) == second


def test_a_draft_is_not_replaced_by_one_for_a_list_that_is_being_deleted(world, race):
    known = world.write(lists.create, world.acme, name="VIPs").id
    campaign = world.draft()
    with race.held(lists.remove, world.acme, known):
        replacing_it = race.run(campaigns.replace, **replacing(world, campaign, list_id=known))
        race.until_blocked(replacing_it)
    with pytest.raises(NotFoundError, match="no list"):
        replacing_it.result(PATIENCE_S)
    assert world.campaign(campaign).list_id is None


# --- two campaigns for the same people, under a frequency cap


def capped(world):
    """Two reserved batches of two campaigns on two accounts, for the same people, one each."""
    world.write(tenants.change, world.acme, {"frequency_max": 1, "frequency_days": 7})
    world.sending(3)
    world.start(world.draft(account=world.account("second")))
    one, other = world.reservation(want=2).batches
    assert one.account_id != other.account_id
    return one, other


def test_two_campaigns_that_race_for_a_person_do_not_exceed_the_cap(world, race):
    one, other = capped(world)
    with race.held(intents.intend, **intent(world, one)) as first:
        second = race.run(intents.intend, **intent(world, other))
        race.until_blocked(second)
    assert isinstance(first.result(PATIENCE_S)[0], Attempt)
    assert second.result(PATIENCE_S) == [TooOften()]
    assert world.write(frequency.drop, other)[1] == 0


def test_who_is_held_back_meanwhile_is_dropped_for_what_was_committed(world, race):
    one, other = capped(world)
    with race.held(intents.intend, **intent(world, one)):
        dropping = race.run(frequency.drop, other)
        race.until_blocked(dropping)
    assert len(dropping.result(PATIENCE_S)[0]) == 3


def test_forgetting_waits_for_no_intent_and_keeps_none_waiting(world, race):
    world.write(tenants.change, world.acme, {"frequency_max": 1, "frequency_days": 7})
    world.sending(3)
    world.record(world.call(), NotSent("refused"))
    world.pass_time(8 * DAY_MS)
    batch = world.reserve()
    with race.held(intents.intend, **intent(world, batch)):
        assert race.run(frequency.forget_old).result(PATIENCE_S) == 0


# --- what waits for another time of the day, against who changes that


def test_what_is_put_off_with_its_like_is_not_when_the_hours_were_changed_meanwhile(world, race):
    world.write(tenants.change, world.acme, {"daily_cap": 1})
    world.sending(9, batch_size=1)
    world.send()
    batch = world.reserve()
    untimely = world.intend(batch, size=1)
    assert isinstance(untimely, Untimely)
    with race.held(tenants.change, world.acme, {"daily_cap": 100}):
        putting_off = race.run(postponed.alike, batch, untimely)
        race.until_blocked(putting_off)
    assert putting_off.result(PATIENCE_S) == 0
    assert all(row.due_at <= world.now for row in world.rows(batches))


def test_who_changes_the_hours_finds_all_that_was_put_off_before(world, race):
    world.write(tenants.change, world.acme, {"daily_cap": 1})
    world.sending(9, batch_size=1)
    world.send()
    batch = world.reserve()
    untimely = world.intend(batch, size=1)
    assert isinstance(untimely, Untimely)
    with race.held(postponed.alike, batch, untimely):
        changing = race.run(tenants.change, world.acme, {"daily_cap": 100})
        race.until_blocked(changing)
    changing.result(PATIENCE_S)
    assert all(row.due_at <= world.now for row in world.rows(batches))


def test_a_list_is_not_deleted_beside_a_filter_that_names_it(world, race):
    made = world.write(lists.create, world.acme, name="vip")
    wanted = segment_text.parse(f"not in list {made.id}")
    segment = {"name": "others", "wanted": wanted}
    with race.held(segments.create, world.acme, **segment):
        removed = race.run(lists.remove, world.acme, made.id)
        race.until_blocked(removed)
    with pytest.raises(ConflictError, match="others"):
        removed.result(PATIENCE_S)
    other = world.write(lists.create, world.acme, name="old")
    wanted = segment_text.parse(f"not in list {other.id}")
    with race.held(lists.remove, world.acme, other.id):
        drafted = race.run(
            campaigns.create,
            world.acme,
            account_id=world.main,
            name="c",
            text="Hi",
            sender="Acme",
            wanted=wanted,
        )
        race.until_blocked(drafted)
    with pytest.raises(InvalidInputError):
        drafted.result(PATIENCE_S)


def test_a_list_that_is_being_filled_is_not_removed_as_empty(world, race):
    made = world.write(lists.create, world.acme, name="import")
    world.contacts(1)
    [contact] = world.rows(contacts)
    with race.held(lists.add, world.acme, made.id, [contact.id]):
        removed = race.run(lists.remove_empty, world.acme, made.id)
        race.until_blocked(removed)
    removed.result(PATIENCE_S)
    assert world.read(lists.get, world.acme, made.id).contacts == 1
    other = world.write(lists.create, world.acme, name="empty")
    world.write(lists.remove_empty, world.acme, other.id)
    assert [each.id for each in world.read(lists.page, world.acme)] == [made.id]


def test_a_password_that_is_looked_at_to_be_changed_is_nobody_elses_to_change(world, race):
    made = world.write(users.add, world.acme, login="ana", password="old", role=Role.SENDER)
    with race.held(users.held, world.acme, made.id):
        reset = race.run(users.change, world.acme, made.id, {"password": "reset"})
        race.until_blocked(reset)
    assert reset.result(PATIENCE_S).password == "reset"
