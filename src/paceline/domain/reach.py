"""Whom a text reaches and how: counted over an audience, one recipient after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from paceline.domain import parts
from paceline.domain.cost import Cost, PriceTable
from paceline.domain.template import Template


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient and the exact text that is theirs."""

    contact_id: int
    phone: str
    text: str


@dataclass(slots=True)
class Reach:
    """What `add` has counted so far."""

    template: Template
    prices: PriceTable
    recipients: int = 0
    parts: int = 0
    by_parts: Counter[int] = field(default_factory=Counter)
    """Parts of a text → recipients."""
    unicode: int = 0
    """Recipients whose text is sent in UCS-2."""
    without_value: Counter[str] = field(default_factory=Counter)
    """Field → recipients for whom a tag of it is replaced by nothing: no value and no default."""
    cost: Cost = field(default_factory=Cost)
    first: Recipient | None = None
    worst: Recipient | None = None
    """Who is sent the most parts; of equals the longest text, then the first."""
    _most: tuple[int, int] = (-1, -1)
    _bare: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self._bare = frozenset(name for _, name, default in self.template.gaps if not default)

    def add(self, contact_id: int, phone: str, values: Mapping[str, str | None]) -> None:
        """Count one recipient with their merge values."""
        text = self.template.render(values)
        counted = parts.count(text)
        self.recipients += 1
        self.parts += counted.parts
        self.by_parts[counted.parts] += 1
        self.unicode += counted.encoding == "ucs-2"
        for name in self._bare:
            if not values.get(name):
                self.without_value[name] += 1
        self.cost.add(self.prices.of(phone), counted.parts)
        if self.first is None:
            self.first = Recipient(contact_id, phone, text)
        if (counted.parts, counted.units) > self._most:
            self._most = counted.parts, counted.units
            self.worst = Recipient(contact_id, phone, text)
