"""Workbooks: what a person sees in a cell arrives, and what is no workbook is refused in words."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import sheet_files
from paceline.domain.errors import InvalidInputError
from paceline.engine.contact_rows import ContactFile, read_contacts
from paceline.engine.sheets import archive, cells, rows_of
from paceline.engine.sheets.writing import csv_text
from paceline.engine.sheets.xlsx import _MERGED

HEADER = ("Mobile", "First Name", "Town")
ANNA = (306912345678, "Anna", "Athens")
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
CONTENT = (
    '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
    'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
    'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0">'
    "<office:body><office:spreadsheet>{}</office:spreadsheet></office:body>"
    "</office:document-content>"
)


def xlsx(tmp_path: Path, rows: sheet_files.Rows, **values) -> bytes:
    sheet_files.write_xlsx(tmp_path / "book.xlsx", rows, **values)
    return (tmp_path / "book.xlsx").read_bytes()


def changed(book: bytes, **parts: str) -> bytes:
    """A workbook with other parts; in their names a double underscore is a slash."""
    named = {f"{name.replace('__', '/')}.xml": text for name, text in parts.items()}
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old, zipfile.ZipFile(made, "w") as new:
        for name in {*old.namelist(), *named}:
            new.writestr(name, named.get(name) or old.read(name))
    return made.getvalue()


def ods(content: str, manifest: str = "") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as new:
        new.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        new.writestr("content.xml", CONTENT.format(content))
        if manifest:
            new.writestr("META-INF/manifest.xml", manifest)
    return made.getvalue()


def table(*rows: str, name: str = "People") -> str:
    return f'<table:table table:name="{name}">{"".join(rows)}</table:table>'


def row(*texts: str, **attributes: str) -> str:
    cells_of = "".join(
        f'<table:table-cell office:value-type="string"><text:p>{each}</text:p></table:table-cell>'
        for each in texts
    )
    said = "".join(f' table:{k.replace("_", "-")}="{v}"' for k, v in attributes.items())
    return f"<table:table-row{said}>{cells_of}</table:table-row>"


def sheet(*rows: str) -> str:
    return f'<worksheet xmlns="{MAIN}"><sheetData>{"".join(rows)}</sheetData></worksheet>'


def refused(file: bytes, **how) -> str:
    with pytest.raises(InvalidInputError) as error:
        list(rows_of([file], **how))
    return str(error.value)


def read(file: bytes, country: str | None = None, **how) -> ContactFile:
    return read_contacts([file], country, **how)


# --- what is in a cell


@pytest.mark.parametrize("kind", ["csv", "tsv", "xlsx", "ods"])
def test_the_same_people_come_out_of_every_format(tmp_path: Path, kind: str) -> None:
    people: list[sheet_files.Row] = [
        HEADER,
        ANNA,
        (None, None, None),
        ("+306912345679", "Zoë <&> “Q”", None),
    ]
    file = read(sheet_files.as_bytes(kind, people, tmp_path))
    found = [(each.number, each.contact) for each in file.rows]
    assert [number for number, _ in found] == [2, 4]
    anna, zoe = [contact for _, contact in found if contact]
    assert (anna.phone, anna.first_name, anna.attributes) == (
        "+306912345678",
        "Anna",
        {"town": "Athens"},
    )
    assert (zoe.phone, zoe.first_name, zoe.attributes) == ("+306912345679", "Zoë <&> “Q”", {})


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("447900000000.0", "447900000000"),
        ("2.1345E+11", "213450000000"),
        ("4.479E11", "447900000000"),
        ("0.10000000000000001", "0.1"),
        ("1E-7", "0.0000001"),
        ("-5", "-5"),
        ("007", "7"),
        ("1E+999999", "1E+999999"),
        ("NaN", "NaN"),
        ("x", "x"),
    ],
)
def test_a_number_is_written_out(written: str, read_as: str) -> None:
    assert cells.number(written) == read_as


@pytest.mark.parametrize(
    ("serial", "since_1904", "shown"),
    [
        ("46054", False, "2026-02-01"),
        ("44592", True, "2026-02-01"),
        ("46054.604166666664", False, "2026-02-01 14:30"),
        ("46054.00001157407", False, "2026-02-01 00:00:01"),
        ("0.75", False, "18:00"),
        ("1E+99", False, "1E+99"),
        ("-1", False, "-1"),
    ],
)
def test_a_date_is_shown_as_one(serial: str, since_1904: bool, shown: str) -> None:
    assert cells.moment(serial, since_1904=since_1904) == shown


@pytest.mark.parametrize(
    ("code", "is_date"),
    [("yyyy-mm-dd", True), ('0" days"', False), ("[Red]0.00", False), ("hh:mm", True)],
)
def test_a_number_format_is_a_dates_by_its_letters(code: str, is_date: bool) -> None:
    assert cells.is_date_format(164, code) is is_date


def test_every_kind_of_xlsx_cell_becomes_what_a_person_sees(tmp_path: Path) -> None:
    written = sheet(
        '<row r="3"><c r="A3" t="inlineStr"><is><r><t>Mo</t></r><r><t>bile</t></r></is></c>'
        '<c r="C3" t="str"><f>A1</f><v>Born_x000D_</v></c><c r="D3" t="inlineStr"><is><t>vip</t>'
        '<rPh><t>aid</t></rPh></is></c><c r="E3" t="inlineStr"><is><t>seen</t></is></c></row>',
        '<row><c><v>447900000000.0</v></c><c/><c s="1"><v>46054</v></c><c t="b"><v>1</v></c>'
        '<c t="d"><v>2026-02-01T14:30:00</v></c><c t="e"><v>#N/A</v></c></row>',
    )
    file = changed(xlsx(tmp_path, [HEADER]), xl__worksheets__sheet1=written)
    assert list(rows_of([file])) == [
        (3, ["Mobile", "", "Born", "vip", "seen"]),
        (4, ["447900000000", "", "2026-02-01", "TRUE", "2026-02-01 14:30", "#N/A"]),
    ]


def test_every_kind_of_ods_cell_becomes_what_a_person_sees() -> None:
    values = (
        '<table:table-row><table:table-cell office:value-type="float" office:value="2.1345E+11"/>'
        '<table:table-cell office:value-type="date" office:date-value="2026-02-01"/>'
        '<table:table-cell office:value-type="boolean" office:boolean-value="true"/>'
        '<table:table-cell office:value-type="percentage" office:value="0.2"><text:p>20 %</text:p>'
        "</table:table-cell><table:table-cell><text:p>a<text:s text:c='2'/>b"
        "<text:span>c</text:span></text:p><text:p>d</text:p></table:table-cell></table:table-row>"
    )
    empty = row(number_rows_repeated="5")
    tail = row(number_rows_repeated="1000000")
    file = ods(table(row("phone", "b"), empty, values, row("x", number_rows_repeated="2"), tail))
    assert list(rows_of([file])) == [
        (1, ["phone", "b"]),
        (7, ["213450000000", "2026-02-01", "TRUE", "20 %", "a  bc\nd"]),
        (8, ["x"]),
        (9, ["x"]),
    ]


# --- which sheet, which column


def test_the_first_sheet_counts_unless_another_is_named(tmp_path: Path) -> None:
    book = xlsx(tmp_path, [HEADER, ANNA], sheets=("People", "Old ones"))
    assert len(list(rows_of([book]))) == 2
    assert list(rows_of([book], "old ONES")) == []
    assert "there is no sheet “New”; the file has “People”, “Old ones”" in refused(
        book, sheet="New"
    )
    two = ods(table(row("phone")) + table(row("tel"), name="Old"))
    assert list(rows_of([two], "old")) == [(1, ["tel"])]
    assert "the file has “People”, “Old”" in refused(two, sheet="x")
    assert "is for workbooks" in refused(b"phone\n", sheet="x")


def test_a_mapping_says_what_columns_mean_and_which_are_left_out() -> None:
    file = b"Kinito,Poli,Notes,first name\n6912345678,Athens,secret,Anna\n"
    found = read(file, "GR", mapping={" kinito": "phone", "POLI": "city", "Notes": None})
    assert [(each.header, each.field) for each in found.columns] == [
        ("Kinito", "phone"),
        ("Poli", "city"),
        ("Notes", None),
        ("first name", "first_name"),
    ]
    (anna,) = [each.contact for each in found.rows if each.contact]
    assert (anna.phone, anna.attributes) == ("+306912345678", {"city": "Athens"})


def test_a_mapping_of_what_is_not_there_is_refused_with_what_is() -> None:
    with pytest.raises(InvalidInputError) as error:
        read(b"phone,city\n", mapping={"Town": "city", "city": "Zip Code"})
    assert [(each.where, each.reason) for each in error.value.problems] == [
        ("mapping", "the file has no column “Town”; it has “phone”, “city”"),
        ("mapping", "“Zip Code” cannot be a field's name: small letters a to z, digits and _"),
    ]


# --- what is refused


@pytest.mark.timeout(30)
def test_what_looks_like_merged_cells_without_end_costs_one_look(tmp_path: Path) -> None:
    endless = b"mergeCell " * 400_000
    assert _MERGED.findall(endless) == _MERGED.findall(b"<mergeCell " * 400_000) == []
    assert _MERGED.findall(b'<x:mergeCell ref="B1:C1"/>') == [(b"B", b"1", b"C", b"1")]


def test_merged_headers_are_refused_with_their_place(tmp_path: Path) -> None:
    merged = '<mergeCells count="2"><mergeCell ref="D9:E9"/><mergeCell ref="B1:C1"/></mergeCells>'
    book = xlsx(tmp_path, [("phone", "Name"), ANNA], behind=merged)
    assert "merged cells in its header (B1:C1)" in refused(book)
    below = xlsx(tmp_path, [HEADER, ANNA], behind='<mergeCell ref="A2:B2"/>')
    assert len(list(rows_of([below]))) == 2
    many = [(f"+3069{n:08}", "x" * 1_000) for n in range(5_000)]
    long = xlsx(tmp_path, [("phone", "Name"), *many], behind=merged)
    assert "merged cells in its header (B1:C1)" in refused(long), "however much is before them"
    spanned = row("phone").replace(
        "<table:table-cell", '<table:table-cell table:number-columns-spanned="2"'
    )
    assert "merged cells in its header (“phone”)" in refused(ods(table(spanned)))


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"%PDF-1.7 and so on", "is a PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"Workbook" * 9, "an old XLS workbook"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
            "protected by a password",
        ),
        (b"<html><table><tr><td>phone</td></tr></table></html>", "is a web page"),
        (b"PK\x03\x04 and no more", "is damaged"),
        (b"\x1f\x8b\x08\x00rest of it", "compressed with gzip"),
    ],
)
def test_what_is_no_table_is_refused_by_its_content(file: bytes, words: str) -> None:
    assert words in refused(file)
    assert words in refused(file, sheet="x")


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as new:
        new.writestr("word/document.xml", "<x/>")
    assert "no XLSX or ODS workbook" in refused(made.getvalue())
    assert "protected by a password" in refused(ods(table(), "<x><m:encryption-data/></x>"))
    book = xlsx(tmp_path, [HEADER, ANNA])
    assert "damaged" in refused(book[: len(book) // 2])
    assert "no XML that can be read" in refused(changed(book, xl__worksheets__sheet1="<worksheet>"))
    stray = sheet('<row r="1"><c r="A1" t="s"><v>99</v></c></row>')
    assert "a text that is not there" in refused(changed(book, xl__worksheets__sheet1=stray))


def test_a_bomb_is_refused_before_it_goes_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = xlsx(tmp_path, [HEADER, *[ANNA] * 3_000])
    monkeypatch.setattr(archive, "MAX_UNPACKED", 100_000)
    assert "unpacks to more than" in refused(book)
    monkeypatch.setattr(archive, "MAX_UNPACKED", 1 << 30)
    monkeypatch.setattr(archive, "MAX_WITHOUT_ROW", 50_000)
    long_row = sheet("<row>" + "<c><v>1</v></c>" * 10_000 + "</row>")
    assert "has a row of more than" in refused(changed(book, xl__worksheets__sheet1=long_row))


def test_no_entity_is_resolved_and_no_file_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("+306912345678")
    typed = (
        f'<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;"><!ENTITY f SYSTEM "{secret}">]>'
    )
    evil = sheet('<row><c t="inlineStr"><is><t>&f;&b;x</t></is></c></row>')
    book = changed(xlsx(tmp_path, [HEADER]), xl__worksheets__sheet1=typed + evil)
    ((_, found),) = rows_of([book])
    assert "3069" not in found[0]
    assert "aaaa" not in found[0]


@settings(max_examples=60)
@given(st.data())
def test_any_damage_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    kind = data.draw(st.sampled_from(["xlsx", "ods"]))
    folder = tmp_path_factory.mktemp("damage")
    book = bytearray(sheet_files.as_bytes(kind, [HEADER, ANNA], folder))
    for _ in range(data.draw(st.integers(1, 4))):
        book[data.draw(st.integers(0, len(book) - 1))] = data.draw(st.integers(0, 255))
    try:
        list(read(bytes(book)).rows)
    except InvalidInputError:
        return


# --- what we write


def test_what_a_spreadsheet_would_take_for_a_formula_is_guarded_and_comes_back() -> None:
    values = ["=1+1", "+306912345678", "-5", "@x", "+SUM(A1)", "O'Neil"]
    text = csv_text([["phone", *"abcdef"], ["+306912345678", *values]])
    assert text.splitlines()[1] == "+306912345678,'=1+1,+306912345678,'-5,'@x,'+SUM(A1),O'Neil"
    (back,) = [each.contact for each in read(text.encode()).rows if each.contact]
    assert list(back.attributes.values()) == values
