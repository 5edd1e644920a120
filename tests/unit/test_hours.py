"""Hours on the clock on the wall, held against that clock, looked at minute by minute."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.domain.hours import (
    DAY_MS,
    MINUTE_MS,
    Hours,
    Shut,
    WaitsFor,
    day_of,
    next_day,
    opens_at,
    shut_by,
    shuts_at,
)

QUIET = WaitsFor.QUIET_HOURS
# Changes of the clocks at two in the morning, at midnight, by half an hour, south of the equator,
# for Ramadan, and none.
CHANGES = {
    "Europe/Athens": (datetime(2025, 3, 30, tzinfo=UTC), datetime(2025, 10, 26, tzinfo=UTC)),
    "America/New_York": (datetime(2027, 3, 14, tzinfo=UTC), datetime(2027, 11, 7, tzinfo=UTC)),
    "Africa/Cairo": (datetime(2026, 4, 24, tzinfo=UTC), datetime(2026, 10, 30, tzinfo=UTC)),
    "America/Havana": (datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)),
    "Australia/Lord_Howe": (datetime(2026, 4, 5, tzinfo=UTC), datetime(2026, 10, 4, tzinfo=UTC)),
    "Africa/Casablanca": (datetime(2026, 2, 15, tzinfo=UTC), datetime(2026, 3, 22, tzinfo=UTC)),
    "Asia/Kolkata": (datetime(2026, 1, 1, tzinfo=UTC),),
}
hours = st.tuples(st.integers(0, 1439), st.integers(0, 1439)).filter(
    lambda each: each[0] != each[1]
)
moments = st.sampled_from(sorted(CHANGES)).flatmap(
    lambda name: st.tuples(
        st.just(ZoneInfo(name)),
        st.sampled_from(CHANGES[name]).map(lambda day: round(day.timestamp() * 1000)),
        st.integers(-DAY_MS, DAY_MS),
    )
)


def on_the_wall(at: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at / 1000, zone)


def quiet_on_the_wall(at: int, zone: ZoneInfo, start: int, end: int) -> bool:
    """The oracle: goes round the clock from the beginning."""
    shown = on_the_wall(at, zone)
    minute = shown.hour * 60 + shown.minute
    return minute in {each % 1440 for each in range(start, end if end > start else end + 1440)}


@given(hours, moments)
def test_they_hold_when_the_clock_on_the_wall_shows_them_and_change_when_it_says(pair, moment):
    start, end = pair
    zone, day, after = moment
    at = day + after
    shut = Shut(Hours(start, end), zone, QUIET)
    holds = quiet_on_the_wall(at, zone, start, end)
    assert shut.holds(at) == holds
    changes = shut.changes_at(at)
    assert at < changes <= at + 2 * DAY_MS
    assert quiet_on_the_wall(changes, zone, start, end) != holds
    first = at - at % MINUTE_MS + MINUTE_MS
    between = [at, *range(first, changes, 7 * MINUTE_MS), changes - 1]
    assert all(quiet_on_the_wall(each, zone, start, end) == holds for each in between)


@given(moments)
def test_the_next_day_begins_when_the_wall_calendar_is_torn_off(moment):
    zone, day, after = moment
    at = day + after
    begins = next_day(at, zone)
    assert on_the_wall(begins - 1, zone).date() == on_the_wall(at, zone).date()
    assert on_the_wall(begins, zone).date() > on_the_wall(at, zone).date()
    assert day_of(begins, zone) == day_of(at, zone) + 1


@given(st.lists(st.tuples(hours, moments), min_size=1, max_size=5))
def test_it_opens_at_the_first_moment_that_none_of_them_holds_and_shuts_at_the_first_that_one_does(
    given_hours,
):
    at = given_hours[0][1][1] + given_hours[0][1][2]
    shuts = [Shut(Hours(*pair), zone, QUIET) for pair, (zone, _, _) in given_hours]
    opens = opens_at(shuts, at)
    if opens is None:
        looked_at = range(at, at + DAY_MS, MINUTE_MS)
        assert all(shut_by(shuts, each) for each in looked_at)
        return
    assert shut_by(shuts, opens) is None
    if opens > at:
        assert all(shut_by(shuts, each) for each in (*range(at, opens, 7 * MINUTE_MS), opens - 1))
    shut = shuts_at(shuts, opens)
    assert shut is not None
    assert shut_by(shuts, shut) is not None
    assert not any(shut_by(shuts, each) for each in (*range(opens, shut, 7 * MINUTE_MS), shut - 1))


def test_what_is_shut_by_nothing_is_open_for_ever():
    assert (opens_at([], 5), shuts_at([], 5)) == (5, None)


def test_hours_that_take_up_the_day_between_them_never_open():
    noon = 12 * 60
    both = [Shut(Hours(0, noon), UTC, QUIET), Shut(Hours(noon, 0), UTC, QUIET)]
    assert opens_at(both, 0) is None


@pytest.mark.parametrize("pair", [(5, 5), (-1, 5), (5, 1440)])
def test_hours_have_two_ends_in_a_day(pair):
    with pytest.raises(ValueError, match="hours begin and end"):
        Hours(*pair)
