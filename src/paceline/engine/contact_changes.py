"""Contacts made and changed one by one; nobody who was erased comes back by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from paceline.engine.erased_numbers import ErasedNumbers
from paceline.storage import contacts
from paceline.storage.database import AnyRow


def create(
    connection: Connection,
    tenant_id: int,
    erased_numbers: ErasedNumbers,
    *,
    phone: str,
    first_name: str | None,
    last_name: str | None,
    attributes: Mapping[str, str],
) -> AnyRow:
    """As ``contacts.create``.

    Raises:
        ConflictError: the tenant has a contact with this number.
        InvalidInputError: its person was erased.
    """
    erased_numbers.refuse(connection, tenant_id, phone, where="phone")
    return contacts.create(
        connection,
        tenant_id,
        phone=phone,
        first_name=first_name,
        last_name=last_name,
        attributes=attributes,
    )


def change(
    connection: Connection,
    tenant_id: int,
    erased_numbers: ErasedNumbers,
    contact_id: int,
    values: Mapping[str, Any],
) -> AnyRow:
    """As ``contacts.change``.

    Raises:
        NotFoundError: this tenant has none with this id.
        ConflictError: the number is another contact's.
        InvalidInputError: its person was erased, or it would have too many attributes.
    """
    if "phone" in values:
        contacts.get(connection, tenant_id, contact_id)  # what is not there is said first
        erased_numbers.refuse(connection, tenant_id, values["phone"], where="phone")
    return contacts.change(connection, tenant_id, contact_id, values)
