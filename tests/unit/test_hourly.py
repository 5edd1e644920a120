"""The hours of a time zone's clock, as moments."""

from __future__ import annotations

from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.domain.hourly import QUARTER_MS, hour_of, hours, shown

HOUR = 3_600_000
ZONES = ["UTC", "Europe/Athens", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"]
moments = st.integers(1_500_000_000_000, 1_900_000_000_000)
zones = st.sampled_from(ZONES).map(ZoneInfo)


@given(moments, zones)
def test_an_hour_begins_on_the_zones_full_hour_and_within_an_hour(
    moment: int, zone: ZoneInfo
) -> None:
    hour = hour_of(moment, zone)
    assert hour <= moment < hour + HOUR
    assert hour % QUARTER_MS == 0
    assert ":00:00" in shown(hour, zone) or zone.key == "Australia/Lord_Howe"


@given(moments, st.integers(0, 200), zones)
def test_all_quarters_of_a_time_are_in_its_hours_and_none_is_twice(
    first: int, quarters: int, zone: ZoneInfo
) -> None:
    last = first + quarters * QUARTER_MS
    found = list(hours(first, last, zone))
    assert found == sorted(set(found))
    for moment in range(first, last + 1, QUARTER_MS):
        assert hour_of(moment, zone) in found
    assert all(earlier < later <= earlier + HOUR for earlier, later in pairwise(found))


@pytest.mark.parametrize(
    ("zone", "first", "shown_hours"),
    [
        (
            "Europe/Athens",  # the clock is put back from 4 to 3
            1_792_886_399_000,
            [
                "2026-10-25T02:00:00+03:00",
                "2026-10-25T03:00:00+03:00",
                "2026-10-25T03:00:00+02:00",
                "2026-10-25T04:00:00+02:00",
            ],
        ),
        (
            "Europe/Athens",  # and put forward from 3 to 4
            1_774_742_400_000,
            [
                "2026-03-29T02:00:00+02:00",
                "2026-03-29T04:00:00+03:00",
                "2026-03-29T05:00:00+03:00",
                "2026-03-29T06:00:00+03:00",
            ],
        ),
        (
            "Australia/Lord_Howe",  # put back by half an hour, from 2 to half past 1
            1_806_761_100_000,
            [
                "2027-04-04T01:00:00+11:00",
                "2027-04-04T01:30:00+11:00",
                "2027-04-04T02:00:00+10:30",
                "2027-04-04T03:00:00+10:30",
            ],
        ),
        (
            "Australia/Lord_Howe",  # and put forward, from 2 to half past 2
            1_791_038_100_000,
            [
                "2026-10-04T01:00:00+10:30",
                "2026-10-04T01:30:00+10:30",
                "2026-10-04T03:00:00+11:00",
                "2026-10-04T04:00:00+11:00",
            ],
        ),
    ],
)
def test_when_the_clock_is_changed_no_hour_is_lost_or_doubled(
    zone: str, first: int, shown_hours: list[str]
) -> None:
    there = ZoneInfo(zone)
    found = [shown(hour, there) for hour in hours(first, first + 3 * HOUR, there)]
    assert found[:4] == shown_hours
