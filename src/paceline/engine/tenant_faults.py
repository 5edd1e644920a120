"""What can be wrong with a tenant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection

from paceline.domain.errors import InvalidInputError, Problem
from paceline.domain.hours import DAY_MS
from paceline.engine.drafts import account_for, sender_problems
from paceline.engine.pace import MOST_PERMITS, out_of_range
from paceline.engine.schedule import zone_of

_LONGEST_NAME = 100
MOST = {
    "rate_max": MOST_PERMITS,
    "rate_window_ms": DAY_MS,
    "daily_cap": 1_000_000_000,
    "frequency_max": 1_000_000,
    "frequency_days": 366,
}
"""The largest of each number; the smallest is 1."""
_BOTH_OR_NEITHER = (("quiet_from", "quiet_until"), ("frequency_max", "frequency_days"))


def name_problems(name: str) -> Iterator[Problem]:
    """What is wrong with the name of a tenant, or of a traffic account."""
    if not 0 < len(name) <= _LONGEST_NAME:
        yield Problem("name", f"must have 1 to {_LONGEST_NAME} characters")


def problems_of(
    connection: Connection, tenant_id: int, values: Mapping[str, Any], *, changed: Mapping[str, Any]
) -> Iterator[Problem]:
    """What is wrong with a tenant of these columns, of which some have just been ``changed``."""
    yield from column_problems(values, changed=changed)
    account, faults = account_for(connection, tenant_id, values["default_account_id"])
    if faults and changed.get("default_account_id") is not None:
        yield Problem("default_account_id", faults[0].reason)
    if account is not None and changed.get("sender"):
        yield from sender_problems(account.provider, values["sender"])


def column_problems(values: Mapping[str, Any], *, changed: Mapping[str, Any]) -> Iterator[Problem]:
    """As ``problems_of``, as far as it shows without the tenant's account."""
    if "timezone" in changed:
        yield from _zone_problems(values["timezone"])
    for name, most in MOST.items():
        yield from out_of_range(name, changed.get(name), most)
    for one, other in _BOTH_OR_NEITHER:
        if (values.get(one) is None) != (values.get(other) is None):
            missing = one if values.get(one) is None else other
            yield Problem(missing, f"goes with {other if missing == one else one}: both or neither")
    begin, end = values.get("quiet_from"), values.get("quiet_until")
    if begin is not None and begin == end:
        yield Problem("quiet_until", "is when quiet_from is: leave both out for no quiet hours")


def _zone_problems(timezone: str) -> Iterator[Problem]:
    try:
        zone_of(timezone)
    except InvalidInputError as error:
        yield from error.problems
