"""Imports on both databases: merged whole or not at all."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Table, func, select, text

from paceline.clock import VirtualClock
from paceline.domain.errors import InvalidInputError, NotFoundError
from paceline.engine import imports as engine
from paceline.engine.contact_rows import normal_name, read_contacts
from paceline.engine.imports import MAX_PROBLEMS, BadRowsError, import_contacts
from paceline.settings import sqlalchemy_url
from paceline.storage import contacts, idempotency, imports, lists, migrate, tenants
from paceline.storage.database import Database
from paceline.storage.first_rows import FirstRows
from paceline.storage.imports import ImportLostError, StagedContact
from paceline.storage.schema import contacts as contacts_table
from paceline.storage.schema import import_rows, list_members

ROW = StagedContact(2, "+306912345678", "Anna", None, {"city": "Athens"})


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def database(database_url: str, clock: VirtualClock) -> Iterator[Database]:
    database = Database(sqlalchemy_url(database_url), clock=clock)
    migrate.upgrade(database)
    yield database
    database.close()


@pytest.fixture
def tenant(database: Database) -> int:
    tenant_id: int = database.write_now(tenants.keep, "acme").id
    return tenant_id


def staged(database: Database) -> int:
    count = select(func.count()).select_from(import_rows)
    return database.read_now(lambda connection: connection.execute(count).scalar_one())


async def test_an_empty_cell_wipes_nothing(database: Database, tenant: int) -> None:
    await import_contacts(
        database, tenant, [b"phone,first_name,city,tier\n+306912345678,Anna,Athens,gold\n"]
    )
    result = await import_contacts(
        database, tenant, [b"phone,first_name,last_name,city\n+306912345678,,Pappas,Patras\n"]
    )
    assert (result.imported, result.updated) == (0, 1)
    (contact,) = database.read_now(contacts.page, tenant)
    assert (contact.first_name, contact.last_name) == ("Anna", "Pappas")
    assert contact.attributes == {"city": "Patras", "tier": "gold"}


async def test_many_chunks_are_merged_in_the_files_order(database: Database, tenant: int) -> None:
    numbers = [f"+306912{i:06}" for i in reversed(range(12_000))]
    result = await import_contacts(
        database, tenant, [b"phone\n", *(f"{n}\n".encode() for n in numbers)]
    )
    assert result.imported == 12_000
    first = database.read_now(contacts.page, tenant, limit=3)
    assert [each.phone for each in first] == numbers[:3]
    assert staged(database) == 0


async def test_a_file_that_breaks_off_imports_nothing(database: Database, tenant: int) -> None:
    numbers = "".join(f"+306912{i:06}\n" for i in range(6_000)).encode()
    with pytest.raises(InvalidInputError, match="line 6002 is not UTF-8"):
        await import_contacts(database, tenant, [b"phone\n", numbers, b"\xff\n"])
    assert database.read_now(contacts.page, tenant) == []
    assert staged(database) == 0


async def test_problems_are_counted_beyond_those_named(database: Database, tenant: int) -> None:
    result = await import_contacts(database, tenant, [b"phone\n", b"x\n" * 1_500])
    assert (result.invalid, len(result.errors), result.imported) == (1_500, MAX_PROBLEMS, 0)


async def test_a_number_counts_once_wherever_in_the_file_it_is_repeated(
    database: Database, tenant: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "CHUNK", 3)
    anna, bert = "+306912345678", "+306912345679"
    rows = [f"{anna},a", f"{anna},b", "x,c", "y,d", "z,e", f"{anna},f", f"{bert},g", f"{bert},h"]
    result = await import_contacts(database, tenant, ["\n".join(["phone,name", *rows]).encode()])
    assert (result.imported, result.duplicates, result.invalid) == (2, 3, 3)
    assert [(each.row, each.reason) for each in result.errors] == [
        (3, "has the same number as row 2, which counts"),
        (4, "not a number"),
        (5, "not a number"),
        (6, "not a number"),
        (7, "has the same number as row 2, which counts"),
        (9, "has the same number as row 8, which counts"),
    ]
    people = database.read_now(contacts.page, tenant)
    assert [(each.phone, each.attributes["name"]) for each in people] == [(anna, "a"), (bert, "g")]


async def test_strict_refuses_a_file_that_repeats_a_number(
    database: Database, tenant: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "CHUNK", 2)
    rows = b"+306912345678\n+306912345679\n" * 2
    with pytest.raises(BadRowsError, match="0 rows are invalid and 2 repeat a number"):
        await import_contacts(database, tenant, [b"phone\n", rows], strict=True)
    assert database.read_now(contacts.page, tenant) == []
    assert staged(database) == 0


@given(st.lists(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 3)), max_size=9), max_size=9))
def test_the_first_row_of_a_number_is_found_whatever_the_chunks(
    chunks: list[list[tuple[int, int]]],
) -> None:
    """Numbers with how many rows after the one before they are."""
    row = 0
    firsts: dict[int, int] = {}
    with FirstRows() as first_rows:
        for chunk in chunks:
            rows = [(number, row := row + step) for number, step in chunk]
            repeated = {row: firsts[n] for n, row in rows if firsts.setdefault(n, row) != row}
            assert first_rows.add(rows) == repeated


@pytest.mark.parametrize("note", ["", "x" * 1_000], ids=["short", "long"])
async def test_the_memory_of_an_import_does_not_grow_with_the_file(
    database: Database, tenant: int, monkeypatch: pytest.MonkeyPatch, note: str
) -> None:
    monkeypatch.setattr(imports, "CHUNK", 250 if not note else 5_000)
    monkeypatch.setattr(engine, "_CHUNK_TEXT", 100_000)

    async def peak(rows: int) -> int:
        file = (b"phone,note\n", *(b"+306912%06d,%b\n" % (n, note.encode()) for n in range(rows)))
        tracemalloc.start()
        try:
            await import_contacts(database, tenant, file)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few = 1_000 if not note else 250
    await peak(few)  # what is made once and kept is not the file's
    assert await peak(20 * few) < 3 * await peak(few)


async def test_every_text_arrives_as_it_stands(database: Database, tenant: int) -> None:
    texts = ["Zoë “Z”", "O'Neil", "{}", "null", "\\u0000 \\", "%(row)s :row ?", "😀", "a\nb"]
    file = io.StringIO()
    written = csv.writer(file)
    written.writerow(["phone", "first_name", "last_name", "note"])
    for n, each in enumerate(texts):
        written.writerow([f"+30691234567{n}", each, each, each])
    await import_contacts(database, tenant, [file.getvalue().encode()])
    people = database.read_now(contacts.page, tenant)
    assert [each.first_name for each in people] == texts
    assert [each.last_name for each in people] == texts
    assert [each.attributes for each in people] == [{"note": each} for each in texts]


async def test_an_unknown_list_stops_it_before_it_begins(database: Database, tenant: int) -> None:
    with pytest.raises(NotFoundError):
        await import_contacts(database, tenant, [b"phone\n+306912345678\n"], list_id=9)
    assert database.read_now(contacts.page, tenant) == []


def test_only_stale_rows_are_forgotten(
    database: Database, tenant: int, clock: VirtualClock
) -> None:
    database.write_now(imports.stage, tenant, "died", [ROW])
    clock.advance(3600)
    database.write_now(imports.stage, tenant, "running", [ROW])
    assert database.write_now(imports.forget_stale, older_than_ms=60_000) == 1
    merged = database.write_now(imports.merge, tenant, "running", expected=1, list_id=None)
    assert merged.imported == 1
    with pytest.raises(ImportLostError):
        database.write_now(imports.merge, tenant, "died", expected=1, list_id=None)


def test_answers_are_forgotten_after_a_day(
    database: Database, tenant: int, clock: VirtualClock
) -> None:
    once = idempotency.Once("k", "d", 200, str)
    assert database.write_now(idempotency.run, tenant, once, lambda _: 1) == 1
    clock.advance(23 * 3600)
    assert database.write_now(idempotency.forget_old) == 0
    with pytest.raises(idempotency.AnsweredBefore) as answer:
        database.write_now(idempotency.run, tenant, once, lambda _: 2)
    assert (answer.value.status, answer.value.body) == (200, "1")
    clock.advance(2 * 3600)
    assert database.write_now(idempotency.forget_old) == 1
    assert database.write_now(idempotency.run, tenant, once, lambda _: 3) == 3


def test_a_failed_effect_leaves_no_key(database: Database, tenant: int) -> None:
    once = idempotency.Once("k", "d", 200, str)

    def fail(_connection: Any) -> None:
        raise InvalidInputError.of("x", "y")

    with pytest.raises(InvalidInputError):
        database.write_now(idempotency.run, tenant, once, fail)
    assert database.write_now(idempotency.run, tenant, once, lambda _: 1) == 1


@given(cut=st.lists(st.integers(1, 9), max_size=40), delimiter=st.sampled_from(",;\t"))
def test_it_does_not_matter_where_the_file_is_cut(cut: list[int], delimiter: str) -> None:
    lines = ["phone,First Name,note", '+306912345678,Ζωή,"a, ""b""\nc"', "", "+306912345679,,"]
    file = ("\ufeff" + "\r\n".join(lines).replace(",", delimiter)).encode()
    chunks = []
    rest = file
    for size in cut:
        chunks.append(rest[:size])
        rest = rest[size:]
    rows = read_contacts([*chunks, rest], None).rows
    assert [row.contact for row in rows] == [
        StagedContact(2, "+306912345678", "Ζωή", None, {"note": f'a{delimiter} "b"\nc'}, "GR"),
        StagedContact(4, "+306912345679", None, None, {}, "GR"),
    ]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("First Name", "first_name"),
        (" E-Mail ", "e_mail"),
        ("Prénom", "prenom"),
        ("Όνομα", None),
        ("2nd", None),
        ("straße", None),
        ("", None),
    ],
)
def test_a_header_becomes_a_name_or_is_refused(header: str, name: str | None) -> None:
    assert normal_name(header) == name


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_after_a_large_import_postgresql_knows_how_large(
    database: Database, tenant: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would plan a campaign's launch as if its list had one contact."""
    monkeypatch.setattr(imports, "_MANY", 3)
    list_id = database.write_now(lists.create, tenant, name="all").id
    rows = b"".join(b"+3069123456%02d\n" % n for n in range(30))
    await import_contacts(database, tenant, [b"phone\n", rows], list_id=list_id)
    assert database.read_now(_rows_known_of, contacts_table) == 30
    assert database.read_now(_rows_known_of, list_members) == 30


def _rows_known_of(connection: Connection, table: Table) -> int:
    size = text("SELECT reltuples FROM pg_class WHERE relname = :name")
    return int(connection.execute(size, {"name": table.name}).scalar_one())
