"""What is in a cell, as a person would read it there."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation

_EPOCHS = {False: datetime(1899, 12, 30), True: datetime(1904, 1, 1)}  # noqa: DTZ001 - a sheet has no zone
_LONGEST = 30
"""Digits of a number that is written out."""
_LONGEST_COUNT = 9
_QUOTED = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.|_.|\*.')
_DATE_LETTERS = re.compile(r"[ymdhs]", re.IGNORECASE)
_DATE_FORMATS = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
"""The number formats every workbook has that show dates or times."""
BOOLEANS = {True: "TRUE", False: "FALSE"}


def whole(written: str) -> int:
    """A small number as XML has it; 0 if it is none."""
    return int(written) if written.isdecimal() and len(written) <= _LONGEST_COUNT else 0


def number(written: str) -> str:
    """A number as it stands in a workbook, without an exponent or a needless ``.0``: phone numbers
    come as ``447900000000.0`` and ``2.1345E+11`` too.
    """
    if written.isdecimal() and written[0] != "0":
        return written
    try:
        value = Decimal(written)
    except InvalidOperation:
        return written
    if not value.is_finite() or abs(value.adjusted()) > _LONGEST:
        return written
    if value == value.to_integral_value():
        return str(int(value))
    return f"{Decimal(repr(float(value))):f}"  # without the last digits that binary adds


def is_date_format(number_format: int, code: str | None) -> bool:
    """Whether a number format shows dates or times; ``code`` is that of the workbook's own ones."""
    if code is None:
        return number_format in _DATE_FORMATS
    return bool(_DATE_LETTERS.search(_QUOTED.sub("", code.split(";")[0])))


def moment(serial: str, *, since_1904: bool) -> str:
    """A date, a time or both, which a workbook keeps as days since its epoch."""
    try:
        days = float(serial)
        seconds = round(days * 86_400)
        at = _EPOCHS[since_1904] + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return serial
    if days < 0:
        return number(serial)
    if days < 1:
        return _time(at.time())
    return shown(at)


def shown(at: datetime) -> str:
    """``2026-01-31``, with the time of day if there is one."""
    return _date(at.date()) if at.time() == time() else f"{_date(at.date())} {_time(at.time())}"


def iso(written: str) -> str:
    """An ISO 8601 date or time, in the same spelling as all others."""
    try:
        return shown(datetime.fromisoformat(written))
    except ValueError:
        return written


def _date(day: date) -> str:
    return day.isoformat()


def _time(at: time) -> str:
    return at.isoformat("seconds" if at.second else "minutes")
