"""Contacts out of a file, row by row: synchronous and bounded in memory.

Header names differ, and are read as people write them or as a mapping says; what would have to be
guessed (a column without a name, two columns for one field) is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from paceline.domain.contact import MAX_VALUE
from paceline.domain.errors import InvalidInputError, Problem
from paceline.domain.phone import PhoneError, parse, region_of
from paceline.engine.sheets import rows_of
from paceline.engine.sheets.faults import MAX_COLUMNS, unusable
from paceline.storage.imports import StagedContact

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
_GUARDED = re.compile(r"'[=+\-@]")
"""What an export of ours, or a person, has put before what a spreadsheet would take for a
formula."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its header as written and the field it fills; None: it has no name.
    ``dropped``: a mapping leaves it out.
    """

    header: str
    field: str | None
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class ContactRow:
    """One row: its number (the first of the file is 1), its cells, and the contact in it, or what
    is wrong.
    """

    number: int
    cells: Sequence[str]
    contact: StagedContact | None
    problems: Sequence[Problem] = ()


@dataclass(frozen=True, slots=True)
class ContactFile:
    """A file whose header has been read; its rows can be read once."""

    columns: Sequence[Column]
    rows: Iterator[ContactRow]


def read_contacts(
    chunks: Iterable[bytes],
    default_country: str | None,
    *,
    mapping: Mapping[str, str | None] | None = None,
    sheet: str | None = None,
) -> ContactFile:
    """Read a file's header; each row then comes as a contact, or as what is wrong with it.

    Args:
        chunks: the file's bytes, cut anywhere.
        default_country: the country of numbers without a country code (ISO 3166), if any.
        mapping: header → field, for those that are not understood by themselves; None leaves the
            column out.
        sheet: of a workbook, the name of the sheet; None: the first.

    Raises:
        InvalidInputError: the file as a whole cannot be used; also while its rows are read.
    """
    records = rows_of(chunks, sheet)
    number, headers = next(((n, cells) for n, cells in records if any(cells)), (1, []))
    columns = _columns(headers, mapping or {}, number)
    return ContactFile(columns, _rows(records, columns, default_country))


def columns_of(
    chunks: Iterable[bytes],
    *,
    mapping: Mapping[str, str | None] | None = None,
    sheet: str | None = None,
) -> list[Column]:
    """The columns of a file and what each would fill, whether or not it can be used like that.

    Raises:
        InvalidInputError: it has no rows that can be read.
    """
    records = rows_of(chunks, sheet)
    headers = next((cells for _, cells in records if any(cells)), [])
    given = _given(mapping or {})
    return [_column(header, given) for header in headers[:MAX_COLUMNS]]


def _given(mapping: Mapping[str, str | None]) -> dict[str, str | None]:
    """By the headers as they are compared."""
    return {header.strip().casefold(): field for header, field in mapping.items()}


def _rows(
    records: Iterator[tuple[int, list[str]]], columns: list[Column], default_country: str | None
) -> Iterator[ContactRow]:
    for number, cells in records:
        if any(cells):
            yield _contact(number, cells, columns, default_country)


def normal_name(header: str) -> str | None:
    """A header as a field's name, ``[a-z][a-z0-9_]*``; None when it cannot be one."""
    decomposed = unicodedata.normalize("NFKD", header.strip().lower())
    bare = "".join(c for c in decomposed if not unicodedata.combining(c))
    name = _BETWEEN.sub("_", bare).strip("_")
    return name if _NAME.fullmatch(name) else None


def _columns(headers: list[str], mapping: Mapping[str, str | None], row: int) -> list[Column]:
    """What each column fills.

    Raises:
        InvalidInputError: no column or several for the phone, a name that cannot be used, or a
            mapping of what is not there.
    """
    if not any(headers):
        raise unusable("has no header: the first row must name the columns", row=1)
    if len(headers) > MAX_COLUMNS:
        raise unusable(f"has more than {MAX_COLUMNS} columns", row=row)
    given = _given(mapping)
    columns = [_column(header, given) for header in headers]
    found = ", ".join(f"“{each.header}”" for each in columns if each.header)
    problems = [
        *_mapped_wrongly(headers, mapping, found),
        *(
            Problem(each.header, "cannot be a field's name: letters a to z, digits and _", row)
            for each in columns
            if each.header and each.field is None and not each.dropped
        ),
        *_named_twice(columns, row),
        *(
            Problem("", f"the name of column {number} contains a control character", row)
            for number, each in enumerate(columns, start=1)
            if _CONTROL.search(each.header)
        ),
    ]
    if not any(each.field == _PHONE for each in columns):
        problems.append(Problem(_PHONE, f"is missing: found {found}; expected {_EXPECTED}", row))
    if problems:
        raise InvalidInputError("The columns of the file cannot be used.", tuple(problems))
    return columns


def _column(header: str, mapping: Mapping[str, str | None]) -> Column:
    known = header.casefold()
    if header and known in mapping:
        field = mapping[known]
        return Column(header, field and normal_name(field), dropped=not field)
    name = normal_name(header)
    return Column(header, name and _SYNONYMS.get(name, name))


def _mapped_wrongly(
    headers: list[str], mapping: Mapping[str, str | None], found: str
) -> Iterator[Problem]:
    there = {header.casefold() for header in headers if header}
    for header, field in mapping.items():
        if header.strip().casefold() not in there:
            yield Problem("mapping", f"the file has no column “{header}”; it has {found}")
        if field and normal_name(field) != field:
            reason = f"“{field}” cannot be a field's name: small letters a to z, digits and _"
            yield Problem("mapping", reason)


def _named_twice(columns: list[Column], row: int) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for column in columns:
        if column.field is None:
            continue
        if column.field in first:
            reason = f"means {column.field}, as “{first[column.field]}” does; keep one of them"
            yield Problem(column.header, reason, row)
        first.setdefault(column.field, column.header)


def _contact(
    row: int, cells: list[str], columns: list[Column], default_country: str | None
) -> ContactRow:
    problems = _misshapen(row, cells, columns)
    values: dict[str, str] = {}
    for column, cell in zip(columns, cells, strict=False):
        if column.dropped:
            continue
        if column.field is None:
            if cell:
                problems.append(Problem("", "a value stands in a column without a name", row))
        elif reason := _unusable_value(cell):
            problems.append(Problem(column.header, reason, row))
        elif cell:
            values[column.field] = cell[1:] if _GUARDED.match(cell) else cell
    try:
        phone = parse(values.pop(_PHONE, None), default_country)
    except PhoneError as error:
        header = next(each.header for each in columns if each.field == _PHONE)
        problems.append(Problem(header, error.reason, row))
    if problems:
        return ContactRow(row, cells, None, problems)
    first_name, last_name = values.pop(_FIRST, None), values.pop(_LAST, None)
    contact = StagedContact(row, phone, first_name, last_name, values, region_of(phone))
    return ContactRow(row, cells, contact)


def _misshapen(row: int, cells: list[str], columns: list[Column]) -> list[Problem]:
    if any(cells[len(columns) :]):
        return [Problem("", f"has {len(cells)} values for {len(columns)} columns", row)]
    return []


def _unusable_value(cell: str) -> str | None:
    if len(cell) > MAX_VALUE:
        return f"longer than {MAX_VALUE} characters"
    return "contains a control character" if _CONTROL.search(cell) else None
