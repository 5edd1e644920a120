"""XLSX (Office Open XML): rows of a sheet, its shared texts in a file on disk."""

from __future__ import annotations

import mmap
import posixpath
import re
import tempfile
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol

from paceline.domain.errors import InvalidInputError
from paceline.engine.sheets import cells
from paceline.engine.sheets.archive import Archive
from paceline.engine.sheets.faults import MAX_COLUMNS, MAX_ROWS, too_long, unusable

_BOOK = "xl/workbook.xml"
_MOST_TEXTS = 10_000_000
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_MERGED = re.compile(
    rb'<(?:\w+:)?mergeCell\s[^<>]*?ref="([A-Z]{1,3})([0-9]{1,7}):([A-Z]{1,3})([0-9]{1,7})"'
)
"""One pass over whatever comes: nothing is looked at again from a later beginning."""
_END_OF_ROWS = re.compile(rb"</(?:\w{1,40}:)?sheetData\s{0,9}>")
_LONGEST_END = 64
_MOST_MERGED = 4 << 20
"""Bytes behind the rows in which merged cells are looked for."""


class _Texts(Protocol):
    def __getitem__(self, index: int) -> str: ...


class Workbook:
    """One XLSX file."""

    @staticmethod
    def is_in(archive: Archive) -> bool:
        return archive.has(_BOOK)

    @classmethod
    def rows(cls, archive: Archive, sheet: str | None) -> Iterator[tuple[int, list[str]]]:
        book = cls(archive)
        part = book.part_of(sheet)
        with book.texts() as texts:
            header_row = 0
            for number, row in book.read(part, texts):
                if not header_row and any(row):
                    header_row = number
                    _refuse_merged(archive, part, number)
                yield number, row

    @classmethod
    def sheets(cls, archive: Archive) -> list[str]:
        return list(cls(archive).parts())

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._book = archive.tree(_BOOK)
        self._since_1904 = any(
            each.get("date1904") in {"1", "true"} for each in self._book.iter("{*}workbookPr")
        )
        self._parts = {
            each.get("Id"): (each.get("Type", "").rpartition("/")[2], _path(each.get("Target", "")))
            for each in archive.tree("xl/_rels/workbook.xml.rels").iter("{*}Relationship")
        }
        self._date_styles = self._styles()

    def part_of(self, sheet: str | None) -> str:
        """The part of the archive that holds a sheet.

        Raises:
            InvalidInputError: there is no such sheet.
        """
        part: str = chosen(self.parts(), sheet)
        return part

    def parts(self) -> dict[str, str]:
        """The parts that hold sheets, by their names."""
        found = {}
        for each in self._book.iter("{*}sheet"):
            relation = next((v for k, v in each.items() if k.endswith("}id")), "")
            kind, path = self._parts.get(relation, ("", ""))
            if kind == "worksheet":
                found[each.get("name", "")] = path
        return found

    @contextmanager
    def texts(self) -> Iterator[_Texts]:
        """The texts that cells share: most of a workbook, perhaps, so they are kept on disk."""
        part = next((path for kind, path in self._parts.values() if kind == "sharedStrings"), None)
        if part is None:
            yield []
            return
        ends = array("Q", [0])
        with tempfile.TemporaryFile() as file:
            for _, element in self._archive.elements(part, ("end",), ("{*}si",)):
                file.write(_text_of(element).encode(errors="replace"))
                ends.append(file.tell())
                if len(ends) > _MOST_TEXTS:
                    raise unusable(f"has more than {_MOST_TEXTS} different texts")
            if not ends[-1]:
                yield [""] * (len(ends) - 1)
                return
            file.flush()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as kept:
                yield _Kept(kept, ends)

    def read(self, part: str, texts: _Texts) -> Iterator[tuple[int, list[str]]]:
        """The rows that are in the file; those that are empty may not be."""
        last = 0
        tags = ("{*}row", "{*}sheetData")
        for _, element in self._archive.elements(part, ("end",), tags):
            if element.tag.endswith("}sheetData"):
                return
            written = element.get("r", "")
            number = cells.whole(written)
            last = number if number > last else last + 1
            if last > MAX_ROWS + 1:
                raise too_long()
            yield last, self._row(element, texts)

    def _row(self, element: Any, texts: _Texts) -> list[str]:
        row: list[str] = []
        for cell in element.iterchildren("{*}c"):
            place = cell.get("r")
            column = len(row) if place is None else _column(place.rstrip("0123456789")[:3])
            if text := self._text(cell, texts).strip():
                # What is far to the right is in the way wherever it is.
                column = min(column, MAX_COLUMNS)
                row += [""] * (column + 1 - len(row))
                row[column] = text
            elif place is None:
                row.append("")
        return row

    def _text(self, cell: Any, texts: _Texts) -> str:
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            return "".join(_text_of(each) for each in cell.iterchildren("{*}is"))
        value = next((each.text for each in cell.iterchildren("{*}v")), None)
        if not value:
            return ""
        if kind == "s":
            return _shared(texts, value)
        if kind == "n" and self._date_styles and cell.get("s") in self._date_styles:
            return cells.moment(value, since_1904=self._since_1904)
        return _AS_TEXT.get(kind, _unescaped)(value)

    def _styles(self) -> frozenset[str]:
        """The styles, as cells name them, that show a number as a date or a time."""
        part = next((path for kind, path in self._parts.values() if kind == "styles"), None)
        if part is None:
            return frozenset()
        tree = self._archive.tree(part)
        codes = {each.get("numFmtId"): each.get("formatCode") for each in tree.iter("{*}numFmt")}
        found = set()
        for formats in tree.iterchildren("{*}cellXfs"):
            for place, each in enumerate(formats.iterchildren("{*}xf")):
                code = each.get("numFmtId", "0")
                if cells.is_date_format(cells.whole(code), codes.get(code)):
                    found.add(str(place))
        return frozenset(found)


