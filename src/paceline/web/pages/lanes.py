"""Limits as pages show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from paceline.domain import limits
from paceline.domain.limits import Limit, Window
from paceline.storage.limits import limit_of


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
