"""Nothing goes out in quiet hours: by when a call could be made, over zones and clock changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paceline.clock import VirtualClock
from paceline.domain.hours import DAY_MS, MINUTE_MS
from paceline.domain.limits import Limit
from paceline.settings import sqlalchemy_url
from paceline.storage import apart, campaigns, contacts, migrate, outcomes, tenants
from paceline.storage.batches import Attempt
from paceline.storage.database import Database
from paceline.storage.doubt import Decision
from paceline.storage.limits import Pacing
from paceline.storage.schema import tenants as tenants_table
from paceline.storage.wishes import TakeApart, Untimely, Wish
from tests.storage.world import World

# A number, the zones of its country, and days of theirs on which clocks change.
PLACES = {
    "+306912345678": (["Europe/Athens"], ["2025-03-30", "2028-10-29"]),
    "+12025550123": (
        ["America/New_York", "America/Denver", "America/Phoenix", "Pacific/Honolulu"],
        ["2026-03-08", "2027-11-07"],
    ),
    "+61412345678": (["Australia/Sydney", "Australia/Perth"], ["2026-04-05", "2029-10-07"]),
    "+201001234567": (["Africa/Cairo"], ["2026-04-24", "2027-10-29"]),
    "+212650123456": (["Africa/Casablanca"], ["2026-02-15", "2029-01-14"]),
    "+5351234567": (["America/Havana"], ["2026-03-08", "2030-11-03"]),
    "+819012345678": (["Asia/Tokyo"], ["2027-01-01"]),
    "+80012345678": (["America/St_Johns"], ["2026-03-08", "2026-11-01"]),  # the tenant's zone
}
ROOMY = Pacing(tenant=Limit(100_000, 1_000, 50), account=Limit(100_000, 1_000, 50))
_MINUTES = st.integers(0, 1439)
nights = st.tuples(_MINUTES, _MINUTES).filter(lambda night: night[0] != night[1])
moments = st.sampled_from(sorted(PLACES)).flatmap(
    lambda phone: st.tuples(
        st.just(phone), st.sampled_from(PLACES[phone][1]), st.integers(-DAY_MS // 2, 2 * DAY_MS)
    )
)
leads = st.sampled_from([0, 250])


class Quick(World):
    """Counts no rows after each write: that is what other tests are about."""

    def check_counters(self) -> None:
        pass


@pytest.fixture(scope="module")
def clock() -> VirtualClock:
    """Starts before all the days, and goes wherever a test has it."""
    return VirtualClock(round(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000))


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def elsewhen(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, clock: VirtualClock
) -> Iterator[World]:
    url = f"sqlite:///{tmp_path_factory.mktemp('elsewhen')}/paceline.db"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_server").create_database()
    database = Database(sqlalchemy_url(url), clock=clock)
    migrate.upgrade(database)
    world = Quick(database, clock)
    world.pacing = ROOMY
    yield world
    database.close()


def is_night(at: int, names: list[str], night: tuple[int, int]) -> bool:
    """The oracle: whether a clock on the wall of any of these zones shows quiet hours."""
    start, end = night
    shown = [datetime.fromtimestamp(at / 1000, ZoneInfo(name)) for name in names]
    minutes = [each.hour * 60 + each.minute for each in shown]
    return any((minute - start) % 1440 < (end - start) % 1440 for minute in minutes)


def never_day(at: int, names: list[str], night: tuple[int, int]) -> bool:
    """Whether it is always night in one of the zones."""
    return all(is_night(at + n * MINUTE_MS, names, night) for n in range(0, 2 * 1440, 5))


def ask(world: World, lead_ms: int) -> Attempt | Untimely:
    """As a worker does, until it is said to be the time for it or not."""
    batch = world.reserve()
    while True:
        (said,) = world.intend_together(Wish(batch, 1, lead_ms))
        if not isinstance(said, TakeApart):
            assert isinstance(said, Attempt | Untimely), said
            return said
        world.write(apart.by_region, batch)


def go_to(clock: VirtualClock, at: int) -> None:
    clock._start_ms += at - clock.now_ms()


@settings(max_examples=10, deadline=None)
@given(nights, moments, leads, st.booleans())
@example((21 * 60, 8 * 60), ("+306912345678", "2025-03-30", 0), 250, True)
@example((150, 180), ("+306912345678", "2025-03-30", 0), 0, True)
@example((180, 240), ("+306912345678", "2028-10-29", 0), 0, False)
def test_a_call_is_never_possible_while_it_is_night_where_the_recipient_is(
    elsewhen: World,
    clock: VirtualClock,
    night: tuple[int, int],
    moment: tuple[str, str, int],
    lead_ms: int,
    known_at_launch: bool,
) -> None:
    world = elsewhen
    phone, day, after_ms = moment
    names = PLACES[phone][0]
    go_to(clock, round(datetime.fromisoformat(f"{day}T00:00Z").timestamp() * 1000) + after_ms)
    name = f"tenant {len(world.rows(tenants_table))}"
    tenant = world.tenant(name, timezone=names[0])
    world.write(contacts.create, tenant, phone=phone)
    hours = {"quiet_from": night[0], "quiet_until": night[1]}
    if known_at_launch:
        world.write(tenants.change, tenant, hours)
    campaign = world.start(world.draft(tenant))
    world.write(tenants.change, tenant, hours)
    last_wait = None
    for _ in range(4):
        asked_at = world.now
        said = ask(world, lead_ms)
        if isinstance(said, Attempt):
            break
        last_wait = said.until
        assert said.until > asked_at
        go_to(clock, said.until)
    else:
        assert never_day(world.now, names, night)
        world.write(campaigns.cancel, tenant, campaign)
        world.write(campaigns.sweep_cancelled, campaign)
        return
    usable_ms = round((said.send_by - clock.monotonic()) * 1000)
    assert usable_ms <= lead_ms + 25
    for at in (asked_at, asked_at + usable_ms // 2, asked_at + usable_ms):
        assert not is_night(at, names, night), datetime.fromtimestamp(at / 1000, UTC)
    if last_wait is not None and len(names) == 1:  # and it did not wait longer than it had to
        assert is_night(last_wait - 1, names, night)
    world.write(outcomes.record_bug, said.batch, "the test is over")
    world.decide(said.batch.id, Decision.FAIL)
    assert world.campaign(campaign).queued == 0
