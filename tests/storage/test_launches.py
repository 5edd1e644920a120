"""Launch: an audience becomes messages and batches, chunk by chunk, each whole or not at all."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import update

from paceline.domain.errors import EmptyAudienceError, NotFoundError, WrongStateError
from paceline.storage import campaigns, contacts, launches, lists
from paceline.storage.schema import batches
from paceline.storage.schema import campaigns as campaigns_table
from paceline.storage.schema import contacts as contacts_table
from paceline.storage.schema import launches as launches_table


def sizes(world, campaign):
    return [row.size for row in world.rows(batches, campaign_id=campaign)]


def phones(world, campaign):
    return [row.phone for row in world.messages(campaign_id=campaign)]


def test_an_audience_becomes_messages_in_batches_of_the_size(world):
    audience = world.contacts(8)
    campaign = world.draft()
    launched = world.write(launches.start, world.acme, campaign, batch_size=3)
    assert launched == launches.Launched(created=8, batches=3, finished=True)
    assert phones(world, campaign) == audience
    assert sizes(world, campaign) == [3, 3, 2]
    row = world.campaign(campaign)
    assert (row.status, row.audience, row.launching) == ("sending", 8, False)
    assert (row.started_at, row.completed_at) == (world.now, None)
    assert world.counters(campaign) == {"total": 8, "queued": 8}


def test_contacts_next_to_each_other_share_a_batch(world):
    campaign = world.sending(7, batch_size=3)
    of = [row.batch_id for row in world.messages(campaign_id=campaign)]
    assert of == sorted(of)
    assert [of.count(batch_id) for batch_id in sorted(set(of))] == [3, 3, 1]


def test_chunks_continue_where_the_last_one_ended(world, monkeypatch):
    monkeypatch.setattr(launches, "CHUNK", 4)
    audience = world.contacts(10)
    campaign = world.start(world.draft(), batch_size=3)
    row = world.campaign(campaign)
    assert (row.launching, row.audience) == (True, 10)
    assert world.counters(campaign) == {"total": 4, "queued": 4}
    assert world.read(launches.under_way) == [campaign]
    assert world.write(launches.write_chunk, campaign) == launches.Launched(4, 2, finished=False)
    assert world.write(launches.write_chunk, campaign) == launches.Launched(2, 1, finished=True)
    assert world.write(launches.write_chunk, campaign) is None
    assert world.read(launches.under_way) == []
    assert world.campaign(campaign).launching is False
    assert phones(world, campaign) == audience
    assert sizes(world, campaign) == [3, 1, 3, 1, 2]


def test_an_audience_of_whole_chunks_ends_too(world, monkeypatch):
    monkeypatch.setattr(launches, "CHUNK", 4)
    campaign = world.sending(8, batch_size=4)
    assert world.write(launches.write_chunk, campaign).finished is False
    assert world.write(launches.write_chunk, campaign) == launches.Launched(0, 0, finished=True)
    assert world.counters(campaign) == {"total": 8, "queued": 8}


@pytest.mark.parametrize("killed_in", ["_insert_batches", "_advance"])
def test_a_launch_that_was_killed_in_a_chunk_resumes_with_that_chunk(world, monkeypatch, killed_in):
    monkeypatch.setattr(launches, "CHUNK", 4)
    campaign = world.sending(10)

    def die(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(launches, killed_in, die)
        with pytest.raises(KeyboardInterrupt):
            world.write(launches.write_chunk, campaign)
    assert world.counters(campaign) == {"total": 4, "queued": 4}
    while not world.write(launches.write_chunk, campaign).finished:
        pass
    assert world.counters(campaign) == {"total": 10, "queued": 10}
    assert len(set(phones(world, campaign))) == 10


def test_a_start_that_was_killed_leaves_a_draft(world, monkeypatch):
    world.contacts(2)
    campaign = world.draft()
    with monkeypatch.context() as patch:
        patch.setattr(launches, "write_chunk", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            world.start(campaign)
    assert world.campaign(campaign).status == "draft"
    assert world.rows(launches_table) == []


def test_sending_begins_with_the_first_chunk_and_completes_only_after_the_last(world, monkeypatch):
    monkeypatch.setattr(launches, "CHUNK", 3)
    campaign = world.sending(5)
    world.send()
    assert world.counters(campaign) == {"total": 3, "sent": 3}
    assert world.campaign(campaign).status == "sending"
    world.write(launches.write_chunk, campaign)
    world.send()
    row = world.campaign(campaign)
    assert (row.status, row.completed_at) == ("completed", world.now)


def test_the_last_chunk_completes_when_nothing_is_queued_any_more(world, monkeypatch):
    monkeypatch.setattr(launches, "CHUNK", 3)
    campaign = world.sending(3)
    world.send()
    assert world.campaign(campaign).status == "sending"
    assert world.write(launches.write_chunk, campaign).finished
    assert world.campaign(campaign).status == "completed"


def test_a_chunk_goes_on_under_a_pause_and_completes_nothing(world, monkeypatch):
    monkeypatch.setattr(launches, "CHUNK", 3)
    campaign = world.sending(5)
    world.write(campaigns.change, world.acme, campaign, "pause")
    assert world.write(launches.write_chunk, campaign).finished
    assert world.campaign(campaign).status == "paused"
    assert world.counters(campaign) == {"total": 5, "queued": 5}


def test_a_cancelled_launch_writes_no_more(world, monkeypatch):
    monkeypatch.setattr(launches, "CHUNK", 3)
    campaign = world.sending(5)
    world.write(campaigns.cancel, world.acme, campaign)
    assert world.campaign(campaign).launching is False
    assert world.write(launches.write_chunk, campaign) is None
    assert world.read(launches.under_way) == []
    assert world.counters(campaign)["total"] == 3


def test_contacts_made_after_the_start_are_not_in_the_audience(world, monkeypatch):
    monkeypatch.setattr(launches, "CHUNK", 2)
    audience = world.contacts(5)
    campaign = world.start(world.draft())
    world.contacts(3)
    while not world.write(launches.write_chunk, campaign).finished:
        pass
    assert phones(world, campaign) == audience


def test_suppressed_numbers_are_not_in_the_audience(world, monkeypatch):
    monkeypatch.setattr(launches, "CHUNK", 2)
    audience = world.contacts(6)
    world.suppress(audience[0])
    campaign = world.start(world.draft())
    world.suppress(audience[4])
    while not world.write(launches.write_chunk, campaign).finished:
        pass
    assert phones(world, campaign) == [audience[i] for i in (1, 2, 3, 5)]
    assert world.campaign(campaign).audience == 5


def test_another_tenants_contacts_and_suppressions_do_not_count(world):
    rival = world.tenant("rival")
    audience = world.contacts(2)
    world.contacts(3, tenant=rival)
    world.suppress(*audience, tenant=rival)
    assert phones(world, world.start(world.draft())) == audience


def test_a_list_is_the_audience_when_there_is_one(world):
    world.contacts(4)
    members = world.rows(contacts_table)[1:3]
    vip = world.write(lists.create, world.acme, name="VIP").id
    world.write(lists.add, world.acme, vip, [row.id for row in members])
    campaign = world.start(world.draft(list_id=vip))
    assert phones(world, campaign) == [row.phone for row in members]
    assert world.campaign(campaign).audience == 2


def test_a_list_of_another_tenant_is_not_there(world):
    theirs = world.write(lists.create, world.tenant("rival"), name="VIP").id
    with pytest.raises(NotFoundError):
        world.draft(list_id=theirs)


@pytest.mark.parametrize("suppressed", [False, True])
def test_with_nobody_to_send_to_a_campaign_stays_a_draft(world, suppressed):
    if suppressed:
        world.suppress(*world.contacts(2))
    campaign = world.draft()
    with pytest.raises(EmptyAudienceError, match="nobody to send to"):
        world.start(campaign)
    row = world.campaign(campaign)
    assert (row.status, row.audience, row.started_at) == ("draft", 0, None)
    assert world.rows(launches_table) == []


def test_a_number_gets_one_message_per_campaign_even_if_it_changes_hands(world, monkeypatch):
    monkeypatch.setattr(launches, "CHUNK", 2)
    audience = world.contacts(4)
    campaign = world.start(world.draft())
    first, *_, last = world.rows(contacts_table)
    world.write(contacts.change, world.acme, first.id, {"phone": "+306999999999"})
    world.write(contacts.change, world.acme, last.id, {"phone": audience[0]})
    while not world.write(launches.write_chunk, campaign).finished:
        pass
    assert phones(world, campaign) == audience[:3]
    assert sizes(world, campaign) == [2, 1]


def test_two_campaigns_may_write_to_the_same_number(world):
    audience = world.contacts(2)
    for campaign in (world.start(world.draft()), world.start(world.draft())):
        assert phones(world, campaign) == audience


def test_merge_values_are_a_snapshot_of_what_the_text_uses(world):
    text = "Hi {{first_name}}, {{city|there}} {{phone}} {{missing}}"
    (phone,) = world.contacts(1, first_name="Zoë", attributes={"city": 'Ath"ens', "tier": "gold"})
    campaign = world.start(world.draft(text=text))
    contact = world.rows(contacts_table)[0]
    changes = {"first_name": "Bo", "attributes": {}}
    world.write(lambda c: c.execute(update(contacts_table).values(**changes)))
    (message,) = world.messages(campaign_id=campaign)
    assert message.contact_id == contact.id
    assert json.loads(message.merge_values) == {
        "first_name": "Zoë",
        "city": 'Ath"ens',
        "phone": phone,
        "missing": None,
    }


def test_a_text_without_tags_keeps_no_values(world):
    world.sending(1)
    assert world.messages()[0].merge_values is None


def test_only_a_draft_or_scheduled_campaign_of_the_tenant_starts(world):
    campaign = world.sending(2)
    with pytest.raises(WrongStateError):
        world.start(campaign)
    with pytest.raises(NotFoundError):
        world.write(launches.start, world.tenant("rival"), world.draft(), batch_size=3)
    assert world.counters(campaign) == {"total": 2, "queued": 2}


def test_batches_of_different_launches_never_share_an_id(world):
    world.sending(4, batch_size=1)
    world.start(world.draft(), batch_size=1)
    ids = [row.id for row in world.rows(batches)]
    assert len(ids) == len(set(ids)) == 8


def test_a_launch_leaves_the_row_of_another_campaign_alone(world):
    other = world.draft(name="other")
    before = world.campaign(other)
    world.sending(2)
    assert world.campaign(other) == before
    assert len(world.rows(campaigns_table)) == 2
