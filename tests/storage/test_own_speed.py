"""A campaign's own speed: a third window, kept like the others and in nobody's way."""

from __future__ import annotations

import pytest

from paceline.domain.errors import InvalidInputError, TooLateError, WrongStateError
from paceline.domain.limits import Limit, Window
from paceline.engine.pace import change
from paceline.engine.waiting import Cause, waiting_for
from paceline.storage import launches, restart, standings
from paceline.storage.batches import Attempt
from paceline.storage.limits import Pacing, Strategy
from paceline.storage.wishes import Used, Wait, Wish
from tests.storage.world import Call, World


def slow(world: World, size: int = 9, *, most: int = 1, window_ms: int | None = None) -> int:
    return world.sending(size, rate_max=most, rate_window_ms=window_ms)


def test_no_window_of_a_campaign_holds_more_than_its_own_limit(world: World) -> None:
    campaign = slow(world, 15, most=2, window_ms=2_000)
    used = []
    while world.campaign(campaign).queued:
        for batch in world.reservation(want=9).batches:
            intent = world.intend(batch)
            while isinstance(intent, Wait):
                world.pass_time(intent.for_ms)
                intent = world.intend(batch)
            assert isinstance(intent, Attempt)
            used.append(world.now)
            row_ids = [row.id for row in world.messages(batch_id=batch.id)]
            world.record(Call(intent, row_ids), Call(intent, row_ids).accepted())
        world.pass_time(100)
    assert len(used) == 5
    for earlier, later in zip(used, used[2:], strict=False):
        assert later - earlier >= 2_050
    assert used[-1] - used[0] <= 2 * 2_050 + 3 * 100


def test_it_keeps_no_place_at_the_gate_from_other_campaigns(world: World) -> None:
    campaign = slow(world, 30, most=1)
    other = world.start(world.draft())
    batches = world.reservation(want=8).batches
    of = [batch.campaign_id for batch in batches]
    assert (of.count(campaign), of.count(other)) == (1, 7)
    reservation = world.reservation(want=8)
    assert {batch.campaign_id for batch in reservation.batches} == {other}


def test_a_campaign_that_may_not_go_yet_is_not_reserved_and_looked_at_when_it_may(
    world: World,
) -> None:
    campaign = slow(world, 9, most=1, window_ms=10_000)
    world.send()
    began = world.now
    reservation = world.reservation(want=8)
    assert reservation.batches == []
    assert reservation.next_at == began + 10_050 - 200
    world.pass_time(9_850)
    (batch,) = world.reservation(want=8).batches
    wait = world.intend(batch)
    assert isinstance(wait, Wait)
    assert (wait.denied.held_by, wait.for_ms) == ("campaign", 200)
    waiting = waiting_for(world.read(standings.of, world.acme, campaign), world.pacing)
    assert waiting is not None
    assert (waiting.cause, waiting.until) == (Cause.CAMPAIGN_LIMIT, world.now + 200)


def test_a_permit_that_the_campaign_denies_is_taken_from_no_window(world: World) -> None:
    campaign = slow(world, 9, most=1)
    first, *_ = world.reservation(want=1).batches
    assert isinstance(world.intend(first), Attempt)
    before = world.grants()
    world.write(change, world.acme, campaign, {"rate_max": 3})
    second = world.reserve()
    world.write(change, world.acme, campaign, {"rate_max": 1})
    assert isinstance(world.intend(second), Wait)
    assert world.grants() == before


def test_batches_that_ask_together_share_it(world: World) -> None:
    campaign = slow(world, 9, most=2)
    batches = world.reservation(want=2).batches
    said = world.intend_together(*(Wish(each, 3) for each in batches))
    assert [type(each) for each in said] == [Attempt, Attempt]
    assert world.campaign(campaign).grants == f"[{world.now},2]"


def test_without_a_speed_of_its_own_a_campaign_has_no_window(world: World) -> None:
    campaign = world.sending(3)
    world.send()
    assert world.campaign(campaign).grants == ""


def test_a_use_before_its_stamp_is_told_to_its_window_too(world: World) -> None:
    campaign = slow(world, 9, most=10)
    intent = world.intend_together(Wish(world.reserve(), 3, lead_ms=100))[0]
    assert isinstance(intent, Attempt)
    told = Used(world.acme, intent.stamped_at, intent.started_at + 10, campaign)
    began = world.now
    world.pass_time(20)
    world.intend_together(Wish(world.reserve(), 3), used=[told])
    grants = Window.decode(world.campaign(campaign).grants).grants
    assert grants == ((began + 10, 1), (began + 20, 1))


def test_after_a_restart_it_counts_as_just_used(world: World) -> None:
    campaign = slow(world, 9, most=2)
    world.send()
    world.pass_time(900)
    world.write(restart.spend_windows)
    assert world.campaign(campaign).grants == f"[{world.now},1]"


def test_under_backoff_too_a_campaign_is_not_reserved_beyond_its_speed(world: World) -> None:
    world.pacing = Pacing(Limit(50, 1000, 50), Limit(100, 1000, 50), Strategy.BACKOFF)
    slow(world, 9, most=1)
    assert len(world.reservation(want=8).batches) == 1


# --- changing it, and what cannot be


@pytest.mark.parametrize(
    ("given", "where", "words"),
    [
        ({"rate_max": 0}, "rate_max", "must be 1 to"),
        ({"rate_window_ms": 5}, "rate_window_ms", "no effect without rate_max"),
        ({"send_window": {"from": "9", "until": "20:00"}}, "send_window.from", "such as 09:00"),
        ({"send_window": {"from": "09:00", "until": "24:00"}}, "send_window.until", "such as"),
        ({"send_window": {"from": "09:00", "until": "09:00"}}, "send_window", "same time"),
        ({"start_by": "2001-01-01T00:00Z"}, "start_by", "in the past"),
        ({"start_by": "soon"}, "start_by", "ISO 8601"),
    ],
)
def test_what_cannot_be_is_refused_with_where_and_why_and_changes_nothing(
    world: World, given: dict[str, object], where: str, words: str
) -> None:
    campaign = world.draft(rate_max=None)
    with pytest.raises(InvalidInputError) as refused:
        world.write(change, world.acme, campaign, {"start_by": None, **given})
    (problem,) = refused.value.problems
    assert problem.where == where
    assert words in problem.reason
    assert world.campaign(campaign).rate_max is None


def test_what_is_over_is_not_changed(world: World) -> None:
    campaign = world.sending(1)
    world.send()
    with pytest.raises(WrongStateError, match="completed"):
        world.write(change, world.acme, campaign, {"rate_max": 5})


# --- start by


def test_a_campaign_that_is_started_too_late_is_not(world: World) -> None:
    world.contacts(1)
    campaign = world.draft(start_by=world.now + 1_000)
    world.pass_time(1_001)
    with pytest.raises(TooLateError, match="had to start by"):
        world.write(launches.start, world.acme, campaign, batch_size=3)
    assert world.campaign(campaign).status == "draft"
    world.write(change, world.acme, campaign, {"start_by": None})
    world.start(campaign)


def test_the_last_moment_is_not_too_late(world: World) -> None:
    world.contacts(1)
    campaign = world.draft(start_by=world.now)
    world.start(campaign)
    assert world.campaign(campaign).status == "sending"
