"""Whose turn it is, and how much may be in hands at once."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from sqlalchemy import text

from paceline.domain.campaign import CampaignVerb
from paceline.domain.errors import RateLimitExceeded
from paceline.domain.limits import Limit
from paceline.domain.outcome import NoAnswer, NotSent, Refused, Throttled
from paceline.storage import batches as batches_storage
from paceline.storage import campaigns, outcomes, tenants, work
from paceline.storage.limits import Pacing, Strategy
from paceline.storage.schema import batches
from paceline.storage.turns import LOOKAHEAD_MS, Opening
from tests.storage.world import LEASE_MS

WIDE = Pacing(Limit(1000, 1000, 50), Limit(1000, 1000, 50))


def tenants_in_turn(reservation):
    return [batch.tenant_id for batch in reservation.batches]


def test_an_empty_database_has_nothing_to_do(world):
    assert world.reservation(5).batches == []
    assert world.reservation(5).next_at is None


def test_a_reservation_leases_the_batch_and_raises_its_fence(world):
    campaign = world.sending(3)
    batch = world.reserve()
    row = world.batch(batch)
    assert (row.status, row.fence, row.tries) == ("reserved", 1, 0)
    assert row.lease_until == world.now + LEASE_MS
    assert (batch.fence, batch.campaign_id, batch.tenant_id) == (1, campaign, world.acme)
    assert batch.account_id == world.main
    assert world.reservation().batches == []


def test_a_batch_given_back_is_reserved_under_another_fence(world):
    world.sending(3)
    first = world.reserve()
    world.write(batches_storage.give_back, first)
    row = world.batch(first)
    assert (row.status, row.lease_until, row.tries) == ("queued", None, 0)
    second = world.reserve()
    assert (second.id, second.fence) == (first.id, 2)
    world.write(batches_storage.give_back, first)
    assert world.batch(second).status == "reserved"


def test_lanes_take_turns_however_long_their_queues_are(world):
    world.pacing = WIDE
    rival, small = world.tenant("rival"), world.tenant("small")
    world.sending(20, batch_size=1)
    world.sending(20, batch_size=1, tenant=rival)
    served = tenants_in_turn(world.reservation(4))
    assert Counter(served) == {world.acme: 2, rival: 2}
    world.sending(3, batch_size=1, tenant=small)
    served = tenants_in_turn(world.reservation(9))
    assert Counter(served) == {world.acme: 3, rival: 3, small: 3}


@pytest.mark.parametrize("narrow", ["tenant", "account"])
def test_whoever_has_used_up_a_window_is_told_when_it_opens_further(world, narrow):
    limits = {"tenant": Limit(1000, 1000, 50), "account": Limit(1000, 1000, 50)}
    world.pacing = Pacing(**limits | {narrow: Limit(2, 400, 50)})
    world.sending(20, batch_size=1)
    first, second = world.reservation(13).batches
    world.send(first)
    world.pass_time(100)
    world.send(second)
    world.pass_time(160)
    # Of two permits one is free soon. The other one is within reach 100 ms after the first was.
    reservation = world.reservation(13)
    assert len(reservation.batches) == 1
    assert reservation.next_at == world.now - 260 + 100 + 450 - LOOKAHEAD_MS


def test_turns_go_on_from_one_reservation_to_the_next(world):
    rival = world.tenant("rival")
    world.sending(4, batch_size=1)
    world.sending(4, batch_size=1, tenant=rival)
    served = [tenants_in_turn(world.reservation(1))[0] for _ in range(6)]
    assert served == [world.acme, rival] * 3


def test_a_lane_back_from_idling_goes_first_for_a_windows_worth_of_turns_and_no_more(world):
    world.pacing = Pacing(Limit(1000, 1000, 50), Limit(30, 1000, 50))
    rival = world.tenant("rival")
    world.sending(1, tenant=rival)
    world.sending(400, batch_size=1)
    for _ in range(4):  # much more than a window's worth, of which the rival has one
        tenants_served_in_a_window(world)
    world.contacts(99, rival)
    world.start(world.draft(rival), batch_size=1)
    assert tenants_served_in_a_window(world) == {rival: 30}
    assert tenants_served_in_a_window(world) == {rival: 15, world.acme: 15}


def tenants_served_in_a_window(world):
    batches = world.reservation(30).batches
    for batch in batches:
        world.send(batch)
    world.pass_time(1100)
    return Counter(batch.tenant_id for batch in batches)


def test_single_messages_go_before_campaigns(world):
    world.sending(2, batch_size=1)
    world.single()
    assert world.reserve().campaign_id is None
    assert world.reserve().campaign_id is not None


def test_campaigns_of_a_lane_take_turns(world):
    world.contacts(3)
    first, second = (world.start(world.draft(), batch_size=1) for _ in range(2))
    served = [batch.campaign_id for batch in world.reservation(4).batches]
    assert served == [first, second, first, second]
    assert [batch.campaign_id for batch in world.reservation(2).batches] == [first, second]


def test_batches_of_a_campaign_go_in_the_order_of_the_launch(world):
    world.sending(3, batch_size=1)
    ids = [row.id for row in world.rows(batches)]
    assert [batch.id for batch in world.reservation(3).batches] == ids


def test_what_one_campaign_cannot_give_the_others_do(world):
    world.contacts(1)
    short = world.start(world.draft(), batch_size=1)
    world.contacts(5)
    long = world.start(world.draft(), batch_size=1)
    world.single()
    served = [batch.campaign_id for batch in world.reservation(7).batches]
    assert served[0] is None
    assert Counter(served) == {None: 1, short: 1, long: 5}


def test_turns_are_counted_by_what_was_reserved_not_by_what_was_planned(world):
    world.pacing = WIDE
    rival = world.tenant("rival")
    world.sending(1, batch_size=1)
    world.sending(9, batch_size=1, tenant=rival)
    assert Counter(tenants_in_turn(world.reservation(6))) == {world.acme: 1, rival: 5}
    world.start(world.draft(), batch_size=1)
    world.start(world.draft(), batch_size=1)
    assert Counter(tenants_in_turn(world.reservation(4))) == {world.acme: 2, rival: 2}


def test_a_retry_goes_before_fresh_batches_once_it_is_due(world):
    world.sending(3, batch_size=1)
    call = world.call()
    world.record(call, Throttled(retry_after_ms=0))
    fresh = world.reserve()
    assert fresh.id != call.attempt.batch.id
    world.pass_time(3000)
    assert world.reserve().id == call.attempt.batch.id


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_batches_of_a_campaign_that_does_not_send_are_not_reserved(world, verb):
    stopped = world.sending(2)
    if verb == "pause":
        world.write(campaigns.change, world.acme, stopped, CampaignVerb.PAUSE)
    else:
        world.write(campaigns.cancel, world.acme, stopped)
    assert world.reservation(5).batches == []
    other = world.sending(2)
    assert [batch.campaign_id for batch in world.reservation(1).batches] == [other]


def test_no_more_are_in_hand_than_the_windows_will_permit(world):
    world.pacing = Pacing(Limit(3, 1000, 50), Limit(100, 1000, 50))
    world.sending(9, batch_size=1)
    assert len(world.reservation(9).batches) == 3
    assert world.reservation(9).batches == []


def test_the_room_is_the_accounts_when_that_is_the_narrower(world):
    world.pacing = Pacing(Limit(100, 1000, 50), Limit(3, 1000, 50))
    rival = world.tenant("rival")
    world.sending(9, batch_size=1)
    world.sending(9, batch_size=1, tenant=rival)
    assert Counter(tenants_in_turn(world.reservation(9))) == {world.acme: 2, rival: 1}
    assert world.reservation(9).batches == []


def test_a_tenant_with_a_shut_window_keeps_no_place_from_the_others(world):
    rival = world.tenant("rival")
    world.write(tenants.change, world.acme, {"rate_max": 1})
    world.sending(3, batch_size=1)
    world.sending(3, batch_size=1, tenant=rival)
    assert Counter(tenants_in_turn(world.reservation(4))) == {world.acme: 1, rival: 3}


def test_a_batch_is_reserved_when_its_permit_is_near_and_no_sooner(world):
    world.pacing = Pacing(Limit(1, 1000, 50), Limit(100, 1000, 50))
    world.sending(2, batch_size=1)
    world.send()
    opens = world.now + 1050
    reservation = world.reservation(1)
    assert (reservation.batches, reservation.next_at) == ([], opens - LOOKAHEAD_MS)
    world.pass_time(1050 - LOOKAHEAD_MS - 1)
    assert world.reservation(1).batches == []
    world.pass_time(1)
    assert len(world.reservation(1).batches) == 1


def test_under_backoff_windows_do_not_hold_a_reservation_up(world):
    world.pacing = Pacing(Limit(1, 1000, 50), Limit(1, 1000, 50), Strategy.BACKOFF)
    world.sending(4, batch_size=1)
    world.send()
    assert len(world.reservation(9).batches) == 3


def fail(world, outcome=None):
    call = world.call()
    world.record(call, outcome or NotSent("down"))
    return call.attempt.batch


def test_after_a_failure_one_batch_probes_and_the_rest_waits(world):
    world.sending(6, batch_size=1)
    fail(world)
    assert world.reservation(5).batches == []
    world.pass_time(3000)
    (probe,) = world.reservation(5).batches
    assert world.reservation(5).batches == []
    world.call(probe)
    assert world.reservation(5).batches == []


def test_the_probe_is_the_due_batch_with_the_fewest_tries(world):
    world.sending(3, batch_size=1)
    tried = []
    for wait in (3000, 6000, 12_000):
        tried.append(fail(world).id)
        world.pass_time(wait)
    assert len(set(tried)) == 3
    assert [world.batch(batch_id).tries for batch_id in tried] == [1, 1, 1]


def test_an_outage_spreads_its_failures_and_a_lone_batch_fails_after_its_fifth_try(world):
    campaign = world.sending(3)
    for wait in (3000, 6000, 12_000, 24_000, 48_000):
        fail(world)
        world.pass_time(wait)
    (message,) = {row.reason for row in world.messages(campaign_id=campaign)}
    assert message == "attempts_exhausted"
    assert world.campaign(campaign).status == "completed"


def test_an_answer_ends_the_probing(world):
    world.sending(6, batch_size=1)
    fail(world)
    world.pass_time(3000)
    world.send()
    assert world.account_row().failures == 0
    assert len(world.reservation(5).batches) == 5


def test_a_paused_campaigns_batch_is_no_probe(world):
    paused = world.sending(1)
    fail(world)
    world.write(campaigns.change, world.acme, paused, CampaignVerb.PAUSE)
    world.pass_time(3000)
    assert world.reservation(5).batches == []
    other = world.sending(1)
    assert world.reserve().campaign_id == other


@pytest.mark.parametrize("outcome", [Throttled(retry_after_ms=7000), NoAnswer("timed out")])
def test_a_closed_account_is_passed_over_until_it_opens(world, outcome):
    world.sending(2, batch_size=1)
    fail(world, outcome)
    closed_until = world.account_row().closed_until
    reservation = world.reservation(5)
    assert reservation.batches == []
    assert world.now < reservation.next_at <= closed_until
    world.pass_time(closed_until - world.now)
    assert world.reservation(5).batches != []


def test_a_held_account_is_passed_over_and_another_one_is_not(world):
    spare = world.account("spare")
    world.sending(2, batch_size=1)
    other = world.start(world.draft(account=spare), batch_size=1)
    call = world.call()
    world.record(call, Refused("401 Unauthorized", 401))
    assert {batch.campaign_id for batch in world.reservation(5).batches} == {other}


def test_accounts_are_gone_round_from_the_one_the_worker_names(world):
    spare = world.account("spare")
    world.sending(2, batch_size=1)
    world.start(world.draft(account=spare), batch_size=1)
    taken = world.reservation(1, first_account=spare).batches
    assert [batch.account_id for batch in taken] == [spare]
    taken = world.reservation(1, first_account=spare + 1).batches
    assert [batch.account_id for batch in taken] == [world.main]


def test_next_at_is_when_the_next_retry_is_due(world):
    world.sending(1)
    denial = RateLimitExceeded(0, 0)
    world.write(outcomes.record_denial, world.reserve(), denial, world.policy)
    assert world.reservation(1).next_at == world.now + 3000


def test_next_at_passes_over_the_permits_that_are_for_reserved_batches(world):
    world.pacing = Pacing(Limit(2, 1000, 50), Limit(100, 1000, 50))
    world.sending(4, batch_size=1)
    world.send()
    world.pass_time(100)
    world.reserve()
    assert world.reservation(1).next_at == world.now - 100 + 1050 - LOOKAHEAD_MS


@pytest.mark.parametrize("narrow", ["tenant", "account"])
def test_each_batch_is_told_when_its_own_permit_is_free(world, narrow):
    """Not all of them when the first one is: also those that other workers have reserved count."""
    limits = {"tenant": Limit(1000, 1000, 50), "account": Limit(1000, 1000, 50)}
    world.pacing = Pacing(**limits | {narrow: Limit(4, 400, 50)})
    world.sending(20, batch_size=1)
    opens = []
    for _ in range(3):
        world.send()
        opens.append(world.now + 450)
        world.pass_time(20)
    world.pass_time(230)
    first, second = world.reservation(2), world.reservation(13)
    openings = [Opening(each, narrow) for each in opens]
    assert [first.openings.get(batch.id) for batch in first.batches] == [None, openings[0]]
    assert [second.openings.get(batch.id) for batch in second.batches] == openings[1:]


def test_who_is_not_paced_waits_for_no_permit(world):
    world.pacing = Pacing(Limit(1, 400, 50), Limit(1, 400, 50), Strategy.BACKOFF)
    world.sending(20, batch_size=1)
    world.send()
    assert world.reservation(2).openings == {}


STATEMENTS = {
    "work": work.WORK,
    "account": work.LOCK_ACCOUNT,
    "campaign": work.reserve_of_campaign(2),
    "singles": work.reserve_singles(2),
}


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
@pytest.mark.parametrize("queued", [0, 10_000], ids=["little", "much"])
def test_what_others_have_queued_is_not_read_to_find_ones_own(world, statement, queued):
    """PostgreSQL must not read all that is queued, neither when it hopes to find one of a campaign
    soon because each has a third of the batches, nor by a plan that it made while it knew nothing
    of a table with hardly a row.
    """
    for tenant in (world.acme, world.tenant("rival"), world.tenant("other")):
        campaign = world.sending(20, tenant=tenant, batch_size=1)
        world.write(_queue_many, queued, world.main, tenant, campaign)
    if queued:
        world.write(lambda c: c.execute(text("ANALYZE batches")))
    parameters = {
        "account": world.main,
        "tenant": world.acme,
        "campaign": campaign,
        "at": world.now,
        "lease_until": world.now,
        "first": 0,
        "seen": [],
    }
    plan = world.read(_explain, statement, parameters)
    assert "Seq Scan" not in plan
    assert "batches_ready" in plan
    assert not re.search("batches_(campaign|waiting|leased)", plan)


def _queue_many(connection, how_many, account, tenant, campaign):
    connection.execute(
        text(
            "INSERT INTO batches (id, tenant_id, account_id, campaign_id, status, size,"
            " created_at, updated_at) SELECT 10000000 * :tenant + n, :tenant, :account, :campaign,"
            " 'queued', 0, 0, 0 FROM generate_series(1, :n) AS n"
        ),
        {"n": how_many, "tenant": tenant, "account": account, "campaign": campaign},
    )


def _explain(connection, statement, parameters):
    connection.execute(work.FOLLOW_THE_INDEX)
    compiled = statement.compile(dialect=connection.dialect)
    wanted = {name: parameters[name] for name in compiled.params if name in parameters}
    query = f"EXPLAIN {compiled}"
    values = compiled.construct_params(wanted)
    return "\n".join(connection.exec_driver_sql(query, values).scalars())
