"""Times as people write them: "2026-12-01T09:00" in Europe/Athens, or with an offset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from paceline.domain import zones
from paceline.domain.errors import InvalidInputError

_FIRST_YEAR, _LAST_YEAR = 2, 9999
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(written_at: str, timezone: str | None, *, where: str = "scheduled_at") -> int:
    """Milliseconds since 1970 of an ISO 8601 time.

    With an offset (or Z) the time speaks for itself; without one it is the wall clock's of
    ``timezone`` (an IANA name). Of an hour that a clock change repeats, the first is meant. A time
    that it leaps over is as long after the leap as it seems to be after its beginning: of 02:00 to
    03:00, 02:30 is 03:30. So it is read by the offset before the change in either case.

    Raises:
        InvalidInputError: it is no time, lacks an offset and a time zone, or the zone is unknown;
            about the field ``where``.
    """
    zone = None if timezone is None else zone_of(timezone)
    try:
        written = datetime.fromisoformat(written_at.strip())
    except ValueError:
        raise InvalidInputError.of(
            where, "must be a time such as 2026-12-01T09:00:00Z (ISO 8601)"
        ) from None
    if not _FIRST_YEAR <= written.year < _LAST_YEAR:  # of times next to the calendar's ends, some
        raise InvalidInputError.of(where, "is too far away")  # zones have none
    if written.tzinfo is None:
        if zone is None:
            raise InvalidInputError.of(
                where, "needs an offset such as Z or +02:00, or a timezone beside it"
            )
        written = written.replace(tzinfo=zone, fold=0)
    return (written - _EPOCH) // timedelta(milliseconds=1)


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name.

    Raises:
        InvalidInputError: there is none of this name.
    """
    zone = zones.named(name)
    if zone is None:
        raise InvalidInputError.of("timezone", "must be a name such as Europe/Athens (IANA)")
    return zone


def local(at: int | None, timezone: str | None) -> str | None:
    """A moment as the wall clock of a time zone shows it, with its offset; None without both."""
    zone = None if timezone is None else zones.named(timezone)
    if at is None or zone is None:
        return None
    return datetime.fromtimestamp(at / 1000, zone).isoformat()
