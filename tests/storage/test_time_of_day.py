"""Quiet hours, send windows and daily caps: what has to wait for another time of the day does."""

from __future__ import annotations

from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from paceline.domain.hours import DAY_MS, MINUTE_MS, WaitsFor, minute_of, next_day
from paceline.domain.message import BatchStatus
from paceline.domain.outcome import Answered, NoAnswer, NotSent, Rejection
from paceline.domain.verdict import Policy, UnconfirmedPolicy
from paceline.engine.pace import change
from paceline.engine.waiting import Cause, waiting_for
from paceline.storage import (
    apart,
    contacts,
    imports,
    messages,
    outcomes,
    postponed,
    standings,
    tenants,
)
from paceline.storage.batches import Attempt
from paceline.storage.imports import StagedContact
from paceline.storage.schema import batches
from paceline.storage.schema import contacts as contacts_table
from paceline.storage.wishes import TakeApart, Untimely, Wish
from tests.storage.world import LEASE_MS, World

TOKYO = ZoneInfo("Asia/Tokyo")
JAPANESE, JAPANESE_TOO, BRITISH, AMERICAN, NOBODYS = (
    "+819012345678",
    "+819012345679",
    "+447400123456",
    "+12025550123",
    "+80012345678",
)
HOUR = 60


def people(world: World, *phones: str) -> None:
    for phone in phones:
        world.write(contacts.create, world.acme, phone=phone)


def hours_from_now(world: World, start: int, end: int, zone: Any = TOKYO) -> tuple[int, int]:
    """Two minutes of the day, so many hours before or after what a zone's clocks show now."""
    minute = minute_of(world.now, zone)
    return (minute + start * HOUR) % 1440, (minute + end * HOUR) % 1440


def quiet(world: World, start: int, end: int, zone: Any = TOKYO, **more: Any) -> None:
    """Quiet hours of the tenant, in hours from now on a zone's clock."""
    first, last = hours_from_now(world, start, end, zone)
    values = {"quiet_from": first, "quiet_until": last, **more}
    world.write(tenants.change, world.acme, values)


def sending_to(world: World, *phones: str, batch_size: int = 3, **values: Any) -> int:
    people(world, *phones)
    return world.start(world.draft(**values), batch_size=batch_size)


def cause_of(world: World, campaign: int) -> tuple[Cause, int | None] | None:
    standing = world.read(standings.of, world.acme, campaign)
    waiting = waiting_for(standing, world.pacing)
    return None if waiting is None else (waiting.cause, waiting.until)


def end_of_minute(world: World, minutes: int) -> int:
    """So many whole minutes after the beginning of this one."""
    return world.now - world.now % MINUTE_MS + minutes * MINUTE_MS


# --- where somebody is


def test_a_contact_has_the_region_of_its_number(world: World) -> None:
    people(world, JAPANESE, NOBODYS)
    japanese, nobodys = world.rows(contacts_table)
    assert (japanese.region, nobodys.region) == ("JP", None)
    world.write(contacts.change, world.acme, japanese.id, {"phone": BRITISH})
    assert world.rows(contacts_table, id=japanese.id)[0].region == "GB"


def test_an_imported_contact_has_the_region_of_its_number(world: World) -> None:
    people(world, JAPANESE)
    world.write(lambda c: c.execute(contacts_table.update().values(region=None)))
    rows = [
        StagedContact(2, JAPANESE, None, None, {}, "JP"),
        StagedContact(3, BRITISH, None, None, {}, "GB"),
        StagedContact(4, NOBODYS, None, None, {}),
    ]
    world.write(imports.stage, world.acme, "an import", rows)
    world.write(imports.merge, world.acme, "an import", expected=3, list_id=None)
    assert [row.region for row in world.rows(contacts_table)] == ["JP", "GB", None]


def test_with_quiet_hours_each_region_has_batches_of_its_own(world: World) -> None:
    quiet(world, 5, 6)
    campaign = sending_to(world, JAPANESE, BRITISH, JAPANESE_TOO, NOBODYS, batch_size=2)
    rows = world.rows(batches, campaign_id=campaign)
    assert [(row.region, row.size) for row in rows] == [("JP", 2), ("GB", 1), (None, 1)]
    for row in rows:
        phones = {each.phone[:3] for each in world.messages(batch_id=row.id)}
        assert len(phones) == 1
    assert world.counters(campaign) == {"total": 4, "queued": 4}


def test_an_audience_of_one_country_has_the_batches_it_would_have_anyway(world: World) -> None:
    phones = world.contacts(7, region="GR")
    before = world.start(world.draft())
    quiet(world, 5, 6)
    after = world.start(world.draft())
    for campaign, region in ((before, None), (after, "GR")):
        rows = world.rows(batches, campaign_id=campaign)
        assert [(row.size, row.region) for row in rows] == [(size, region) for size in (3, 3, 1)]
    assert [row.phone for row in world.messages(campaign_id=after)] == phones


