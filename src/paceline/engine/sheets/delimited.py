"""CSV and TSV: rows out of text. People's files differ in delimiter and line ends, which is read as
it comes; what would have to be guessed (another encoding, an unclosed quote) is refused.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Iterator

from paceline.engine.sheets.faults import MAX_ROWS, too_long, unusable

MAX_LINE = 1 << 17
"""Bytes of one line; also about what the csv module takes as one quoted field."""
_DELIMITERS = ",;\t"


def rows(chunks: Iterable[bytes]) -> Iterator[tuple[int, list[str]]]:
    """The rows of a text, the header first, whatever is in it."""
    lines = _lines(chunks)
    header_line = next(lines, None)
    if header_line is None:
        raise unusable("is empty: the first row must name the columns", row=1)
    yield from _records(_again(header_line, lines), _delimiter_of(header_line))


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
            raise unusable(f"line {number + 1} is longer than {MAX_LINE} bytes")
    if rest:
        yield _decoded(_without_mark(rest) if first else rest, number + 1)


def _without_mark(data: bytes) -> bytes:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise unusable("is UTF-16; save it as CSV UTF-8")
    return data.removeprefix(codecs.BOM_UTF8)


def _decoded(line: bytes, number: int) -> str:
    if len(line) > MAX_LINE:
        raise unusable(f"line {number} is longer than {MAX_LINE} bytes")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise unusable(f"line {number} is not UTF-8; save the file as CSV UTF-8") from None


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
            raise unusable(f"cannot be read: {_explained(error)}", row=row) from None
        if cells is None:
            return
        if row > MAX_ROWS + 1:
            raise too_long()
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
