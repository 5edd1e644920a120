"""Contacts out of a CSV file, row by row: pure, synchronous and bounded in memory.

People's files differ in delimiter, header names and line ends, which is read as it comes; what
would have to be guessed (another encoding, an unclosed quote, a column without a name) is refused.
"""

from __future__ import annotations

import codecs
import csv
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from paceline.domain.errors import InvalidInputError, Problem
from paceline.domain.phone import PhoneError, parse, region_of
from paceline.storage.imports import StagedContact

MAX_LINE = 1 << 17
"""Bytes of one line; also about what the csv module takes as one quoted field."""
MAX_VALUE = 1_000
"""Characters of one cell."""
MAX_COLUMNS = 100
MAX_ROWS = 2_000_000

_DELIMITERS = ",;\t"
_PHONE, _FIRST, _LAST = "phone", "first_name", "last_name"
_SYNONYMS = {
    word: field
    for field, words in {
        _PHONE: "phone mobile msisdn number phone_number phone_no telephone telephone_number tel "
        "cell cellphone cell_phone mobile_number mobile_phone",
        _FIRST: "first_name firstname given_name forename",
        _LAST: "last_name lastname surname family_name",
    }.items()
    for word in words.split()
}
_EXPECTED = "phone, mobile, msisdn, number, phone_number or telephone"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_BETWEEN = re.compile(r"[\s!-/:-@\[-`{-~]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its header as written and the field it fills; None: it has no name."""

    header: str
    field: str | None


def read_contacts(
    chunks: Iterable[bytes], default_country: str | None
) -> Iterator[StagedContact | list[Problem]]:
    """Give each row of the file as a contact, or as what is wrong with it.

    Args:
        chunks: the file's bytes, cut anywhere.
        default_country: the country of numbers without a country code (ISO 3166), if any.

    Raises:
        InvalidInputError: the file as a whole cannot be used.
    """
    lines = _lines(chunks)
    header_line = next(lines, None)
    if header_line is None:
        raise _unusable("is empty: the first row must name the columns", row=1)
    delimiter = _delimiter_of(header_line)
    records = _records(_again(header_line, lines), delimiter)
    columns = _columns(next(records)[1])
    for row, cells in records:
        if any(cells):
            yield _contact(row, cells, columns, default_country)


def normal_name(header: str) -> str | None:
    """A header as a field's name, ``[a-z][a-z0-9_]*``; None when it cannot be one."""
    decomposed = unicodedata.normalize("NFKD", header.strip().lower())
    bare = "".join(c for c in decomposed if not unicodedata.combining(c))
    name = _BETWEEN.sub("_", bare).strip("_")
    return name if _NAME.fullmatch(name) else None


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines with their ends, decoded."""
    rest = b""
    number = 0
    first = True
    for chunk in chunks:
        data = rest + chunk
        if first and len(data) < len(codecs.BOM_UTF8):
            rest = data
            continue
        if first:
            data, first = _without_mark(data), False
        *whole, rest = data.split(b"\n")
        for line in whole:
            number += 1
            yield _decoded(line + b"\n", number)
        if len(rest) > MAX_LINE:
            raise _unusable(f"line {number + 1} is longer than {MAX_LINE} bytes")
    if rest:
        yield _decoded(_without_mark(rest) if first else rest, number + 1)


def _without_mark(data: bytes) -> bytes:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _unusable("is UTF-16; save it as CSV UTF-8")
    return data.removeprefix(codecs.BOM_UTF8)


def _decoded(line: bytes, number: int) -> str:
    if len(line) > MAX_LINE:
        raise _unusable(f"line {number} is longer than {MAX_LINE} bytes")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise _unusable(f"line {number} is not UTF-8; save the file as CSV UTF-8") from None


def _delimiter_of(header: str) -> str:
    """The delimiter that splits the header into most columns; a comma if none does."""
    outside_quotes = re.sub(r'"[^"]*"', "", header)
    return max(_DELIMITERS, key=outside_quotes.count)


def _again(line: str, lines: Iterator[str]) -> Iterator[str]:
    yield line
    yield from lines


def _records(lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Records with their numbers, the header's being 1; cells without the blanks around them."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    row = 0
    while True:
        row += 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _unusable(f"cannot be read: {_explained(error)}", row=row) from None
        if cells is None:
            return
        if row > MAX_ROWS + 1:
            raise _unusable(f"has more than {MAX_ROWS} rows: cut it into several files")
        yield row, [cell.strip() for cell in cells]


def _explained(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end" in text or "field larger" in text:
        return "a quote is opened and not closed"
    if "expected after" in text:
        return "a quoted value goes on behind its closing quote"
    if "new-line" in text:
        return "a line ends in a carriage return alone; save the file with other line ends"
    return text


def _columns(headers: list[str]) -> list[Column]:
    """What each column fills.

    Raises:
        InvalidInputError: no column or several for the phone, or a name that cannot be used.
    """
    if not any(headers):
        raise _unusable("has no header: the first row must name the columns", row=1)
    if len(headers) > MAX_COLUMNS:
        raise _unusable(f"has more than {MAX_COLUMNS} columns", row=1)
    columns = [Column(header, _field_of(header)) for header in headers]
    problems = [
        *(
            Problem(each.header, "cannot be a field's name: letters a to z, digits and _", 1)
            for each in columns
            if each.header and each.field is None
        ),
        *_named_twice(columns),
    ]
    if not any(each.field == _PHONE for each in columns):
        found = ", ".join(f"“{each.header}”" for each in columns if each.header)
        problems.append(Problem(_PHONE, f"is missing: found {found}; expected {_EXPECTED}", 1))
    if problems:
        raise InvalidInputError("The columns of the file cannot be used.", tuple(problems))
    return columns


def _field_of(header: str) -> str | None:
    name = normal_name(header)
    return name and _SYNONYMS.get(name, name)


def _named_twice(columns: list[Column]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for column in columns:
        if column.field is None:
            continue
        if column.field in first:
            reason = f"means {column.field}, as “{first[column.field]}” does; keep one of them"
            yield Problem(column.header, reason, 1)
        first.setdefault(column.field, column.header)


def _contact(
    row: int, cells: list[str], columns: list[Column], default_country: str | None
) -> StagedContact | list[Problem]:
    problems = _misshapen(row, cells, columns)
    values: dict[str, str] = {}
    for column, cell in zip(columns, cells, strict=False):
        if column.field is None:
            if cell:
                problems.append(Problem("", "a value stands in a column without a name", row))
        elif reason := _unusable_value(cell):
            problems.append(Problem(column.header, reason, row))
        elif cell:
            values[column.field] = cell
    try:
        phone = parse(values.pop(_PHONE, None), default_country)
    except PhoneError as error:
        header = next(each.header for each in columns if each.field == _PHONE)
        problems.append(Problem(header, error.reason, row))
    if problems:
        return problems
    first_name, last_name = values.pop(_FIRST, None), values.pop(_LAST, None)
    return StagedContact(row, phone, first_name, last_name, values, region_of(phone))


def _misshapen(row: int, cells: list[str], columns: list[Column]) -> list[Problem]:
    if any(cells[len(columns) :]):
        return [Problem("", f"has {len(cells)} values for {len(columns)} columns", row)]
    return []


def _unusable_value(cell: str) -> str | None:
    if len(cell) > MAX_VALUE:
        return f"longer than {MAX_VALUE} characters"
    return "contains a control character" if _CONTROL.search(cell) else None


def _unusable(reason: str, row: int | None = None) -> InvalidInputError:
    return InvalidInputError(f"The file {reason}.", (Problem("file", reason, row),))
