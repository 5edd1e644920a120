"""How a campaign is sent: by when it has to start, in which hours of the day, and how fast.

People give it with a new campaign and may change all of it while the campaign runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection

from paceline.domain.errors import InvalidInputError, Problem
from paceline.domain.hours import DAY_MS, Hours
from paceline.domain.time_of_day import read_minutes
from paceline.engine.schedule import moment
from paceline.storage import campaigns
from paceline.storage.database import now

MOST_PERMITS = 1_000_000
_CLOCK_SAID = "must be a time of the day such as 09:00"
FIELDS = ("start_by", "send_window", "rate_max", "rate_window_ms")
"""What people may give. ``start_by``: ISO 8601. ``send_window``: ``from`` and ``until``, such as
09:00. A None takes it away."""


def values_of(
    given: Mapping[str, Any], timezone: str | None
) -> tuple[dict[str, Any], list[Problem]]:
    """The columns that are meant by those ``FIELDS`` that are given, and every fault of them.

    Args:
        given: by name.
        timezone: of a ``start_by`` without an offset.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    if "start_by" in given:
        try:
            written = given["start_by"]
            values["start_by"] = None if written is None else _moment(written, timezone)
        except InvalidInputError as error:
            problems += error.problems
    if "send_window" in given:
        window, faults = _window(given["send_window"])
        values |= window
        problems += faults
    for name, most in (("rate_max", MOST_PERMITS), ("rate_window_ms", DAY_MS)):
        if name in given:
            values[name] = given[name]
            problems += out_of_range(name, given[name], most)
    return values, problems


def change(
    connection: Connection, tenant_id: int, campaign_id: int, given: Mapping[str, Any]
) -> None:
    """Change how a campaign is sent, from its next intent on.

    Raises:
        NotFoundError: this tenant has no such campaign.
        WrongStateError: it is over.
        InvalidInputError: with every fault; nothing is changed.
    """
    campaign = campaigns.lock_unfinished(connection, tenant_id, campaign_id)
    values, problems = values_of(given, campaign.timezone)
    after = {
        name: values.get(name, getattr(campaign, name))
        for name in ("rate_max", "rate_window_ms", "start_by", "scheduled_at")
    }
    problems += window_without_rate(after)
    if "start_by" in values:
        problems += too_early(connection, after["start_by"], after["scheduled_at"])
    if problems:
        raise InvalidInputError("The campaign cannot be sent so.", tuple(problems))
    campaigns.set_pace(connection, tenant_id, campaign_id, values)


def window_without_rate(values: Mapping[str, Any]) -> Iterator[Problem]:
    """A window is of a number of permits, and means nothing without."""
    if values.get("rate_window_ms") is not None and values.get("rate_max") is None:
        yield Problem("rate_window_ms", "has no effect without rate_max")


def too_early(
    connection: Connection, start_by: int | None, scheduled_at: int | None
) -> Iterator[Problem]:
    """A campaign that has to start before it can would never start."""
    if start_by is None:
        return
    if start_by <= now(connection):
        yield Problem("start_by", "is in the past")
    elif scheduled_at is not None and start_by < scheduled_at:
        yield Problem("start_by", "is before scheduled_at")


def _moment(written: str, timezone: str | None) -> int:
    return moment(written, timezone, where="start_by")


def _window(given: Mapping[str, str] | None) -> tuple[dict[str, int | None], list[Problem]]:
    if given is None:
        return {"window_from": None, "window_until": None}, []
    minutes = {name: _minute(given[name]) for name in ("from", "until")}
    problems = [
        Problem(f"send_window.{name}", _CLOCK_SAID)
        for name, minute in minutes.items()
        if minute is None
    ]
    start, end = minutes["from"], minutes["until"]
    if start is not None and end is not None:
        try:
            Hours(start, end)
        except ValueError:
            problems.append(Problem("send_window", "begins and ends at the same time"))
    return {"window_from": start, "window_until": end}, problems


def _minute(written: str) -> int | None:
    try:
        return read_minutes(written)
    except ValueError:
        return None


def out_of_range(name: str, value: int | None, most: int) -> Iterator[Problem]:
    """A number that is not 1 to ``most``; None is no number."""
    if value is not None and not 1 <= value <= most:
        yield Problem(name, f"must be 1 to {most}")
