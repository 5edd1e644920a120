"""Times of the day as people write them."""

from __future__ import annotations

import pytest

from paceline.domain.time_of_day import read_minutes, write_minutes


@pytest.mark.parametrize(("written", "minutes"), [("00:00", 0), ("09:05", 545), ("23:59", 1439)])
def test_a_minute_of_the_day_is_written_as_on_a_clock(written: str, minutes: int) -> None:
    assert read_minutes(written) == minutes
    assert write_minutes(minutes) == written


@pytest.mark.parametrize(
    "written", ["", "9:05", "24:00", "09:60", "0905", "09:05 ", "\u0660\u0669:\u0660\u0665"]
)
def test_what_is_no_time_of_the_day_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="must be a time of day such as 21:30"):
        read_minutes(written)
