"""What a planted bug is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    """One or two lines that are wrong, and what that would do to people."""

    name: str
    promise: str
    """Which one it breaks."""
    harm: str
    """What would happen, in a sentence."""
    file: str
    """From the top of the tree."""
    old: str
    """Occurs once in the file."""
    new: str

    def planted_in(self, source: str) -> str:
        """The file's source with the bug.

        Raises:
            ValueError: ``old`` is not there exactly once: the source has moved on.
        """
        found = source.count(self.old)
        if found != 1:
            raise ValueError(f"{self.name}: {self.file} has its old text {found} times, not once")
        return source.replace(self.old, self.new)
