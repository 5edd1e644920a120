"""CSV files: any bytes are read row by row or refused whole, and what was written comes back."""

from __future__ import annotations

import csv
import io
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.domain.contact import MAX_VALUE
from paceline.domain.errors import InvalidInputError
from paceline.engine.contact_rows import ContactRow, read_contacts
from paceline.storage.imports import StagedContact

SCRAPS = [
    b"phone",
    b"first_name",
    b"+306912345678",
    b'"',
    b'""',
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r\n",
    b"\r",
    b"\0",
    b" ",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xff",
    "é\u2028\x85".encode(),
    b"x" * 1001,
]
files = st.lists(st.one_of(st.sampled_from(SCRAPS), st.binary(max_size=5)), max_size=40)
headers = st.sampled_from([b"", b"phone\n", b"phone,first_name\n", b"\xef\xbb\xbfname;tel\r\n"])


def rows_of(chunks: list[bytes]) -> list[ContactRow] | str:
    """The rows, or why there are none."""
    try:
        return list(read_contacts(chunks, "GR").rows)
    except InvalidInputError as error:
        return str(error)


@settings(max_examples=200)
@given(headers, files)
def test_any_bytes_are_read_or_refused_wherever_they_are_cut(header, chunks):
    rows = rows_of([header, *chunks])
    assert rows == rows_of([header + b"".join(chunks)])
    for row in rows if isinstance(rows, list) else []:
        if (person := row.contact) is not None:
            assert re.fullmatch(r"\+[1-9][0-9]{6,14}", person.phone)
            texts = [person.first_name, person.last_name, *person.attributes.values()]
            for text in filter(None, texts):
                assert text == text.strip()
                assert len(text) <= MAX_VALUE
                assert "\0" not in text
        else:
            assert row.problems


texts = st.text(
    st.one_of(st.sampled_from("\",;\t\n '|é🙂\u2028"), st.characters(exclude_categories=["C"])),
    max_size=20,
)


@settings(max_examples=200)
@given(
    names=st.lists(st.tuples(texts, texts), max_size=10),
    delimiter=st.sampled_from(",;\t"),
    ends=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_what_was_written_comes_back(names, delimiter, ends, quoting, mark):
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator=ends, quoting=quoting)
    phones = [f"+3069123{number:05}" for number in range(len(names))]
    writer.writerow(["phone", "first name", "note"])
    writer.writerows(
        [phone, first, note] for phone, (first, note) in zip(phones, names, strict=True)
    )
    rows = rows_of([(mark + file.getvalue()).encode()])
    assert isinstance(rows, list)
    assert [row.contact for row in rows] == [
        StagedContact(
            row,
            phone,
            arrived(first) or None,
            None,
            {"note": arrived(note)} if arrived(note) else {},
            "GR",
        )
        for row, (phone, (first, note)) in enumerate(zip(phones, names, strict=True), start=2)
    ]


def arrived(text: str) -> str:
    """Without the blanks around it, and without an apostrophe that guards a formula."""
    bare = text.strip()
    return bare[1:] if bare.startswith(("'=", "'+", "'-", "'@")) else bare
