"""The form that says how fast a campaign goes and in which hours; it counts while it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from paceline.domain.errors import InvalidInputError, PacelineError
from paceline.domain.time_of_day import write_minutes
from paceline.web.pages.lanes import limit_in

_OF_WINDOW = "send_window"


@dataclass(frozen=True, slots=True)
class Speed:
    """What stands in its fields, and what is wrong with it."""

    rate_max: str
    rate_window_ms: str
    since: str
    until: str
    changed: bool = False
    """By this very form, just now."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """By the name of the field."""
    error: PacelineError | None = None
    """Why nothing was changed."""

    @classmethod
    def of(cls, campaign: Any, *, changed: bool = False) -> Self:
        """As a campaign's row has it."""
        since, until = campaign.window_from, campaign.window_until
        return cls(
            _shown(campaign.rate_max),
            _shown(campaign.rate_window_ms),
            "" if since is None else write_minutes(since),
            "" if until is None else write_minutes(until),
            changed=changed,
        )

    @classmethod
    def written(cls, form: Mapping[str, str]) -> Self:
        """As somebody has filled it in."""

        def of(name: str) -> str:
            return form.get(name, "").strip()

        return cls(of("rate_max"), of("rate_window_ms"), of("from"), of("until"))

    def given(self) -> dict[str, Any]:
        """What is to be changed, for ``Orders.change``; empty fields take away what there was.

        Raises:
            InvalidInputError: with every field that is no number.
        """
        values, problems = limit_in(
            {"rate_max": self.rate_max, "rate_window_ms": self.rate_window_ms}
        )
        if problems:
            raise InvalidInputError("The speed was not changed.", tuple(problems))
        hours = {"from": self.since, "until": self.until}
        return {**values, _OF_WINDOW: hours if any(hours.values()) else None}

    def refused(self, error: PacelineError) -> Self:
        """The same, with what is wrong beside each field."""
        problems = {
            each.where.removeprefix(f"{_OF_WINDOW}."): each.reason
            for each in getattr(error, "problems", ())
        }
        return replace(self, problems=problems, error=error)


def _shown(value: int | None) -> str:
    return "" if value is None else str(value)
