"""The rows of a file, whatever kind it is: CSV, TSV, XLSX or ODS, told apart by their first bytes.

All are read row by row. What is in memory is one row and, of a workbook, some places in files on
disk: never the sheet.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from paceline.domain.errors import InvalidInputError
from paceline.engine.sheets import delimited, ods, xlsx
from paceline.engine.sheets.archive import Archive
from paceline.engine.sheets.faults import unusable

Row: TypeAlias = tuple[int, list[str]]
"""Its number, as a person counts it (the first one is 1), and its cells without the blanks around
them."""

_HEAD = 8
_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_STRANGE = {
    b"%PDF": "is a PDF",
    b"\x1f\x8b": "is compressed with gzip: unpack it first",
    b"{\\rtf": "is a text document (RTF)",
    b"Rar!": "is a RAR archive: unpack it first",
    b"7z\xbc\xaf": "is a 7-Zip archive: unpack it first",
    b"PK\x05\x06": "is an empty ZIP archive",
}
_SAVE_AS = "save the table as XLSX, ODS or CSV UTF-8"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


def rows_of(chunks: Iterable[bytes], sheet: str | None = None) -> Iterator[Row]:
    """Read a file.

    Args:
        chunks: the file's bytes, cut anywhere.
        sheet: of a workbook, the name of the sheet; None: the first.

    Raises:
        InvalidInputError: the file as a whole cannot be used.
    """
    head, whole = _peeked(chunks)
    if head.startswith(_ZIP):
        yield from _workbook(whole, sheet)
        return
    if head.startswith(_OLE):
        raise unusable(_ole(whole))
    for mark, what in _STRANGE.items():
        if head.startswith(mark):
            raise unusable(f"{what}; {_SAVE_AS}")
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").lower().startswith((b"<htm", b"<!do", b"<?xm", b"<tab")):
        raise unusable(f"is a web page or XML; {_SAVE_AS}")
    if sheet is not None:
        raise InvalidInputError.of("sheet", "is for workbooks; this is a text file and has none")
    yield from delimited.rows(whole)


def sheets_of(chunks: Iterable[bytes]) -> list[str]:
    """The names of a workbook's sheets, in their order; of any other file none.

    Raises:
        InvalidInputError: it is a workbook that cannot be used.
    """
    head, whole = _peeked(chunks)
    if not head.startswith(_ZIP):
        return []
    with _archive(whole) as archive:
        return _kind(archive).sheets(archive)


def _peeked(chunks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, and all of them."""
    rest = iter(chunks)
    head = b""
    for chunk in rest:
        head += chunk
        if len(head) >= _HEAD:
            break
    return head, itertools.chain([head] if head else [], rest)


def _workbook(chunks: Iterator[bytes], sheet: str | None) -> Iterator[Row]:
    with _archive(chunks) as archive:
        yield from _kind(archive).rows(archive, sheet)


@contextmanager
def _archive(chunks: Iterator[bytes]) -> Iterator[Archive]:
    with tempfile.TemporaryFile() as file:
        for chunk in chunks:
            file.write(chunk)
        with Archive(file) as archive:
            yield archive


def _kind(archive: Archive) -> type[xlsx.Workbook | ods.Workbook]:
    for each in (xlsx.Workbook, ods.Workbook):
        if each.is_in(archive):
            return each
    if archive.has("xl/workbook.bin"):
        raise unusable("is an XLSB workbook; save it as XLSX")
    raise unusable(f"is a ZIP archive, but no XLSX or ODS workbook; {_SAVE_AS}")


def _ole(chunks: Iterator[bytes]) -> str:
    """What to say of Microsoft's old container, in which protected workbooks come too."""
    before = b""
    for chunk in chunks:
        if _ENCRYPTED in before + chunk:
            return "is protected by a password; save it without one"
        before = chunk[-len(_ENCRYPTED) :]
    return "is an old XLS workbook; save it as XLSX"
