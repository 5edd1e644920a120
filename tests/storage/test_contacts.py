"""Contacts and lists on both databases, where HTTP does not reach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event

from paceline.domain.errors import ConflictError
from paceline.settings import sqlalchemy_url
from paceline.storage import contacts, lists, migrate, tenants
from paceline.storage.database import Database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(sqlalchemy_url(database_url))
    migrate.upgrade(database)
    yield database
    database.close()


@pytest.fixture
def tenant(database: Database) -> int:
    tenant_id: int = database.write_now(tenants.keep, "acme").id
    return tenant_id


def test_known_attributes_are_those_that_somebody_has(database: Database, tenant: int) -> None:
    other = database.write_now(tenants.keep, "other").id
    database.write_now(
        contacts.create, tenant, phone="+306912345678", attributes={"city": "Athens"}
    )
    database.write_now(contacts.create, other, phone="+306912345678", attributes={"tier": "gold"})
    names = {"city", "tier", "first_name"}
    assert database.read_now(contacts.known_attributes, tenant, names) == {"city"}
    assert database.read_now(contacts.attribute_names, tenant) == {"city"}
    assert database.read_now(contacts.attribute_names, other) == {"tier"}


def test_a_refused_change_changes_nothing(database: Database, tenant: int) -> None:
    database.write_now(contacts.create, tenant, phone="+306912345678")
    second = database.write_now(contacts.create, tenant, phone="+306912345679", first_name="Zoe")
    changes = {"phone": "+306912345678", "first_name": "Anna"}
    with pytest.raises(ConflictError, match="already"):
        database.write_now(contacts.change, tenant, second.id, changes)
    assert database.read_now(contacts.get, tenant, second.id) == second


def test_a_deleted_contact_leaves_its_lists(database: Database, tenant: int) -> None:
    contact = database.write_now(contacts.create, tenant, phone="+306912345678")
    made = database.write_now(lists.create, tenant, name="VIP")
    database.write_now(lists.add, tenant, made.id, [contact.id])
    assert database.read_now(lists.get, tenant, made.id).contacts == 1
    database.write_now(contacts.remove, tenant, contact.id)
    assert database.read_now(lists.get, tenant, made.id).contacts == 0


def test_a_deleted_list_leaves_its_contacts(database: Database, tenant: int) -> None:
    contact = database.write_now(contacts.create, tenant, phone="+306912345678")
    made = database.write_now(lists.create, tenant, name="VIP")
    database.write_now(lists.add, tenant, made.id, [contact.id])
    database.write_now(lists.remove, tenant, made.id)
    assert database.read_now(contacts.page, tenant) == [contact]
    assert database.read_now(lists.page, tenant) == []


# --- search


def found(database: Database, tenant: int, written: str, **which: Any) -> list[str]:
    rows = database.read_now(contacts.search, tenant, written, **which)
    return [f"{row.first_name or ''} {row.last_name or ''}".strip() for row in rows]


@pytest.fixture
def people(database: Database, tenant: int) -> list[int]:
    names = [
        ("Maria", "McDonald"),
        ("MARIA", "ΠΑΠΑΣ"),
        ("Νίκος", "Παπασωτηρίου"),
        ("Anna Maria", "van der Berg"),
        (None, "100%_Real"),
        (None, None),
    ]
    return [
        database.write_now(
            contacts.create, tenant, phone=f"+3069123456{n:02}", first_name=first, last_name=last
        ).id
        for n, (first, last) in enumerate(names)
    ]


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("written", "who"),
    [
        ("mcd", ["Maria McDonald"]),
        ("MCDONALD", ["Maria McDonald"]),
        ("maria", ["Maria McDonald", "MARIA ΠΑΠΑΣ"]),
        ("maria mc", ["Maria McDonald"]),
        ("  McDonald   m ", ["Maria McDonald"]),
        ("anna maria van der berg", ["Anna Maria van der Berg"]),
        ("anna maria van", ["Anna Maria van der Berg"]),
        ("van der", ["Anna Maria van der Berg"]),
        ("παπασ", ["MARIA ΠΑΠΑΣ", "Νίκος Παπασωτηρίου"]),
        ("παπας", ["MARIA ΠΑΠΑΣ", "Νίκος Παπασωτηρίου"]),
        ("ΠΑΠΑΣ", ["MARIA ΠΑΠΑΣ", "Νίκος Παπασωτηρίου"]),
        ("νίκος παπα", ["Νίκος Παπασωτηρίου"]),
        ("100%", ["100%_Real"]),
        ("1_0", []),
        ("onald", []),
        ("", []),
        ("   ", []),
    ],
)
def test_people_are_found_by_how_their_names_begin_whatever_the_case(
    database: Database, tenant: int, written: str, who: list[str]
) -> None:
    assert sorted(found(database, tenant, written)) == sorted(who)


def test_a_search_stays_with_its_tenant_its_list_and_its_limit(
    database: Database, tenant: int, people: list[int]
) -> None:
    rival = database.write_now(tenants.keep, "rival").id
    assert found(database, rival, "maria") == []
    made = database.write_now(lists.create, tenant, name="VIP")
    database.write_now(lists.add, tenant, made.id, people[1:3])
    assert found(database, tenant, "maria", list_id=made.id) == ["MARIA ΠΑΠΑΣ"]
    assert len(found(database, tenant, "maria", limit=1)) == 1


def test_who_is_renamed_is_found_by_the_new_name(
    database: Database, tenant: int, people: list[int]
) -> None:
    database.write_now(contacts.change, tenant, people[0], {"last_name": "Ferrari"})
    assert found(database, tenant, "ferr") == ["Maria Ferrari"]
    assert found(database, tenant, "mcdonald") == []


def test_a_search_reads_an_index_and_not_the_table(database: Database, tenant: int) -> None:
    plan: list[str] = []

    def explain(connection: Connection) -> None:
        @event.listens_for(connection, "before_cursor_execute")
        def look(_c: Any, cursor: Any, statement: str, values: Any, *_: Any) -> None:
            if not plan and "contacts" in statement:
                way = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
                plan.extend(str(row) for row in cursor.execute(f"{way} {statement}", values))

        contacts.search(connection, tenant, "maria mc")

    database.read_now(explain)
    text = "\n".join(plan)
    assert "contacts_tenant_id_last_key" in text
    assert "contacts_tenant_id_first_key" in text
    assert "SCAN contacts" not in text
    assert "Seq Scan on contacts" not in text


def test_lists_to_choose_from_and_those_of_a_contact(
    database: Database, tenant: int, people: list[int]
) -> None:
    rival = database.write_now(tenants.keep, "rival").id
    b = database.write_now(lists.create, tenant, name="B")
    a = database.write_now(lists.create, tenant, name="A")
    database.write_now(lists.create, rival, name="Theirs")
    database.write_now(lists.add, tenant, b.id, people[:1])
    known = database.read_now(lists.names, tenant, limit=9)
    assert [(row.id, row.name) for row in known] == [(a.id, "A"), (b.id, "B")]
    of = database.read_now(lists.of_contact, tenant, people[0])
    assert [(row.id, row.name) for row in of] == [(b.id, "B")]
    assert database.read_now(lists.of_contact, rival, people[0]) == []
