"""A campaign sent again: to exactly those whom it failed to reach, and to nobody twice."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from sqlalchemy import Connection, delete, update

from paceline.domain.errors import EmptyAudienceError
from paceline.domain.outcome import Answered, Rejection
from paceline.storage import audience, campaigns, launches, resends
from paceline.storage.audience import Counted
from paceline.storage.schema import contacts
from tests.storage.world import World, phones_of

EVERY = ("rejected", "undelivered", "expired")


def over(world: World, size: int = 6, rejected: Sequence[int] = ()) -> int:
    """A campaign to new contacts that is completed, those at ``rejected`` places failed."""
    campaign = world.sending(size, batch_size=size)
    call = world.call()
    names = [None if n in rejected else f"c{campaign}p{i}" for n, i in enumerate(call.ids)]
    world.record(call, Answered(names, {n: Rejection("bad") for n in rejected}))
    assert world.campaign(campaign).status == "completed"
    return campaign


def again(world: World, parent: int, reasons: Sequence[str] = EVERY) -> int:
    return world.draft(name="again", parent_id=parent, parent_reasons=reasons)


def receipts(world: World, campaign: int, delivery: str, *places: int) -> None:
    """Receipts for the messages at these places."""
    world.names()
    rows = world.messages(campaign_id=campaign)
    world.receive(*((f"c{campaign}p{rows[n].id}", delivery) for n in places))


def sent_to(world: World, campaign: int) -> list[str]:
    return phones_of(world.messages(campaign_id=campaign))


def test_it_goes_to_those_who_failed_for_one_of_the_reasons_and_to_nobody_else(world: World):
    parent = over(world, rejected=[1])
    phones = sent_to(world, parent)
    receipts(world, parent, "undelivered", 2, 3)
    receipts(world, parent, "expired", 4)
    receipts(world, parent, "delivered", 5)
    child = world.start(again(world, parent, ["undelivered", "rejected"]))
    assert sent_to(world, child) == [phones[1], phones[2], phones[3]]
    assert world.counters(child) == {"total": 3, "queued": 3}
    assert world.campaign(child).audience == 3
    assert world.messages(campaign_id=child)[0].contact_id == 2


def test_its_audience_is_counted_as_it_will_be_launched(world: World):
    parent = over(world, rejected=[1, 2])
    world.contacts(9)
    child = again(world, parent)
    assert world.read(audience.count, world.acme, child) == Counted(2, 0, 0)
    world.suppress(sent_to(world, parent)[1])
    assert world.read(audience.count, world.acme, child) == Counted(1, 0, 1)


def test_who_is_delivered_late_after_the_draft_was_made_is_left_out(world: World):
    parent = over(world)
    phones = sent_to(world, parent)
    receipts(world, parent, "undelivered", 0, 1)
    child = again(world, parent)
    receipts(world, parent, "delivered", 0)
    assert sent_to(world, world.start(child)) == [phones[1]]


def test_who_is_delivered_late_between_two_chunks_is_left_out(world: World):
    parent = over(world)
    phones = sent_to(world, parent)
    receipts(world, parent, "undelivered", 0, 1, 2)
    child = again(world, parent)
    world.write(launches.start, None, child, batch_size=2, chunk=1)
    receipts(world, parent, "delivered", 1)
    while world.write(launches.write_chunk, child, chunk=1):
        pass
    assert sent_to(world, child) == [phones[0], phones[2]]
    assert not world.campaign(child).launching


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_whatever_the_chunks_everybody_is_written_to_once(world: World, chunk: int):
    parent = over(world, 7, rejected=[0, 3, 6])
    phones = sent_to(world, parent)
    receipts(world, parent, "undelivered", 1, 5)
    receipts(world, parent, "expired", 2)
    child = again(world, parent)
    world.write(launches.start, None, child, batch_size=2, chunk=chunk)
    while world.write(launches.write_chunk, child, chunk=chunk):
        pass
    assert sent_to(world, child) == [phones[n] for n in (0, 1, 2, 3, 5, 6)]


def test_the_suppressed_the_deleted_and_who_has_a_new_number_are_left_out(world: World):
    parent = over(world, 4, rejected=[0, 1, 2, 3])
    phones = sent_to(world, parent)
    world.suppress(phones[0])
    world.write(lambda c: c.execute(delete(contacts).where(contacts.c.phone == phones[1])))
    changed = update(contacts).where(contacts.c.phone == phones[2])
    world.write(lambda c: c.execute(changed.values(phone="+306999999999")))
    assert sent_to(world, world.start(again(world, parent))) == [phones[3]]


def test_another_tenants_contacts_with_the_numbers_have_no_part_in_it(world: World):
    parent = over(world, 1, rejected=[0])
    (phone,) = sent_to(world, parent)
    world.contacts(1, world.tenant("beta"), phone=phone)
    child = world.start(again(world, parent))
    assert [row.contact_id for row in world.messages(campaign_id=child)] == [1]


def test_what_is_in_doubt_is_not_sent_again(world: World):
    """Not while it may have been accepted, whatever became of its campaign."""
    world.sending(2, batch_size=1)
    world.expired_call()
    world.write(_cancel)
    parent = 1
    assert world.counters(parent)["unconfirmed"] == 1
    child = world.start(again(world, parent, ["cancelled"]))
    doubtful = world.messages(campaign_id=parent, in_doubt=True)
    assert set(sent_to(world, child)) == set(sent_to(world, parent)) - set(phones_of(doubtful))


def _cancel(connection: Connection) -> None:
    campaigns.cancel(connection, 1, 1)
    campaigns.sweep_cancelled(connection, 1)


def test_two_drafts_of_one_campaign_do_not_both_write_to_a_person(world: World):
    parent = over(world, 3, rejected=[0, 1])
    phones = sent_to(world, parent)
    one, other = again(world, parent), again(world, parent)
    assert sent_to(world, world.start(one)) == phones[:2]
    with pytest.raises(EmptyAudienceError):
        world.start(other)
    call = world.call()
    world.record(call, Answered(["x", None], {1: Rejection("bad")}))
    assert sent_to(world, world.start(other)) == [phones[1]], "whom the first failed to reach too"


def test_a_child_of_a_child_leaves_out_whom_the_first_has_reached_late(world: World):
    first = over(world, 2, rejected=[])
    phones = sent_to(world, first)
    receipts(world, first, "undelivered", 0, 1)
    second = world.start(again(world, first), batch_size=2)
    call = world.call()
    world.record(call, Answered([None, None], {n: Rejection("bad") for n in (0, 1)}))
    third = again(world, second)
    receipts(world, first, "delivered", 0)
    assert sent_to(world, world.start(third)) == [phones[1]]


def test_chunks_of_one_family_wait_for_each_other(world: World):
    """Two drafts start at the same moment; no person gets a message of both."""
    if world.database.is_sqlite:
        pytest.skip("SQLite has one writer")
    parent = over(world, 6, rejected=range(6))
    drafts = [again(world, parent), again(world, parent)]
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        launches.start(connection, None, drafts[0], batch_size=3)
        begun.set()
        go_on.wait(10)

    def quick() -> None:
        try:
            world.database.write_now(launches.start, None, drafts[1], batch_size=3)
        except EmptyAudienceError as error:
            refused.append(error)

    refused: list[EmptyAudienceError] = []
    first = threading.Thread(target=world.database.write_now, args=(slow,))
    second = threading.Thread(target=quick)
    first.start()
    assert begun.wait(10)
    second.start()
    second.join(0.3)
    assert second.is_alive(), "it waits"
    go_on.set()
    first.join(10)
    second.join(10)
    assert len(refused) == 1
    assert len(world.messages(campaign_id=drafts[0])) == 6
    assert world.messages(campaign_id=drafts[1]) == []


def test_it_says_whether_anybody_failed_for_a_reason(world: World):
    parent = over(world, 2, rejected=[0])
    assert world.read(resends.failed, parent, ["undelivered", "rejected"])
    assert not world.read(resends.failed, parent, ["undelivered"])


def test_the_audience_can_be_looked_through_before_it_starts(world: World):
    parent = over(world, 5, rejected=[0, 2, 4])
    phones = sent_to(world, parent)
    draft = world.campaign(again(world, parent))
    found, after, more = [], 0, True
    while more:
        rows, after, more = world.read(launches.people, draft, after=after, limit=2)
        found += [(row.contact_id, row.phone) for row in rows]
    assert found == [(1, phones[0]), (3, phones[2]), (5, phones[4])]