# --- quiet hours


def test_in_quiet_hours_a_batch_waits_until_they_end_and_spends_nothing(world: World) -> None:
    quiet(world, -1, 2)
    campaign = sending_to(world, JAPANESE, JAPANESE_TOO)
    batch = world.reserve()
    until = end_of_minute(world, 2 * HOUR)
    assert world.intend(batch, size=2) == Untimely(WaitsFor.QUIET_HOURS, until)
    row = world.batch(batch)
    assert (row.status, row.due_at, row.waits_for) == (BatchStatus.QUEUED, until, "quiet_hours")
    assert (row.tries, row.retry_count, row.lease_until) == (0, 0, None)
    assert world.grants() == ("", "")
    assert world.attempts() == []
    assert cause_of(world, campaign) == (Cause.QUIET_HOURS, until)
    assert world.reservation().batches == []


def test_what_waited_goes_by_itself_when_they_end(world: World) -> None:
    quiet(world, -1, 2)
    campaign = sending_to(world, JAPANESE)
    world.intend(world.reserve(), size=1)
    reservation = world.reservation()
    assert reservation.next_at == end_of_minute(world, 2 * HOUR)
    world.pass_time(reservation.next_at - world.now)
    assert cause_of(world, campaign) is None
    call = world.send()
    assert world.batch(call).waits_for is None
    assert world.counters(campaign) == {"total": 1, "sent": 1}


def test_a_country_waits_until_it_is_quiet_in_none_of_its_zones(world: World) -> None:
    """In New York it is over already, five or six hours before Honolulu."""
    quiet(world, -8, -1, ZoneInfo("America/New_York"))
    sending_to(world, AMERICAN)
    untimely = world.intend(world.reserve(), size=1)
    assert isinstance(untimely, Untimely)
    honolulu = ZoneInfo("Pacific/Honolulu")
    quiet_until = world.read(tenants.get, world.acme).quiet_until
    assert minute_of(untimely.until, honolulu) == quiet_until
    assert 3 * HOUR * MINUTE_MS < untimely.until - world.now < 6 * HOUR * MINUTE_MS


def test_a_number_of_no_country_is_where_its_tenant_is(world: World) -> None:
    quiet(world, -1, 1, TOKYO, timezone="Asia/Tokyo")
    sending_to(world, NOBODYS)
    batch = world.reserve()
    assert world.intend(batch, size=1) == TakeApart(None)
    world.write(apart.by_region, batch)
    assert world.batch(batch).region == "ZZ"
    assert isinstance(world.intend(batch, size=1), Untimely)
    quiet(world, -1, 1, TOKYO, timezone="Europe/London")
    assert isinstance(world.intend(world.reserve(), size=1), Attempt)


def test_its_like_waits_with_it_and_other_regions_do_not(world: World) -> None:
    quiet(world, -1, 2)
    japanese = [f"+8190123456{number:02}" for number in range(6)]
    campaign = sending_to(world, *japanese, AMERICAN, batch_size=2)
    batch = world.reserve()
    untimely = world.intend(batch, size=2)
    assert isinstance(untimely, Untimely)
    assert world.write(postponed.alike, batch, untimely) == 2
    due = {row.region: row.due_at for row in world.rows(batches, campaign_id=campaign)}
    assert due == {"JP": untimely.until, "US": 0}
    (other,) = world.reservation(want=9).batches
    assert world.batch(other).region == "US"


def test_shortened_hours_let_at_once_go_what_waits_for_them_only(world: World) -> None:
    quiet(world, -1, 2)
    sending_to(world, JAPANESE, BRITISH)
    batch = world.reserve()
    untimely = world.intend(batch, size=1)
    assert isinstance(untimely, Untimely)
    world.write(tenants.change, world.acme, {"quiet_from": None, "quiet_until": None})
    assert (world.batch(batch).due_at, world.batch(batch).waits_for) == (world.now, None)
    # What its like is told comes too late, and says nothing any more.
    assert world.write(postponed.alike, batch, untimely) == 0
    assert isinstance(world.intend(world.reserve(), size=1), Attempt)


def test_a_retry_that_waits_for_its_backoff_is_not_hurried_by_shortened_hours(world: World) -> None:
    sending_to(world, JAPANESE)
    call = world.call()
    world.record(call, NotSent("down"))
    due_at = world.batch(call).due_at
    assert due_at > world.now
    quiet(world, 5, 6)
    assert world.batch(call).due_at == due_at


