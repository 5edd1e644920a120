"""Files of contacts in every format that can be imported, written as they are made: a million rows
take no more memory than ten. Cells are as spreadsheet programs write them: numbers as numbers, the
texts of XLSX in its table of shared texts.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias
from xml.sax.saxutils import escape

Cell: TypeAlias = str | int | float | None
Row: TypeAlias = Sequence[Cell]
Rows: TypeAlias = Iterable[Row]
HEADER = ("phone", "first_name", "last_name", "city")
_XML = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_RELATIONS = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
_ODF = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for name in ("office", "table", "text")
)
_STYLES = (
    f"<styleSheet {_MAIN}><cellXfs><xf numFmtId='0'/><xf numFmtId='14'/><xf numFmtId='22'/>"
    "</cellXfs></styleSheet>"
)
"""Style 1 shows a date, style 2 a date and a time."""


def people(rows: int) -> Iterator[Sequence[Cell]]:
    """A header and so many different people."""
    yield HEADER
    for n in range(rows):
        yield 306_900_000_000 + n, f"First{n}", f"Last{n % 5000}", f"City{n % 300}"


def write_csv(path: Path, rows: Rows, delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def write_tsv(path: Path, rows: Rows) -> None:
    write_csv(path, rows, "\t")


def write_xlsx(path: Path, rows: Rows, *, behind: str = "", sheets: Sequence[str] = ()) -> None:
    """A workbook with these rows in its first sheet.

    Args:
        path: where to.
        rows: of numbers, which can have a style, and of texts.
        behind: XML behind the rows.
        sheets: names; those after the first are empty.
    """
    names = sheets or ("People",)
    texts: dict[str, int] = {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        _write_book(archive, names)
        with archive.open("xl/worksheets/sheet1.xml", "w") as sheet:
            sheet.write(_XML + f"<worksheet {_MAIN}><sheetData>".encode())
            for number, row in enumerate(rows, start=1):
                cells = (_xlsx_cell(cell, _place(n, number), texts) for n, cell in enumerate(row))
                sheet.write(f'<row r="{number}">{"".join(cells)}</row>'.encode())
            sheet.write(f"</sheetData>{behind}</worksheet>".encode())
        for n in range(1, len(names)):
            archive.writestr(
                f"xl/worksheets/sheet{n + 1}.xml", f"<worksheet {_MAIN}><sheetData/></worksheet>"
            )
        with archive.open("xl/sharedStrings.xml", "w") as shared:
            shared.write(_XML + f"<sst {_MAIN}>".encode())
            for text in texts:
                shared.write(f"<si><t>{escape(text)}</t></si>".encode())
            shared.write(b"</sst>")


def _write_book(archive: zipfile.ZipFile, names: Sequence[str]) -> None:
    tags = (
        f'<sheet name="{escape(n)}" sheetId="{i}" r:id="r{i}"/>' for i, n in enumerate(names, 1)
    )
    parts = [("sharedStrings", "sharedStrings"), ("styles", "styles")]
    kinds = [*((f"worksheets/sheet{i}", "worksheet") for i in range(1, len(names) + 1)), *parts]
    relations = (
        f'<Relationship Id="r{i}" Type="{_OFFICE}/{kind}" Target="{target}.xml"/>'
        for i, (target, kind) in enumerate(kinds, 1)
    )
    archive.writestr(
        "xl/workbook.xml",
        f'<workbook {_MAIN} xmlns:r="{_OFFICE}"><sheets>{"".join(tags)}</sheets></workbook>',
    )
    archive.writestr(
        "xl/_rels/workbook.xml.rels",
        f"<Relationships {_RELATIONS}>{''.join(relations)}</Relationships>",
    )
    archive.writestr("xl/styles.xml", _STYLES)


def _place(column: int, row: int) -> str:
    letters = ""
    column += 1
    while column:
        column, letter = divmod(column - 1, 26)
        letters = chr(65 + letter) + letters
    return f"{letters}{row}"


def _xlsx_cell(cell: Cell, place: str, texts: dict[str, int]) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return f'<c r="{place}" t="b"><v>{int(cell)}</v></c>'
    if isinstance(cell, str):
        return f'<c r="{place}" t="s"><v>{texts.setdefault(cell, len(texts))}</v></c>'
    return f'<c r="{place}"><v>{cell}</v></c>'


def write_ods(path: Path, rows: Rows, *, sheets: Sequence[str] = ()) -> None:
    """Arguments as ``write_xlsx``."""
    first, *others = (escape(name, {'"': "&quot;"}) for name in sheets or ("People",))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(
            "mimetype", "application/vnd.oasis.opendocument.spreadsheet", zipfile.ZIP_STORED
        )
        with archive.open("content.xml", "w") as content:
            content.write(
                _XML
                + f"<office:document-content {_ODF}><office:body><office:spreadsheet>"
                f'<table:table table:name="{first}">'.encode()
            )
            for row in rows:
                cells = "".join(map(_ods_cell, row))
                content.write(f"<table:table-row>{cells}</table:table-row>".encode())
            empty = "".join(f'</table:table><table:table table:name="{name}">' for name in others)
            content.write(
                f"{empty}</table:table></office:spreadsheet></office:body>"
                "</office:document-content>".encode()
            )


def _ods_cell(cell: Cell) -> str:
    if cell is None:
        return "<table:table-cell/>"
    kind = "string" if isinstance(cell, str) else f'float" office:value="{cell}'
    shown = f"<text:p>{escape(str(cell))}</text:p>"
    return f'<table:table-cell office:value-type="{kind}">{shown}</table:table-cell>'


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    "csv": write_csv,
    "tsv": write_tsv,
    "xlsx": write_xlsx,
    "ods": write_ods,
}


def as_bytes(kind: str, rows: Rows, folder: Path) -> bytes:
    """A small file's bytes."""
    path = folder / f"made.{kind}"
    WRITERS[kind](path, rows)
    return path.read_bytes()
