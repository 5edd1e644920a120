"""Workbooks are ZIP archives of XML; here they are opened with suspicion.

A small archive can unpack to terabytes, and a small document can claim an endless row. So what a
member may unpack to is bounded before it is opened, and while it is read, how much may go by
without a whole row. No document type is loaded, no entity is resolved, nothing is fetched.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, Self

from lxml import etree

from paceline.engine.sheets.faults import unusable

MAX_UNPACKED = 1 << 30
"""Bytes of a member that is read row by row."""
MAX_WITHOUT_ROW = 16 << 20
"""Bytes between two rows, and of a member that is read at once."""
_SAFE: dict[str, Any] = {
    "resolve_entities": False,
    "no_network": True,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
}
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(NotImplementedError, RuntimeError, LookupError, ValueError),
)
"""What the libraries raise for archives and documents that make no sense."""


class Archive:
    """A workbook's archive.

    Raises:
        InvalidInputError: from any method: it is damaged, protected, or too much to unpack.
    """

    def __init__(self, file: IO[bytes]) -> None:
        with _damage_said():
            self._zip = zipfile.ZipFile(file)
        self._names = {name.lower(): name for name in self._zip.namelist()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def has(self, name: str) -> bool:
        return name.lower() in self._names

    def whole(self, name: str) -> bytes:
        """A small member."""
        with self._opened(name, MAX_WITHOUT_ROW) as member, _damage_said():
            return member.read(MAX_WITHOUT_ROW)

    def tree(self, name: str) -> Any:
        """A small member, which is XML; its root."""
        with _damage_said(name):
            return etree.fromstring(self.whole(name), etree.XMLParser(**_SAFE))

    def blocks(self, name: str) -> Iterator[bytes]:
        """A member's bytes, some at a time."""
        with self._opened(name, MAX_UNPACKED) as member, _damage_said(name):
            while block := member.read(1 << 20):
                yield block

    def elements(
        self, name: str, events: Sequence[str], tags: Sequence[str]
    ) -> Iterator[tuple[str, Any]]:
        """The elements of an XML member as they come; each is forgotten with all before it when
        its end has been looked at.
        """
        with self._opened(name, MAX_UNPACKED) as member, _damage_said(name):
            metered = _Metered(member)
            for event, element in etree.iterparse(metered, events=events, tag=tags, **_SAFE):
                yield event, element
                if event == "end":
                    metered.since_row = 0
                    element.clear()
                    while element.getprevious() is not None:
                        del element.getparent()[0]

    @contextmanager
    def _opened(self, name: str, most: int) -> Iterator[IO[bytes]]:
        found = self._names.get(name.lower())
        if found is None:
            raise unusable(f"is damaged: its part {name} is missing")
        info = self._zip.getinfo(found)
        if info.flag_bits & 1:
            raise unusable("is protected by a password; save it without one")
        if info.file_size > most:  # no more than it says is ever unpacked
            raise unusable(f"unpacks to more than {most >> 20} MB; cut it into several files")
        with _damage_said():
            member = self._zip.open(info)
        with member:
            yield member


class _Metered:
    """A stream that ends in an error when too much of it goes by without a row."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.since_row = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.since_row += len(data)
        if self.since_row > MAX_WITHOUT_ROW:
            raise unusable(f"has a row of more than {MAX_WITHOUT_ROW >> 20} MB")
        return data


@contextmanager
def _damage_said(part: str = "") -> Iterator[None]:
    try:
        yield
    except etree.XMLSyntaxError as error:
        raise unusable(f"is damaged: its part {part} is no XML that can be read") from error
    except _BROKEN as error:
        raise unusable("is damaged: it cannot be unpacked") from error
