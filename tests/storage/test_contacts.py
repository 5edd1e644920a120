"""Contacts and lists on both databases, where HTTP does not reach."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
