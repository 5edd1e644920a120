"""Bugs that send at the wrong time of the day, or keep what may go."""

from __future__ import annotations

from tests.planted.bug import Bug

TIME = "the right time of the day"
_STORAGE = "src/paceline/storage"

BUGS = (
    Bug(
        name="one_zone_for_a_country",
        promise=TIME,
        harm="Honolulu is woken up at three in the morning, since New York is at breakfast.",
        file=f"{_STORAGE}/timing.py",
        old="there = zones.of_region(region) or (home,)",
        new="there = zones.of_region(region)[:1] or (home,)",
    ),
    Bug(
        name="permit_outlives_the_evening",
        promise=TIME,
        harm="A call that was permitted a moment before quiet hours goes out in them.",
        file=f"{_STORAGE}/intents.py",
        old="return valid_ms if shuts_at is None else min(valid_ms, shuts_at - 1 - self.at)",
        new="return valid_ms if shuts_at is None else valid_ms",
    ),
    Bug(
        name="a_night_holds_all_countries",
        promise=TIME,
        harm="Where it is day nobody gets the message until it is day somewhere else.",
        file=f"{_STORAGE}/postponed.py",
        old="same = same.where(batches.c.region == row.region)",
        new="same = same.where(batches.c.region.is_not(None))",
    ),
    Bug(
        name="void_permits_count_for_the_day",
        promise=TIME,
        harm="A tenant's day is over before it has sent what it may.",
        file=f"{_STORAGE}/outcomes.py",
        old='day_messages=tenants.c.day_messages - bindparam("n")',
        new='day_messages=tenants.c.day_messages - 0 * bindparam("n")',
    ),
    Bug(
        name="yesterdays_offer_sent_today",
        promise=TIME,
        harm="After an outage a campaign starts that had to start yesterday or not at all.",
        file=f"{_STORAGE}/launches.py",
        old="if moment is not None and at > moment:",
        new="if moment is not None and at < 0:",
    ),
)
