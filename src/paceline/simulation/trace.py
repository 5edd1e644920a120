"""What happened in a run, line by line: read when it failed, compared when it is replayed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from paceline.simulation.loop import NS_PER_MS


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened."""

    at_ns: int
    who: str
    what: str

    def __str__(self) -> str:
        return f"{self.at_ns / NS_PER_MS:12.3f}  {self.who:<10} {self.what}"


class Trace:
    """The lines of a run, in the order in which they happened."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self.lines: list[Line] = []

    def note(self, who: object, what: str) -> None:
        self.lines.append(Line(self._now_ns(), str(who), what))

    def digest(self) -> str:
        """The same for the same run, and for no other."""
        digest = hashlib.sha256()
        for line in self.lines:
            digest.update(f"{line.at_ns} {line.who} {line.what}\n".encode())
        return digest.hexdigest()[:16]
