"""What a database is told after its process, or itself, was away."""

from __future__ import annotations

from paceline.domain.campaign import CampaignVerb
from paceline.domain.outcome import NoAnswer, Throttled
from paceline.storage import audit, campaigns, doubt, launches, restart
from paceline.storage.conclusion import Recorded
from paceline.storage.schema import installation


def test_every_recorded_permit_counts_as_used_just_now(world):
    world.sending(6)
    world.send()
    world.pass_time(700)
    world.send()
    world.write(restart.spend_windows)
    assert world.grants() == (f"[{world.now},2]", f"[{world.now},2]")


def test_an_empty_window_stays_empty(world):
    world.write(restart.spend_windows)
    assert world.grants() == ("", "")


def test_after_a_restore_everything_queued_is_in_doubt_and_nothing_sends(world):
    campaign = world.sending(9)
    world.send()
    world.call()
    scheduled = world.draft(scheduled_at=world.now)
    told = world.write(restart.after_restore)
    assert told == {"campaigns_paused": 1, "campaigns_unscheduled": 1, "unconfirmed": 6}
    assert world.campaign(campaign).status == "paused"
    assert world.campaign(scheduled).status == "draft"
    assert world.counters(campaign) == {"total": 9, "queued": 6, "sent": 3, "unconfirmed": 6}
    world.write(campaigns.change, world.acme, campaign, CampaignVerb.RESUME)
    assert world.reservation(9).batches == []
    assert world.read(audit.differences) == []


def test_after_a_restore_an_operator_can_decide_everything(world):
    campaign = world.sending(6)
    world.single()
    world.record(world.call(), NoAnswer("timed out"))
    world.write(restart.after_restore)
    world.write(campaigns.change, world.acme, campaign, CampaignVerb.RESUME)
    for batch_id in world.read(doubt.undecided, world.acme, campaign):
        assert world.decide(batch_id, doubt.Decision.FAIL) == 3
    assert world.campaign(campaign).status == "completed"


def test_references_after_a_restore_were_never_seen_before(world):
    (before,) = world.rows(installation)
    world.write(restart.after_restore)
    (after,) = world.rows(installation)
    assert before.prefix != after.prefix


def test_a_launch_cut_short_by_a_restore_can_be_finished(world, monkeypatch):
    monkeypatch.setattr(launches, "CHUNK", 3)
    campaign = world.sending(9)
    world.send()
    world.write(restart.after_restore)
    assert world.read(launches.under_way) == []
    assert world.counters(campaign) == {"total": 3, "sent": 3}
    assert world.campaign(campaign).status == "completed"
    assert world.read(audit.differences) == []


def test_an_answer_that_outlived_a_restore_is_evidence_only(world):
    """It knows nothing of what was sent between the backup and the restore."""
    world.sending(3)
    call = world.call()
    world.pass_time(10)
    world.write(restart.after_restore)
    assert world.record(call, Throttled(retry_after_ms=0)) == Recorded(None)
    assert world.batch(call).status == "unconfirmed"
    assert world.attempts()[0].outcome == "throttled"
