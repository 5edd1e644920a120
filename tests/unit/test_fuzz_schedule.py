"""Times as people write them: each is one that can be shown again, or refused."""

from __future__ import annotations

import contextlib
from zoneinfo import available_timezones

from hypothesis import example, given
from hypothesis import strategies as st

from paceline.clock import iso
from paceline.domain.errors import InvalidInputError
from paceline.engine.schedule import moment

zones = st.one_of(st.none(), st.sampled_from(sorted(available_timezones())), st.text(max_size=9))
times = st.one_of(
    st.text(max_size=30),
    st.datetimes().map(lambda at: at.isoformat()),
    st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat()),
)


@given(times, zones)
@example("0001-01-01T00:00", "Europe/Athens")
@example("9999-12-31T23:59:59", "America/New_York")
@example("9999-12-31T23:59:59-23:59", None)
@example("9999-12-31T23:59:59.999999Z", None)
def test_any_time_can_be_shown_or_is_refused(written, zone):
    with contextlib.suppress(InvalidInputError):
        assert iso(moment(written, zone)).endswith("Z")


@given(st.integers(-62_000_000_000_000, 253_000_000_000_000))
@example(1_764_325_999_123)
def test_what_is_shown_is_read_as_the_same_moment(at):
    assert moment(iso(at), None) == at
