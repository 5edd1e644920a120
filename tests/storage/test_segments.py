"""Segments: whom a filter means is what a reading of our own says, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import Connection, insert, select, update

from paceline.domain import segment_text
from paceline.domain.errors import ConflictError, InvalidInputError, NotFoundError
from paceline.storage import audience, launches, lists, segments
from paceline.storage.schema import contacts, messages
from paceline.storage.segment_sql import condition_of
from tests.filters import DAY_MS, NAMES, VALUES, Person, filters, means
from tests.storage.world import World

PEOPLE = 60


def furnish(world: World) -> list[Person]:
    """People with every kind of value, on lists, with messages; and another tenant's of the same
    numbers, on lists and with messages that would change the answers.
    """
    at = world.now
    list_ids = [world.write(lists.create, world.acme, name=f"list {n}").id for n in range(2)]
    theirs = world.tenant("rival")
    campaign_ids = [world.draft() for _ in range(3)]
    world.draft(theirs)
    people = []
    for n in range(PEOPLE):
        values = [VALUES[(n * 7 + k * 11) % len(VALUES)] for k in range(len(NAMES) + 2)]
        attributes = {
            name: value for k, (name, value) in enumerate(zip(NAMES, values, strict=False))
            if (n + k) % 4
        }  # fmt: skip
        sent = tuple(
            (at - (n * 13 + k * 17) % 40 * DAY_MS, 0, campaign_ids[(n + k) % 3], delivery)
            for k, delivery in enumerate(["none", "delivered", "undelivered"][: n % 4])
        )
        people.append(
            Person(
                id=0,
                phone=f"+{30 if n % 2 else 44}69{n:08}",
                first_name=values[-1] if n % 3 else None,
                last_name=values[-2] if n % 5 else None,
                created_at=at - n * 20 * DAY_MS - n % 2,
                attributes=attributes,
                lists=frozenset(each for each in list_ids if (n + each) % 3 == 0),
                sent=sent,
            )
        )
    for tenant, others in ((world.acme, False), (theirs, True)):
        # Not through the world, which would hold counters against these messages.
        run = world.database.write_now
        made = [run(put, tenant, person, others=others) for person in people]
        people = people if others else made
    return people


def put(connection: Connection, tenant: int, person: Person, *, others: bool) -> Person:
    row = {
        "tenant_id": tenant,
        "phone": person.phone,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "attributes": dict(person.attributes),
        "created_at": person.created_at,
        "updated_at": person.created_at,
    }
    made = insert(contacts).returning(contacts.c.id)
    contact_id = connection.execute(made, row).scalar_one()
    for list_id in () if others else person.lists:
        lists.add(connection, tenant, list_id, [contact_id])
    sent = []
    for sent_at, _, campaign_id, delivery in () if others else person.sent:
        message = {
            "tenant_id": tenant,
            "campaign_id": campaign_id,
            "batch_id": 1,
            "contact_id": contact_id,
            "phone": person.phone,
            "status": "sent",
            "delivery": delivery,
            "created_at": sent_at,
            "sent_at": sent_at,
        }
        new = insert(messages).returning(messages.c.id)
        message_id = connection.execute(new, message).scalar_one()
        sent.append((sent_at, message_id, campaign_id, delivery))
    return Person(**{**vars_of(person), "id": contact_id, "sent": tuple(sent)})


def vars_of(person: Person) -> dict[str, object]:
    return {name: getattr(person, name) for name in Person.__dataclass_fields__}


def meant(world: World, wanted, at: int) -> list[int]:
    def ask(connection: Connection) -> list[int]:
        condition = condition_of(connection, world.acme, wanted, at)
        query = select(contacts.c.id).where(contacts.c.tenant_id == world.acme, condition)
        return list(connection.execute(query.order_by(contacts.c.id)).scalars())

    return world.read(ask)


def test_a_filter_means_whom_it_should_on_both_databases(world):
    people = furnish(world)
    at = world.now

    @given(filters())
    @settings(max_examples=100, database=None, suppress_health_check=list(HealthCheck))
    def holds(wanted):
        expected = [person.id for person in people if means(wanted, person, at)]
        assert meant(world, wanted, at) == expected, segment_text.write(wanted)

    holds()


def filter_of(text: str):
    return segment_text.parse(text)


ATHENS = 'city is "Athens"'


def test_a_preview_counts_the_suppressed_apart_and_shows_ten(world):
    phones = world.contacts(14, attributes={"city": "Athens"})
    world.contacts(3, attributes={"city": "Patras"})
    world.contacts(3, world.tenant("rival"), attributes={"city": "Athens"})
    world.suppress(phones[0], phones[5])
    seen = world.read(audience.preview, world.acme, filter_of(ATHENS))
    assert (seen.count, seen.suppressed) == (12, 2)
    assert [row.phone for row in seen.examples] == [
        phone for phone in phones if phone not in {phones[0], phones[5]}
    ][:10]


def test_a_segment_keeps_its_filter_and_its_name_is_its_own(world):
    row = world.write(segments.create, world.acme, name="a", wanted=filter_of(ATHENS))
    assert row.filter == {"attribute": "city", "is": "Athens"}
    world.write(segments.create, world.acme, name="b", wanted=filter_of(ATHENS))
    with pytest.raises(ConflictError, match="“a”"):
        world.write(segments.create, world.acme, name="a", wanted=filter_of(ATHENS))
    with pytest.raises(ConflictError, match="“b”"):
        world.write(segments.change, world.acme, row.id, name="b")
    changed = world.write(segments.change, world.acme, row.id, wanted=filter_of("age above 3"))
    assert (changed.name, changed.filter) == ("a", {"attribute": "age", "above": 3})
    assert [each.name for each in world.read(segments.page, world.acme)] == ["a", "b"]


def test_a_filter_names_only_what_the_tenant_has(world):
    rival = world.tenant("rival")
    theirs = world.write(lists.create, rival, name="theirs").id
    campaign = world.draft(rival)
    text = f"in list {theirs} or in list 99 or last message from campaign {campaign}"
    with pytest.raises(InvalidInputError) as caught:
        world.write(segments.create, world.acme, name="a", wanted=filter_of(text))
    reasons = [each.reason for each in caught.value.problems]
    assert reasons == [
        f"there is no list {theirs}",
        "there is no list 99",
        f"there is no campaign {campaign}",
    ]


def test_another_tenants_segment_is_not_there(world):
    row = world.write(segments.create, world.acme, name="a", wanted=filter_of(ATHENS))
    rival = world.tenant("rival")
    assert world.read(segments.page, rival) == []
    for function in (segments.get, segments.remove, segments.change):
        with pytest.raises(NotFoundError):
            world.write(function, rival, row.id)
    with pytest.raises(NotFoundError):
        world.draft(rival, segment_id=row.id)


def test_a_segment_of_a_campaign_that_waits_is_not_deleted(world):
    world.contacts(1, attributes={"city": "Athens"})
    row = world.write(segments.create, world.acme, name="a", wanted=filter_of(ATHENS))
    campaign = world.draft(segment_id=row.id, scheduled_at=world.now + DAY_MS)
    with pytest.raises(ConflictError, match=f"campaign {campaign} .*scheduled"):
        world.write(segments.remove, world.acme, row.id)
    world.start(campaign)
    world.write(segments.remove, world.acme, row.id)
    assert world.campaign(campaign).filter == row.filter


def test_a_list_that_a_filter_names_is_not_deleted(world):
    one, other = (world.write(lists.create, world.acme, name=name).id for name in "ab")
    row = world.write(segments.create, world.acme, name="s", wanted=filter_of(f"in list {one}"))
    draft = world.draft(wanted=filter_of(f"not in list {other}"))
    with pytest.raises(ConflictError, match="segment “s”"):
        world.write(lists.remove, world.acme, one)
    with pytest.raises(ConflictError, match=f"campaign {draft}"):
        world.write(lists.remove, world.acme, other)
    world.write(segments.remove, world.acme, row.id)
    world.write(lists.remove, world.acme, one)


# --- launches


def test_a_launch_takes_whom_the_segment_meant_when_it_started(world):
    phones = world.contacts(9, attributes={"city": "Athens"})
    others = world.contacts(9, attributes={"city": "Patras"})
    row = world.write(segments.create, world.acme, name="a", wanted=filter_of(ATHENS))
    campaign = world.draft(segment_id=row.id)
    launch_in_chunks(world, campaign, lambda: None)
    other = world.draft(segment_id=row.id)

    def changed_meanwhile():
        world.write(segments.change, world.acme, row.id, wanted=filter_of('city is "Patras"'))

    launch_in_chunks(world, other, changed_meanwhile)
    third = world.start(world.draft(segment_id=row.id))
    assert [m.phone for m in world.messages(campaign_id=campaign)] == phones
    assert [m.phone for m in world.messages(campaign_id=other)] == phones
    assert [m.phone for m in world.messages(campaign_id=third)] == others
    for each, size in ((campaign, 9), (other, 9), (third, 9)):
        assert world.campaign(each).audience == world.campaign(each).total == size


def launch_in_chunks(world: World, campaign: int, between) -> None:
    world.write(launches.start, None, campaign, batch_size=3, chunk=1)
    between()
    while (chunk := world.write(launches.write_chunk, campaign, chunk=1)) and not chunk.finished:
        between()


def test_days_are_counted_back_from_the_start_for_every_chunk(world):
    world.contacts(3)
    world.pass_time(DAY_MS // 2)
    world.contacts(3)
    campaign = world.draft(wanted=filter_of("created_at in the last 1 day"))
    launch_in_chunks(world, campaign, lambda: world.pass_time(DAY_MS))
    assert world.campaign(campaign).total == 6


def test_a_filter_and_a_list_both_count(world):
    phones = world.contacts(4, attributes={"city": "Athens"})
    world.contacts(4, attributes={"city": "Patras"})
    list_id = world.write(lists.create, world.acme, name="l").id
    world.write(lists.add, world.acme, list_id, [1, 2, 5, 6])
    campaign = world.start(world.draft(list_id=list_id, wanted=filter_of(ATHENS)))
    assert [m.phone for m in world.messages(campaign_id=campaign)] == phones[:2]


def test_few_among_many_are_launched_in_full_batches(world):
    for _ in range(6):
        world.contacts(1, attributes={"city": "Athens"})
        world.contacts(7, attributes={"city": "Patras"})
    campaign = world.draft(wanted=filter_of(ATHENS))
    world.write(launches.start, None, campaign, batch_size=3, chunk=3)
    assert world.campaign(campaign).total == 3
    world.write(launches.write_chunk, campaign, chunk=3)
    world.write(launches.write_chunk, campaign, chunk=3)
    row = world.campaign(campaign)
    assert (row.total, row.audience, row.launching) == (6, 6, False)


def test_recipients_of_excluded_campaigns_get_none(world):
    first = world.sending(3)
    phones = world.contacts(3)
    rivals = world.sending(2, tenant=world.tenant("rival"))
    suppressed, *left = phones
    world.suppress(suppressed)
    second = world.draft(exclude_campaign_ids=[first, rivals])
    counted = world.read(audience.count, world.acme, second)
    assert counted == audience.Counted(eligible=2, excluded=3, suppressed=1)
    world.start(second)
    assert [m.phone for m in world.messages(campaign_id=second)] == left
    assert world.campaign(second).excluded_campaigns == [first, rivals]


def test_an_audience_is_counted_as_it_would_be_launched(world):
    phones = world.contacts(5, attributes={"city": "Athens"})
    world.contacts(2)
    world.suppress(phones[0])
    row = world.write(segments.create, world.acme, name="a", wanted=filter_of(ATHENS))
    campaign = world.draft(segment_id=row.id)
    assert world.read(audience.count, world.acme, campaign) == audience.Counted(4, 0, 1)
    world.start(campaign)
    assert world.campaign(campaign).audience == 4
    world.write(segments.remove, world.acme, row.id)
    assert world.read(audience.count, world.acme, campaign) == audience.Counted(4, 0, 1)
    with pytest.raises(NotFoundError):
        world.read(audience.count, world.tenant("rival"), campaign)


def test_a_last_message_counts_from_when_it_was_sent(world):
    campaign = world.sending(2)
    sent = world.send()
    world.write(lambda c: c.execute(update(messages).values(sent_at=world.now - 5 * DAY_MS)))
    at = world.now
    assert meant(world, filter_of("last message more than 4 days ago"), at) == [1, 2]
    assert meant(world, filter_of("last message in the last 4 days"), at) == []
    assert meant(world, filter_of(f"last message from campaign {campaign}"), at) == [1, 2]
    assert meant(world, filter_of("last message not delivered"), at) == [1, 2]
    world.receive((f"p{sent.ids[0]}", "delivered"))
    assert meant(world, filter_of("last message delivered"), at) == [1]


def test_a_day_of_an_attribute_that_is_to_come_is_not_in_the_last_days(world):
    today = datetime.fromtimestamp(world.now / 1000, UTC).date()
    for days in (-1, 0, 1, 2):
        day = (today + timedelta(days=days)).isoformat()
        world.contacts(1, attributes={"renewed": day})
    assert meant(world, filter_of("renewed in the last 1 day"), world.now) == [1, 2]
    assert meant(world, filter_of("renewed more than 1 day ago"), world.now) == []
    assert meant(world, filter_of(f"renewed since {day}"), world.now) == [4]
