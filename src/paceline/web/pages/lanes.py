"""Limits as pages show them, and as people write them into forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paceline.domain import limits
from paceline.domain.errors import Problem
from paceline.domain.hours import DAY_MS
from paceline.domain.limits import Limit, Window
from paceline.engine.pace import MOST_PERMITS
from paceline.storage.limits import limit_of

_MOST = {"rate_max": MOST_PERMITS, "rate_window_ms": DAY_MS}


@dataclass(frozen=True, slots=True)
class Lane:
    """One limit, and how much of it is used now."""

    limit: Limit
    used: int

    @classmethod
    def of(cls, row: Any, default: Limit, at: int) -> Lane:
        """Of a tenant's or an account's row at a moment (milliseconds since 1970)."""
        limit = limit_of(row, default)
        return cls(limit, limit.max - limits.free(Window.decode(row.grants), limit, at))

    @property
    def per_second(self) -> float:
        return self.limit.max * 1000 / self.limit.window_ms


def limit_in(form: Mapping[str, str]) -> tuple[dict[str, int | None], list[Problem]]:
    """The two columns of a limit, and every fault of them; an empty field is None."""
    values: dict[str, int | None] = {}
    problems = []
    for name, most in _MOST.items():
        written = form.get(name, "").strip()
        if not written:
            values[name] = None
        elif written.isascii() and written.isdecimal() and 1 <= int(written[:9]) <= most:
            values[name] = int(written[:9])
        else:
            problems.append(Problem(name, f"must be a whole number from 1 to {most}, or empty"))
    return values, problems