def test_hours_set_while_it_runs_count_from_the_next_intent_and_sort_what_is_mixed(
    world: World,
) -> None:
    campaign = sending_to(world, JAPANESE, AMERICAN, JAPANESE_TOO)
    batch = world.reserve()
    quiet(world, -1, 2)
    assert world.intend(batch, size=3) == TakeApart(None)
    assert world.batch(batch).status == BatchStatus.RESERVED
    assert world.write(apart.by_region, batch) == 1
    stays, other = world.rows(batches, campaign_id=campaign)
    assert (stays.region, stays.size, stays.status) == ("JP", 2, "reserved")
    assert (other.region, other.size, other.status) == ("US", 1, "queued")
    assert [row.phone for row in world.messages(batch_id=other.id)] == [AMERICAN]
    assert isinstance(world.intend(batch, size=2), Untimely)
    assert isinstance(world.intend(world.reserve(), size=1), Attempt)


def test_what_is_in_doubt_stays_in_doubt_when_it_is_sorted(world: World) -> None:
    campaign = sending_to(world, JAPANESE, AMERICAN)
    call = world.call()
    world.record(call, NoAnswer("timeout"), Policy(unconfirmed=UnconfirmedPolicy.RESEND))
    world.pass_time(60_000)
    batch = world.reserve()
    world.write(apart.by_region, batch)
    assert [(row.region, row.in_doubt) for row in world.rows(batches)] == [
        ("JP", True),
        ("US", True),
    ]
    assert world.counters(campaign) == {"total": 2, "queued": 2, "unconfirmed": 2}
    assert len(world.attempts()) == 2


def test_a_part_that_is_tried_again_keeps_its_region(world: World) -> None:
    quiet(world, 5, 6)
    sending_to(world, JAPANESE, JAPANESE_TOO)
    call = world.call()
    rejection = Rejection("rate_limit_exceeded", "later", retryable=True)
    world.record(call, Answered(["p1", None], rejections={1: rejection}))
    assert [row.region for row in world.rows(batches)] == ["JP", "JP"]


def test_a_single_message_goes_at_any_time_unless_it_is_to_respect_them(world: World) -> None:
    quiet(world, -1, 2)
    world.single(JAPANESE)
    assert isinstance(world.intend(world.reserve(), size=1), Attempt)
    world.write(
        messages.add_single,
        world.acme,
        to=JAPANESE,
        text="Offer",
        sender="ACME",
        account_id=world.main,
        respect_quiet_hours=True,
    )
    untimely = world.intend(world.reserve(), size=1)
    assert untimely == Untimely(WaitsFor.QUIET_HOURS, end_of_minute(world, 2 * HOUR))


def test_a_permit_ends_with_the_last_moment_before_they_begin(world: World) -> None:
    """By when the call could be made, not by when it was asked for."""
    zone = TOKYO
    people(world, JAPANESE)
    world.pass_time(MINUTE_MS - world.now % MINUTE_MS + MINUTE_MS - 10)  # 10 ms before a minute
    minute = minute_of(world.now, zone)
    values = {"quiet_from": (minute + 1) % 1440, "quiet_until": (minute + HOUR) % 1440}
    world.write(tenants.change, world.acme, values)
    world.start(world.draft())
    attempt = world.intend(world.reserve(), size=1)
    assert isinstance(attempt, Attempt)
    assert round((attempt.send_by - world.clock.monotonic()) * 1000) == 9
    assert world.attempts()[0].send_by == world.now + 9


def test_hours_that_leave_no_moment_of_the_day_are_looked_at_again_each_day(world: World) -> None:
    first, last = hours_from_now(world, 0, 2)
    world.write(tenants.change, world.acme, {"quiet_from": last, "quiet_until": first})
    window = hours_from_now(world, 5, 6, UTC)
    people(world, JAPANESE)
    world.start(world.draft(window_from=window[0], window_until=window[1]))
    untimely = world.intend(world.reserve(), size=1)
    assert isinstance(untimely, Untimely)
    assert untimely.until == world.now + DAY_MS


# --- the send window of a campaign


def test_outside_its_window_a_campaign_waits_until_that_begins(world: World) -> None:
    start, end = hours_from_now(world, 2, 4, UTC)
    campaign = sending_to(world, JAPANESE, window_from=start, window_until=end)
    other = sending_to(world)
    until = end_of_minute(world, 2 * HOUR)
    batch = world.reserve()
    assert world.intend(batch, size=1) == Untimely(WaitsFor.SEND_WINDOW, until)
    assert cause_of(world, campaign) == (Cause.SEND_WINDOW, until)
    assert world.reserve().campaign_id == other


