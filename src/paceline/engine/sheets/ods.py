"""ODS (OpenDocument): rows of a sheet, which stand one behind the other in one XML file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from paceline.engine.sheets import cells
from paceline.engine.sheets.archive import Archive
from paceline.engine.sheets.faults import MAX_COLUMNS, MAX_ROWS, too_long, unusable
from paceline.engine.sheets.xlsx import chosen, merged

_NAMES = "urn:oasis:names:tc:opendocument:xmlns:"
_TABLE, _OFFICE, _TEXT = (f"{{{_NAMES}{each}:1.0}}" for each in ("table", "office", "text"))
_ROW = f"{_TABLE}table-row"
_SHEET = f"{_TABLE}table"
_GROUPS = tuple(f"{_TABLE}table-{each}" for each in ("row-group", "rows", "header-rows"))
_KIND = b"application/vnd.oasis.opendocument.spreadsheet"
_MOST_BLANKS = 1_000
_CONTENT, _MANIFEST = "content.xml", "META-INF/manifest.xml"


class Workbook:
    """One ODS file."""

    @staticmethod
    def is_in(archive: Archive) -> bool:
        return archive.has("mimetype") and archive.whole("mimetype").strip().startswith(_KIND)

    @classmethod
    def rows(cls, archive: Archive, sheet: str | None) -> Iterator[tuple[int, list[str]]]:
        _refuse_protected(archive)
        last = 0
        header_seen = False
        for element in _rows_of_sheet(archive, sheet):
            row = _cells(element)
            again = _repeated(element, "rows")
            if not any(row):
                last += again
                continue
            if not header_seen:
                header_seen = True
                _refuse_merged(element, last + 1)
            for _ in range(again):
                last += 1
                if last > MAX_ROWS + 1:
                    raise too_long()
                yield last, row

    @classmethod
    def sheets(cls, archive: Archive) -> list[str]:
        """Known only when all of the file has gone by."""
        _refuse_protected(archive)
        elements = archive.elements(_CONTENT, ("start", "end"), (_SHEET, _ROW))
        return [
            element.get(f"{_TABLE}name", "")
            for event, element in elements
            if event == "start" and element.tag == _SHEET
        ]


def _rows_of_sheet(archive: Archive, sheet: str | None) -> Iterator[Any]:
    """The row elements of a sheet, which has no end but that of the element around them."""
    seen: dict[str, bool] = {}
    inside = False
    tags = (_SHEET, _ROW, *_GROUPS)
    for event, element in archive.elements(_CONTENT, ("start", "end"), tags):
        if element.tag == _ROW:
            if inside and event == "end":
                yield element
        elif element.tag == _SHEET and event == "start" and not inside:
            name = element.get(f"{_TABLE}name", "")
            seen[name] = True
            inside = sheet is None or name.casefold() == sheet.strip().casefold()
        elif element.tag == _SHEET and inside:
            return
    if not inside:
        chosen(seen, sheet)


def _refuse_protected(archive: Archive) -> None:
    manifest = archive.whole(_MANIFEST) if archive.has(_MANIFEST) else b""
    if b"encryption-data" in manifest or archive.has("encrypted-package"):
        raise unusable("is protected by a password; save it without one")


def _refuse_merged(row: Any, number: int) -> None:
    for cell in row:
        if cell.get(f"{_TABLE}number-columns-spanned", "1") != "1":
            raise merged(f"“{_text(cell)}”", number)


def _cells(row: Any) -> list[str]:
    texts: list[str] = []
    for cell in row:
        if cell.tag not in {f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"}:
            continue
        # One more than there may be: too many stay too many.
        again = min(_repeated(cell, "columns"), MAX_COLUMNS + 1 - len(texts))
        text = "" if cell.tag.endswith("covered-table-cell") else _text(cell).strip()
        texts += [text] * again
    while texts and not texts[-1]:
        texts.pop()
    return texts


def _repeated(element: Any, what: str) -> int:
    written = element.get(f"{_TABLE}number-{what}-repeated", "1")
    return max(cells.whole(written), 1)


def _text(cell: Any) -> str:
    kind = cell.get(f"{_OFFICE}value-type")
    if kind == "float":
        return cells.number(cell.get(f"{_OFFICE}value", ""))
    if kind == "date":
        return cells.iso(cell.get(f"{_OFFICE}date-value", ""))
    if kind == "boolean":
        return cells.BOOLEANS[cell.get(f"{_OFFICE}boolean-value") == "true"]
    return "\n".join(_line(each) for each in cell.iterchildren(f"{_TEXT}p"))


def _line(element: Any) -> str:
    """A paragraph, whose blanks beyond the first are elements, without the notes in it."""
    pieces = [element.text or ""]
    for each in element:
        if each.tag == f"{_TEXT}s":
            written = each.get(f"{_TEXT}c", "1")
            pieces.append(" " * min(cells.whole(written), _MOST_BLANKS))
        elif each.tag in {f"{_TEXT}tab", f"{_TEXT}line-break"}:
            pieces.append("\t" if each.tag.endswith("tab") else "\n")
        elif isinstance(each.tag, str) and each.tag.startswith(_TEXT):
            pieces.append(_line(each))
        pieces.append(each.tail or "")
    return "".join(pieces)