class _Kept:
    """Texts one behind the other in a file."""

    def __init__(self, kept: mmap.mmap, ends: array[int]) -> None:
        self._kept = kept
        self._ends = ends

    def __getitem__(self, index: int) -> str:
        return self._kept[self._ends[index] : self._ends[index + 1]].decode()


def chosen(found: dict[str, Any], sheet: str | None) -> Any:
    """What ``found`` has under the name of a sheet, in whatever case; None: the first.

    Raises:
        InvalidInputError: there is none of this name.
    """
    if not found:
        raise unusable("has no sheet with cells")
    if sheet is None:
        return next(iter(found.values()))
    for name, part in found.items():
        if name.casefold() == sheet.strip().casefold():
            return part
    names = ", ".join(f"“{name}”" for name in found)
    raise InvalidInputError.of("sheet", f"there is no sheet “{sheet}”; the file has {names}")


_AS_TEXT: dict[str, Callable[[str], str]] = {
    "n": cells.number,
    "b": lambda value: cells.BOOLEANS[value != "0"],
    "d": cells.iso,
}
"""By the type of a cell; what has none of these is text: a formula's, or the name of an error."""


def _shared(texts: _Texts, index: str) -> str:
    try:
        return texts[int(index)]
    except (ValueError, IndexError):
        raise unusable("is damaged: a cell refers to a text that is not there") from None


def _path(target: str) -> str:
    return target.lstrip("/") if target.startswith("/") else posixpath.normpath(f"xl/{target}")


def _text_of(element: Any) -> str:
    """A text in pieces of several looks, without the reading aids that it may have."""
    pieces = []
    for each in element.iterchildren("{*}t", "{*}r"):
        if each.tag.endswith("}t"):
            pieces.append(each.text or "")
        else:
            pieces += [part.text or "" for part in each.iterchildren("{*}t")]
    return _unescaped("".join(pieces))


def _unescaped(text: str) -> str:
    """``_x000D_`` and the like: characters that XML cannot hold."""
    return _ESCAPED.sub(_character, text) if "_x" in text else text


def _character(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if character.isprintable() or character.isspace() else found[0]


@lru_cache(maxsize=1024)
def _column(letters: str) -> int:
    """``A`` is 0, ``AA`` is 26; at most three letters."""
    place = 0
    for letter in letters:
        place = place * 26 + ord(letter) - 64
    return max(place - 1, 0)


def _refuse_merged(archive: Archive, part: str, header_row: int) -> None:
    """Refuse a header whose cells are merged. A sheet says so behind its rows."""
    for first, top, last, bottom in _MERGED.findall(_behind_rows(archive, part)):
        if first != last and int(top) <= header_row <= int(bottom):
            where = f"{first.decode()}{header_row}:{last.decode()}{header_row}"
            raise merged(where, header_row)


def merged(where: str, row: int) -> InvalidInputError:
    return unusable(f"has merged cells in its header ({where}): give each column its own name", row)


def _behind_rows(archive: Archive, part: str) -> bytes:
    behind: bytes | None = None
    before = b""
    for block in archive.blocks(part):
        if behind is not None:
            behind += block
        elif (end := _END_OF_ROWS.search(joined := before + block)) is not None:
            behind = joined[end.end() :]
        if behind is not None and len(behind) > _MOST_MERGED:
            break
        before = (before + block)[-_LONGEST_END:]
    return behind or b""
