"""A campaign's life in the database: the table of its states, cancelling, the schedule."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import update
from sqlalchemy.exc import DBAPIError

from paceline.domain.campaign import TRANSITIONS, CampaignStatus, CampaignVerb
from paceline.domain.errors import NotFoundError, WrongStateError
from paceline.domain.outcome import NoAnswer, NotSent, Rejected, Rejection
from paceline.domain.verdict import Policy, UnconfirmedPolicy
from paceline.storage import campaigns, doubt, outcomes, standings
from paceline.storage.schema import batches
from paceline.storage.schema import campaigns as campaigns_table

RESEND = Policy(unconfirmed=UnconfirmedPolicy.RESEND)


def set_status(world, status):
    statement = update(campaigns_table).values(status=status)
    world.write(lambda c: c.execute(statement))


def put(world, status):
    """Bring the only campaign, a draft, into any status, by way of those that lead there."""
    ways = {
        "draft": [],
        "scheduled": ["scheduled"],
        "sending": ["sending"],
        "paused": ["sending", "paused"],
        "completed": ["sending", "completed"],
        "cancelled": ["cancelled"],
        "failed": ["scheduled", "failed"],
    }
    for step in ways[status]:
        set_status(world, step)


VERBS = [
    CampaignVerb.SCHEDULE,
    CampaignVerb.UNSCHEDULE,
    CampaignVerb.PAUSE,
    CampaignVerb.RESUME,
    CampaignVerb.CANCEL,
]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("verb", "status"), list(itertools.product(VERBS, CampaignStatus)), ids=str
)
def test_a_campaign_moves_along_the_table_only(world, verb, status):
    campaign = world.draft()
    put(world, status)
    starts, target = TRANSITIONS[verb]

    def ask():
        if verb is CampaignVerb.CANCEL:
            return world.write(campaigns.cancel, world.acme, campaign)
        return world.write(campaigns.change, world.acme, campaign, verb)

    if status in starts:
        assert ask().status == target
    else:
        with pytest.raises(WrongStateError, match=f"this one is {status}"):
            ask()
        assert world.campaign(campaign).status == status


@pytest.mark.parametrize("step", ["draft", "scheduled", "sending"])
def test_the_guards_of_these_tests_stop_a_step_that_no_table_knows(world, step):
    world.draft()
    put(world, "completed")
    with pytest.raises(DBAPIError, match="no such transition in campaigns"):
        set_status(world, step)


def test_another_tenants_campaign_does_not_exist(world):
    campaign, rival = world.draft(), world.tenant("rival")
    for ask in (
        lambda: world.read(campaigns.get, rival, campaign),
        lambda: world.write(campaigns.cancel, rival, campaign),
        lambda: world.write(campaigns.change, rival, campaign, CampaignVerb.SCHEDULE),
        lambda: world.read(standings.of, rival, campaign),
        lambda: world.read(doubt.undecided, rival, campaign),
    ):
        with pytest.raises(NotFoundError):
            ask()
    assert world.read(campaigns.page, rival) == []


def test_a_campaign_made_with_a_time_is_scheduled_and_due_at_that_time(world):
    late = world.draft(scheduled_at=world.now + 2000, timezone="Europe/Athens")
    soon = world.draft(scheduled_at=world.now + 1000)
    world.draft()
    assert world.campaign(late).status == "scheduled"
    assert world.read(campaigns.due) == []
    world.pass_time(1000)
    assert world.read(campaigns.due) == [soon]
    world.pass_time(1000)
    assert world.read(campaigns.due) == [soon, late]


def test_a_scheduled_campaign_with_nobody_to_send_to_fails(world):
    campaign = world.draft(scheduled_at=world.now)
    world.write(campaigns.fail, campaign, "nobody")
    row = world.campaign(campaign)
    assert (row.status, row.completed_at) == ("failed", world.now)


def test_campaigns_are_listed_newest_first_in_pages(world):
    ids = [world.draft() for _ in range(5)]
    page = world.read(campaigns.page, world.acme, limit=2)
    assert [row.id for row in page] == ids[:2:-1]
    page = world.read(campaigns.page, world.acme, before=ids[3], limit=2)
    assert [row.id for row in page] == [ids[2], ids[1]]
    assert world.read(campaigns.page, world.acme, status="sending") == []


# --- cancelling


def sweep(world, campaign):
    rounds = 1
    while world.write(campaigns.sweep_cancelled, campaign):
        rounds += 1
    return rounds


def test_cancelling_fails_what_is_queued_and_keeps_what_was_sent(world):
    campaign = world.sending(9)
    world.send()
    world.write(campaigns.cancel, world.acme, campaign)
    assert world.campaign(campaign).status == "cancelled"
    assert world.read(campaigns.cancelled_with_queue) == [campaign]
    assert sweep(world, campaign) == 1
    assert world.counters(campaign) == {"total": 9, "sent": 3, "failed": 6}
    assert {row.reason for row in world.messages(status="failed")} == {"cancelled"}
    assert {row.status for row in world.rows(batches)} == {"done", "cancelled"}
    assert world.read(campaigns.cancelled_with_queue) == []


def test_the_sweep_goes_in_chunks_and_ends(world, monkeypatch):
    monkeypatch.setattr(campaigns, "CANCEL_CHUNK", 5)
    campaign = world.sending(12)
    world.write(campaigns.cancel, world.acme, campaign)
    world.write(campaigns.sweep_cancelled, campaign)
    assert world.counters(campaign) == {"total": 12, "queued": 9, "failed": 3}
    while world.read(campaigns.cancelled_with_queue):
        world.write(campaigns.sweep_cancelled, campaign)
    assert world.counters(campaign) == {"total": 12, "failed": 12}


def test_a_batch_larger_than_the_chunk_is_swept_too(world, monkeypatch):
    monkeypatch.setattr(campaigns, "CANCEL_CHUNK", 2)
    campaign = world.sending(6, batch_size=3)
    world.write(campaigns.cancel, world.acme, campaign)
    while world.read(campaigns.cancelled_with_queue):
        world.write(campaigns.sweep_cancelled, campaign)
    assert world.counters(campaign) == {"total": 6, "failed": 6}


def test_a_sweep_of_a_campaign_that_is_not_cancelled_does_nothing(world):
    campaign = world.sending(3)
    assert world.write(campaigns.sweep_cancelled, campaign) is False
    assert world.counters(campaign) == {"total": 3, "queued": 3}


def test_what_is_in_doubt_outlives_a_cancellation(world):
    campaign = world.sending(6)
    world.record(world.call(), NoAnswer("timed out"), RESEND)
    world.write(campaigns.cancel, world.acme, campaign)
    sweep(world, campaign)
    assert world.counters(campaign) == {"total": 6, "queued": 3, "failed": 3, "unconfirmed": 3}
    assert world.read(campaigns.cancelled_with_queue) == []
    (batch_id,) = world.read(doubt.undecided, world.acme, campaign)
    assert world.batch(batch_id).status == "unconfirmed"


def test_a_call_in_flight_is_recorded_after_the_cancellation(world):
    campaign = world.sending(3)
    call = world.call()
    world.write(campaigns.cancel, world.acme, campaign)
    assert world.read(campaigns.cancelled_with_queue) == []
    world.record(call, call.accepted())
    assert world.counters(campaign) == {"total": 3, "sent": 3}
    assert world.campaign(campaign).status == "cancelled"


@pytest.mark.parametrize(
    ("outcome", "status", "counters"),
    [
        (NotSent("down"), "cancelled", {"total": 3, "failed": 3}),
        (Rejected(Rejection("1", "no")), "cancelled", {"total": 3, "failed": 3}),
        (NoAnswer("timed out"), "unconfirmed", {"total": 3, "queued": 3, "unconfirmed": 3}),
    ],
)
def test_a_batch_that_returns_to_a_cancelled_campaign_ends_there(world, outcome, status, counters):
    campaign = world.sending(3)
    call = world.call()
    world.write(campaigns.cancel, world.acme, campaign)
    world.record(call, outcome)
    assert world.batch(call).status == status
    assert world.counters(campaign) == counters


def test_a_doubtful_batch_that_returns_to_a_cancelled_campaign_stays_in_doubt(world):
    campaign = world.sending(3)
    world.record(world.call(), NoAnswer("timed out"), RESEND)
    world.pass_time(3000)
    call = world.call()
    world.write(campaigns.cancel, world.acme, campaign)
    world.record(call, NotSent("down"), RESEND)
    assert world.batch(call).status == "unconfirmed"
    assert world.counters(campaign) == {"total": 3, "queued": 3, "unconfirmed": 3}


def test_a_reservation_of_a_cancelled_campaign_ends_when_it_runs_out(world):
    campaign = world.sending(3)
    batch = world.reserve()
    world.write(campaigns.cancel, world.acme, campaign)
    world.write(outcomes.expire, batch.id, lambda _: Policy(), all_of_them=True)
    assert world.batch(batch).status == "cancelled"
    assert world.counters(campaign) == {"total": 3, "failed": 3}


def test_a_paused_campaign_keeps_its_queue_and_completes_with_its_last_call(world):
    campaign = world.sending(3)
    call = world.call()
    world.write(campaigns.change, world.acme, campaign, CampaignVerb.PAUSE)
    world.record(call, call.accepted())
    assert world.campaign(campaign).status == "completed"


# --- what a campaign waits for


def test_a_standing_tells_what_decides_the_wait(world):
    campaign = world.sending(3)
    standing = world.read(standings.of, world.acme, campaign)
    assert (standing.due_at, standing.error, standing.in_hand) == (0, None, False)
    call = world.call()
    standing = world.read(standings.of, world.acme, campaign)
    assert (standing.due_at, standing.in_hand) == (None, True)
    world.record(call, NotSent("connection refused"))
    (standing,) = world.read(standings.page, world.acme)
    assert (standing.due_at, standing.error) == (world.now + 3000, "connection refused")
    assert standing.at == world.now
    assert standing.account.closed_until == world.now + 3000
