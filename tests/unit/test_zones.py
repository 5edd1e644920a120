"""Where the recipients of a number's country are, and what o'clock a schedule means, everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import phonenumbers
import pytest

from paceline.domain import zones
from paceline.domain.phone import region_of
from paceline.engine.schedule import local, moment

WEEK = timedelta(days=7)
AT_NIGHT = ("01:30", "02:30", "03:30")


def test_every_country_with_numbers_has_zones():
    assert [each for each in phonenumbers.SUPPORTED_REGIONS if not zones.of_region(each)] == []


def test_a_large_country_has_all_its_zones():
    names = {zone.key for zone in zones.of_region("US")}
    assert {"America/New_York", "America/Los_Angeles", "Pacific/Honolulu"} <= names
    assert [zone.key for zone in zones.of_region("GR")] == ["Europe/Athens"]


def test_what_is_no_country_has_no_zones_and_a_tenant_always_has_one():
    assert zones.of_region(zones.UNKNOWN) == ()
    assert zones.named("Mars/Olympus") is None
    assert zones.of_tenant("Mars/Olympus").key == "UTC"
    assert zones.of_tenant("Asia/Tokyo").key == "Asia/Tokyo"


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_the_region_of_a_number_is_the_librarys(region):
    kinds = phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE
    examples = [phonenumbers.example_number_for_type(region, kind) for kind in kinds]
    for number in filter(None, examples):
        written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        assert region_of(written) == phonenumbers.region_code_for_number(number), written


@pytest.mark.parametrize(
    "number", ["+80012345678", "+870773111632", "+999123456789", "306912345678"]
)
def test_a_number_of_no_country_has_no_region(number):
    assert region_of(number) is None


@cache
def changes(zone: ZoneInfo) -> tuple[datetime, ...]:
    """The moments at which a zone's clocks are put forward or back, 2024 to 2030, in UTC."""
    found = []
    week = datetime(2024, 1, 1, tzinfo=UTC)
    while week.year <= 2030:
        low, high = week, week + WEEK
        if _offset(low, zone) != _offset(high, zone):
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) / 2
                low, high = (
                    (middle, high) if _offset(middle, zone) == _offset(low, zone) else (low, middle)
                )
            found.append(high.replace(microsecond=0))
        week += WEEK
    return tuple(found)


def _offset(at: datetime, zone: ZoneInfo) -> timedelta:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def written_times(zone: ZoneInfo) -> Iterator[datetime]:
    """The small hours of each day on which the clocks change."""
    for change in changes(zone):
        days = {
            (change + shift).astimezone(zone).date() for shift in (-timedelta(hours=1), timedelta())
        }
        for day in sorted(days):
            for time in AT_NIGHT:
                yield datetime.fromisoformat(f"{day}T{time}")


def moments_that_show(written: datetime, zone: ZoneInfo) -> list[datetime]:
    """The oracle: the moments at which the clock on the wall shows a time, by trying offsets."""
    around = [
        _offset(written.replace(tzinfo=UTC) + shift, zone)
        for shift in (-timedelta(days=1), timedelta(days=1))
    ]
    tried = {(written - offset).replace(tzinfo=UTC) for offset in around}
    return sorted(each for each in tried if each.astimezone(zone).replace(tzinfo=None) == written)


@pytest.mark.parametrize("letter", sorted({name[0] for name in available_timezones()}))
def test_in_every_zone_each_time_of_a_clock_change_day_means_one_moment(letter):
    """The first of two; of none, as long after the leap as it seems to be after its beginning."""
    for name in sorted(each for each in available_timezones() if each[0] == letter):
        zone = ZoneInfo(name)
        for written in written_times(zone):
            meant = datetime.fromtimestamp(moment(written.isoformat(), name) / 1000, UTC)
            shown = moments_that_show(written, zone)
            if shown:
                assert meant == shown[0], (name, written)
            else:
                (leap,) = [
                    each for each in changes(zone) if each <= meant < each + timedelta(days=1)
                ]
                before = (leap - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None)
                seemingly = written - (before + timedelta(seconds=1))
                assert meant - leap == seemingly, (name, written)


def test_zones_have_changes_of_both_kinds_and_the_times_of_all_are_looked_at():
    counts = [len(changes(ZoneInfo(name))) for name in ("Europe/Athens", "Asia/Tokyo")]
    assert counts == [14, 0]
    athens = ZoneInfo("Europe/Athens")
    shown = [len(moments_that_show(each, athens)) for each in written_times(athens)]
    assert {0, 1, 2} == set(shown)


def test_the_moment_is_shown_on_its_own_clock():
    leapt = moment("2025-03-30T03:30", "Europe/Athens")
    assert local(leapt, "Europe/Athens") == "2025-03-30T04:30:00+03:00"
    assert local(leapt, None) is None
    assert local(None, "Europe/Athens") is None
