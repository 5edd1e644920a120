"""Erasing a person on both databases: they are gone, they stay suppressed, and the figures stay."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import insert

from paceline.domain.errors import InvalidInputError
from paceline.domain.message import ERASED, MessageStatus, Reason
from paceline.domain.outcome import Rejected, Rejection
from paceline.domain.webhook_event import EventType
from paceline.engine.erased_numbers import ErasedNumbers
from paceline.engine.erasing import erase
from paceline.engine.imports import import_contacts
from paceline.storage import (
    audit,
    contacts,
    erasing,
    idempotency,
    launches,
    person,
    replies,
    suppressions,
    webhook_endpoints,
)
from paceline.storage.doubt import Decision
from paceline.storage.erasing import Erased, StillSendingError
from paceline.storage.idempotency import Once
from paceline.storage.schema import batches as batches_table
from paceline.storage.schema import contacted, erased_numbers, idempotency_keys, metadata
from paceline.storage.sealing import Sealer
from paceline.storage.wishes import Lost
from tests.storage.world import LEASE_MS, World

NUMBERS = ErasedNumbers(lambda: Sealer("a secret"))


def erased(world: World, phone: str, numbers: ErasedNumbers = NUMBERS) -> Erased:
    result = asyncio.run(erase(world.database, world.acme, phone, numbers, actor="tester"))
    world.check_counters()
    assert world.read(audit.differences) == []
    return result


def put(world: World, *lines: str, numbers: ErasedNumbers | None = NUMBERS) -> Any:
    file = ["\n".join(lines).encode()]
    return asyncio.run(import_contacts(world.database, world.acme, file, erased_numbers=numbers))


def _answering(body: str) -> Any:
    return lambda _: body


def places_of(world: World, *needles: str) -> list[str]:
    """Where in the database any of these is."""
    return [
        table.name
        for table in metadata.sorted_tables
        if any(needle in str(row) for row in world.rows(table) for needle in needles)
    ]


def test_nothing_is_left_of_a_person_but_a_hash_and_true_figures(world: World) -> None:
    anna = "+306912345678"
    world.write(
        webhook_endpoints.add,
        world.acme,
        url="https://acme.example.com/",
        secret="x",
        events=[
            EventType.MESSAGE_SENT,
            EventType.MESSAGE_FAILED,
            EventType.REPLY_RECEIVED,
            EventType.SUPPRESSION_ADDED,
        ],
    )
    put(world, "phone,first_name,city", f"{anna},Annamaria,Athens", "+306912345679,Bert,Bonn")
    put(world, "phone,first_name", f"{anna},Annabella", f"{anna},Annabella", "691 234 5678,Anna B")
    campaign = world.start(world.draft(text="Hi {{first_name}}"))
    world.send()
    world.single(anna)
    refused = world.call()
    world.record(refused, Rejected(Rejection(f"no such number {anna[1:]}")))
    reply: Any = {"key": "1", "phone": anna, "number": "1", "text": "Annabella here"}
    world.write(replies.keep, world.main, world.acme, keyword=None, **reply)
    for key, body in (("1", f'{{"phone":"{anna}","name":"Annabella"}}'), ("2", f'"call {anna}"')):
        once = idempotency.Once(key, "digest", 201, str)
        world.write(idempotency.run, world.acme, once, _answering(body))
    world.suppress(anna)
    capped = {"tenant_id": world.acme, "phone": anna, "message_id": 1, "at": 1}
    world.write(lambda c: c.execute(insert(contacted), capped))
    needles = (anna[1:], "6912345678", "691 234 5678", "Anna")
    assert len(places_of(world, *needles)) >= 9
    counters = world.counters(campaign)

    done = erased(world, anna)

    assert (done.contacts, done.messages, done.replies) == (1, 2, 1)
    assert places_of(world, *needles) == []
    assert world.counters(campaign) == counters
    assert len(world.rows(erased_numbers)) == 1
    kept = [row for row in world.messages() if row.phone.startswith("#")]
    assert [row.phone for row in kept] == [f"#{row.id}" for row in kept]
    assert world.read(person.of, world.acme, anna) == person.Person(None, [], None, [], [])
    assert [each.phone for each in world.read(contacts.page, world.acme)] == ["+306912345679"]
    assert [row.body for row in world.rows(idempotency_keys)] == ['{"erased":true}', '"call #"']
    assert erased(world, anna) == Erased(0, 0, 0, 0)


def test_what_is_queued_to_them_is_not_sent_and_the_rest_of_the_batch_is(world: World) -> None:
    first, second, third = world.contacts(3)
    campaign = world.start(world.draft())
    reserved = world.reserve()
    loaded = world.load(reserved)
    assert len(loaded.recipients) == 3
    assert erased(world, second).cancelled == 1
    assert isinstance(world.intend(reserved), Lost), "it was rendered with the person in it"
    call = world.send()
    assert [row.phone for row in world.messages(status=MessageStatus.SENT)] == [first, third]
    (gone,) = world.messages(status=MessageStatus.FAILED)
    assert (gone.reason, gone.phone) == (Reason.OPTED_OUT, f"#{gone.id}")
    assert world.batch(call).status == "done"
    assert world.counters(campaign) == {"total": 3, "sent": 2, "failed": 1}
    assert world.campaign(campaign).status == "completed"


def test_a_batch_that_is_empty_without_them_is_done(world: World) -> None:
    (anna,) = world.contacts(1)
    campaign = world.start(world.draft())
    assert erased(world, anna).cancelled == 1
    assert [row.status for row in world.rows(batches_table)] == ["done"]
    assert world.campaign(campaign).status == "completed"
    single = world.single("+306900000123")
    assert erased(world, "+306900000123").cancelled == 1
    (message,) = world.messages(id=single)
    assert (message.status, message.text) == (MessageStatus.FAILED, "")


def test_whoever_may_be_written_to_just_now_is_not_erased_and_it_is_said_when(
    world: World,
) -> None:
    anna, _ = world.contacts(2)
    world.start(world.draft())
    call = world.call()
    before = world.everything()
    with pytest.raises(StillSendingError, match="Try again after 20"):
        erased(world, anna)
    world.pass_time(LEASE_MS)
    assert world.everything() == before
    assert world.rows(erased_numbers) == []
    assert len(world.read(contacts.page, world.acme)) == 2
    world.record(call, call.accepted())
    assert erased(world, anna).messages == 1


def test_whoever_is_in_doubt_is_not_erased_before_that_ends(world: World) -> None:
    (anna,) = world.contacts(1)
    world.start(world.draft())
    call = world.expired_call()
    with pytest.raises(StillSendingError, match=r"in doubt\. Decide"):
        erased(world, anna)
    world.decide(call.attempt.batch.id, Decision.FAIL)
    assert erased(world, anna).messages == 1


def test_an_erased_number_does_not_come_back(world: World) -> None:
    anna, bert = "+306912345678", "+306912345679"
    put(world, "phone", anna)
    erased(world, anna)
    again = put(world, "phone,name", f"{anna},Annabella", f"{bert},B", f"{anna},Annabella")
    assert (again.imported, again.invalid, again.duplicates) == (1, 1, 1)
    assert {each.row for each in again.errors} == {2, 4}
    assert any("was erased" in each.reason for each in again.errors)
    assert places_of(world, anna[1:], "Annabella") == [], "not even as a rejected row"
    for written in (anna, bert):
        expected = pytest.raises(InvalidInputError, match="was erased")
        if written == anna:
            with expected:
                world.write(NUMBERS.refuse, world.acme, written, where="to")
        else:
            world.write(NUMBERS.refuse, world.acme, written, where="to")
    world.write(NUMBERS.refuse, world.tenant("rival"), anna, where="to")


def test_a_new_secret_knows_who_was_erased_under_the_one_before(world: World) -> None:
    anna = "+306912345678"
    erased(world, anna)
    turned = ErasedNumbers(lambda: Sealer("another", old="a secret"))
    assert world.read(turned.among, world.acme, [anna, "+306912345679"]) == {anna}
    stranger = ErasedNumbers(lambda: Sealer("another"))
    assert world.read(stranger.among, world.acme, [anna]) == frozenset()


def test_a_launch_that_is_under_way_does_not_write_to_them(world: World) -> None:
    *_, last = world.contacts(5)
    campaign = world.draft()
    world.write(launches.start, None, campaign, batch_size=3, chunk=2)
    erased(world, last)
    while world.write(launches.write_chunk, campaign, chunk=2):
        pass
    assert world.counters(campaign) == {"total": 4, "queued": 4}


def test_an_erasure_that_broke_off_has_suppressed_them_and_is_ended_by_another(
    world: World,
) -> None:
    anna, _ = world.contacts(2)
    campaign = world.start(world.draft())
    digest = NUMBERS.digest(world.acme, anna)
    world.write(erasing.begin, world.acme, anna, digest)
    assert world.read(suppressions.exists, world.acme, anna)
    done = erased(world, anna)
    assert (done.messages, done.cancelled) == (1, 1)
    assert not world.read(suppressions.exists, world.acme, anna)
    assert world.counters(campaign) == {"total": 2, "queued": 1, "failed": 1}


def test_an_erased_persons_late_opt_out_suppresses_nobody(world: World) -> None:
    (anna,) = world.contacts(1)
    world.start(world.draft())
    call = world.send()
    erased(world, anna)
    world.write(suppressions.block_recipients, call.ids)
    assert world.read(suppressions.page, world.acme, after="", limit=9) == []


def test_only_the_tenants_own_person_is_erased(world: World) -> None:
    (anna,) = world.contacts(1)
    rival = world.tenant("rival")
    asyncio.run(erase(world.database, rival, anna, NUMBERS, actor="tester"))
    assert [each.phone for each in world.read(contacts.page, world.acme)] == [anna]


def test_an_answer_about_a_longer_number_that_begins_alike_stays(world: World) -> None:
    (anna,) = world.contacts(1)
    once = Once("theirs", "digest", 201, lambda body: body)
    kept = f'{{"to":"{anna}5","text":"see {anna}5"}}'
    world.write(idempotency.run, world.acme, once, lambda _: kept)
    both = Once("both", "digest", 201, lambda body: body)
    world.write(idempotency.run, world.acme, both, lambda _: f'{{"text":"{anna}5 or {anna}"}}')
    erased(world, anna)
    bodies = {row.key: row.body for row in world.rows(idempotency_keys)}
    assert bodies == {"theirs": kept, "both": f'{{"text":"{anna}5 or {ERASED}"}}'}
