"""CSV as we write it: what a spreadsheet opens without taking a cell for a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"\+[0-9]{1,15}", re.ASCII)
"""E.164: a spreadsheet that takes it for a formula has the number as its result."""


def safe(cell: str) -> str:
    """A cell that a spreadsheet will not take for a formula. Numbers in E.164 stay as they are, and
    our own import takes the apostrophe away again.
    """
    if cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def csv_text(rows: Iterable[Iterable[str]]) -> str:
    """Rows as CSV, made safe."""
    text = io.StringIO()
    # With line ends of one character it would leave a carriage return in a cell unquoted.
    csv.writer(text, lineterminator="\r\n").writerows([safe(cell) for cell in row] for row in rows)
    return text.getvalue()
