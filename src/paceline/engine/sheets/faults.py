"""What is said of a file that cannot be used, and the bounds that make one so."""

from __future__ import annotations

from paceline.domain.errors import InvalidInputError, Problem

MAX_COLUMNS = 100
MAX_ROWS = 2_000_000


def unusable(reason: str, row: int | None = None) -> InvalidInputError:
    """The error that says why; ``row`` is where."""
    return InvalidInputError(f"The file {reason}.", (Problem("file", reason, row),))


def too_long() -> InvalidInputError:
    return unusable(f"has more than {MAX_ROWS} rows: cut it into several files")
