"""All planted bugs."""

from __future__ import annotations

from tests.planted import limits_and_turns, never_lost, never_twice, people_and_tenants, time_of_day

BUGS = (
    *never_twice.BUGS,
    *never_lost.BUGS,
    *limits_and_turns.BUGS,
    *people_and_tenants.BUGS,
    *time_of_day.BUGS,
)
