"""Times as people write them: "2026-12-01T09:00" in Europe/Athens, or with an offset."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from paceline.domain.errors import InvalidInputError

_FIRST_YEAR, _LAST_YEAR = 2, 9999


def moment(scheduled_at: str, timezone: str | None) -> int:
    """Milliseconds since 1970 of an ISO 8601 time.

    With an offset (or Z) the time speaks for itself; without one it is the wall clock's of
    ``timezone`` (an IANA name). Of an hour that a clock change repeats, the first is meant.

    Raises:
        InvalidInputError: it is no time, lacks an offset and a time zone, does not exist in that
            zone on that day, or the zone is unknown.
    """
    zone = None if timezone is None else zone_of(timezone)
    try:
        written = datetime.fromisoformat(scheduled_at.strip())
    except ValueError:
        raise InvalidInputError.of(
            "scheduled_at", "must be a time such as 2026-12-01T09:00:00Z (ISO 8601)"
        ) from None
    if not _FIRST_YEAR <= written.year < _LAST_YEAR:  # of times next to the calendar's ends, some
        raise InvalidInputError.of("scheduled_at", "is too far away")  # zones have none
    if written.tzinfo is None:
        written = _on_the_clock_of(zone, written)
    return int(written.timestamp() * 1000)


def _on_the_clock_of(zone: ZoneInfo | None, written: datetime) -> datetime:
    if zone is None:
        raise InvalidInputError.of(
            "scheduled_at", "needs an offset such as Z or +02:00, or a timezone beside it"
        )
    local = written.replace(tzinfo=zone, fold=0)
    if local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != written:
        raise InvalidInputError.of(
            "scheduled_at", f"does not exist in {zone.key}: the clock is put forward then"
        )
    return local


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name.

    Raises:
        InvalidInputError: there is none of this name.
    """
    if name not in _names():
        raise InvalidInputError.of("timezone", "must be a name such as Europe/Athens (IANA)")
    return ZoneInfo(name)


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones())
