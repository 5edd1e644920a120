"""What can be wrong with a tenant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection

from paceline.domain.errors import InvalidInputError, Problem
from paceline.engine.drafts import account_for, sender_problems
from paceline.engine.schedule import zone_of

_LONGEST_NAME = 100
_BOTH_OR_NEITHER = (("quiet_from", "quiet_until"), ("frequency_max", "frequency_days"))


def name_problems(name: str) -> Iterator[Problem]:
    """What is wrong with the name of a tenant."""
    if not 0 < len(name) <= _LONGEST_NAME:
        yield Problem("name", f"must have 1 to {_LONGEST_NAME} characters")


def problems_of(
    connection: Connection, tenant_id: int, values: Mapping[str, Any], *, changed: Mapping[str, Any]
) -> Iterator[Problem]:
    """What is wrong with a tenant of these columns, of which some have just been ``changed``."""
    if "timezone" in changed:
        yield from _zone_problems(values["timezone"])
    for one, other in _BOTH_OR_NEITHER:
        if (values[one] is None) != (values[other] is None):
            missing = one if values[one] is None else other
            yield Problem(missing, f"goes with {other if missing == one else one}: both or neither")
    if values["quiet_from"] is not None and values["quiet_from"] == values["quiet_until"]:
        yield Problem("quiet_until", "is when quiet_from is: leave both out for no quiet hours")
    account, faults = account_for(connection, tenant_id, values["default_account_id"])
    if faults and changed.get("default_account_id") is not None:
        yield Problem("default_account_id", faults[0].reason)
    if account is not None and changed.get("sender"):
        yield from sender_problems(account.provider, values["sender"])


def _zone_problems(timezone: str) -> Iterator[Problem]:
    try:
        zone_of(timezone)
    except InvalidInputError as error:
        yield from error.problems