def test_its_window_is_on_the_tenants_clock(world: World) -> None:
    start, end = hours_from_now(world, -1, 1, TOKYO)
    sending_to(world, JAPANESE, window_from=start, window_until=end)
    batch = world.reserve()
    assert isinstance(world.intend(batch, size=1), Untimely)
    world.write(tenants.change, world.acme, {"timezone": "Asia/Tokyo"})
    assert isinstance(world.intend(world.reserve(), size=1), Attempt)


def test_a_window_that_is_changed_while_it_runs_counts_at_once(world: World) -> None:
    start, end = hours_from_now(world, 2, 4, UTC)
    campaign = sending_to(world, JAPANESE, window_from=start, window_until=end)
    world.intend(world.reserve(), size=1)
    world.write(change, world.acme, campaign, {"send_window": None})
    assert isinstance(world.intend(world.reserve(), size=1), Attempt)


def test_window_and_quiet_hours_both_have_to_be_over(world: World) -> None:
    quiet(world, -1, 1)
    start, end = hours_from_now(world, 3, 5, UTC)
    sending_to(world, JAPANESE, window_from=start, window_until=end)
    untimely = world.intend(world.reserve(), size=1)
    assert untimely == Untimely(WaitsFor.QUIET_HOURS, end_of_minute(world, 3 * HOUR))


# --- the daily cap of a tenant


def test_a_tenants_cap_cuts_a_batch_to_what_is_left_and_the_rest_waits_for_midnight(
    world: World,
) -> None:
    world.write(tenants.change, world.acme, {"daily_cap": 5, "timezone": "Asia/Tokyo"})
    campaign = world.sending(8)
    world.send()
    batch = world.reserve()
    assert world.intend(batch, size=3) == TakeApart(2)
    world.write(apart.to_size, batch, 2)
    world.send(batch)
    midnight = next_day(world.now, TOKYO)
    waiting = world.reserve()
    untimely = world.intend(waiting, size=2)
    assert untimely == Untimely(WaitsFor.DAILY_CAP, midnight)
    world.write(postponed.alike, waiting, untimely)
    assert cause_of(world, campaign) == (Cause.DAILY_CAP, midnight)
    assert world.reservation(want=5).batches == []
    assert world.counters(campaign) == {"total": 8, "queued": 3, "sent": 5}
    world.pass_time(midnight - world.now)
    while found := world.reservation().batches:
        world.send(*found)
    assert world.counters(campaign) == {"total": 8, "sent": 8}


def test_a_cap_that_is_raised_lets_go_at_once_and_holds_nobody_else(world: World) -> None:
    world.write(tenants.change, world.acme, {"daily_cap": 3})
    rival = world.tenant("rival")
    world.sending(6)
    theirs = world.sending(3, tenant=rival)
    done = [world.send(), world.send()]
    assert {each.attempt.batch.campaign_id for each in done} >= {theirs}
    assert isinstance(world.intend(world.reserve(), size=3), Untimely)
    world.write(tenants.change, world.acme, {"daily_cap": 6})
    assert isinstance(world.intend(world.reserve(), size=3), Attempt)


def test_what_was_sent_before_the_cap_was_set_counts_too(world: World) -> None:
    world.sending(6)
    world.send()
    world.write(tenants.change, world.acme, {"daily_cap": 3})
    assert isinstance(world.intend(world.reserve(), size=3), Untimely)


def test_a_void_permit_gives_its_messages_back_to_the_day(world: World) -> None:
    world.write(tenants.change, world.acme, {"daily_cap": 3})
    world.sending(3)
    call = world.call()
    assert world.read(tenants.get, world.acme).day_messages == 3
    batch = world.write(outcomes.void, call.attempt, LEASE_MS)
    assert world.read(tenants.get, world.acme).day_messages == 0
    assert isinstance(world.intend(batch, size=3), Attempt)


def test_batches_that_ask_together_share_what_is_left_of_the_day(world: World) -> None:
    world.write(tenants.change, world.acme, {"daily_cap": 4})
    world.sending(9)
    first, second, third = world.reservation(want=3).batches
    said = world.intend_together(*(Wish(each, 3) for each in (first, second, third)))
    assert isinstance(said[0], Attempt)
    assert said[1:] == [TakeApart(1), TakeApart(1)]


@pytest.mark.parametrize("before", ["Pacific/Kiritimati", "Etc/GMT+12"])
def test_a_cap_does_not_begin_anew_when_the_tenant_moves_to_another_zone(
    world: World, before: str
) -> None:
    world.write(tenants.change, world.acme, {"daily_cap": 3, "timezone": before})
    world.sending(6)
    world.send()
    first = world.read(tenants.get, world.acme).day
    world.write(tenants.change, world.acme, {"timezone": "Etc/GMT+12"})
    said = world.intend(world.reserve(), size=3)
    assert isinstance(said, Untimely)
    assert world.read(tenants.get, world.acme).day == first
