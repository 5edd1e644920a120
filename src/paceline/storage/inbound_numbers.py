"""Whose a reply is: the tenant that a number or sender of a shared traffic account belongs to."""

from __future__ import annotations

import re

from sqlalchemy import ColumnElement, Connection, delete, select

from paceline.domain.errors import InvalidInputError, NotFoundError
from paceline.storage import accounts
from paceline.storage.database import AnyRow, insert_new, now
from paceline.storage.schema import inbound_numbers, tenants, traffic_accounts

LONGEST = 32
_NOT_COMPARED = re.compile(r"[\s+]")


def normal(number: str) -> str:
    """A number as it is stored and compared: without spaces and ``+``, in capitals. Providers write
    the same one in several ways.
    """
    return _NOT_COMPARED.sub("", number).upper()


def whose(connection: Connection, account_id: int, number: str) -> int | None:
    """The tenant a reply to this number is for: the number's, else the account's own, else the only
    tenant there is; None: nobody knows.
    """
    mapped = connection.execute(
        select(inbound_numbers.c.tenant_id).where(
            inbound_numbers.c.account_id == account_id, inbound_numbers.c.number == normal(number)
        )
    ).scalar()
    if mapped is not None:
        return int(mapped)
    owner: int | None = connection.execute(
        select(traffic_accounts.c.tenant_id).where(traffic_accounts.c.id == account_id)
    ).scalar()
    return owner if owner is not None else _only_tenant(connection)


def _only_tenant(connection: Connection) -> int | None:
    """In an installation of one tenant everything is that one's."""
    ids = connection.execute(select(tenants.c.id).limit(2)).scalars().all()
    return ids[0] if len(ids) == 1 else None


def add(connection: Connection, account_id: int, number: str, tenant_id: int) -> AnyRow:
    """Say whose a number is; said again of another tenant, it is that one's.

    Raises:
        InvalidInputError: the number is empty or too long, or that tenant may not use the account.
        NotFoundError: there is no such account or tenant.
    """
    stored = normal(number)
    if not 0 < len(stored) <= LONGEST:
        raise InvalidInputError.of("number", f"must have 1 to {LONGEST} characters")
    account = accounts.get(connection, account_id)
    if account.tenant_id not in {None, tenant_id}:
        raise InvalidInputError.of("tenant_id", "is not the tenant that the account belongs to")
    if connection.execute(select(tenants.c.id).where(tenants.c.id == tenant_id)).first() is None:
        raise NotFoundError("tenant", tenant_id)
    connection.execute(delete(inbound_numbers).where(*_is(account_id, stored)))
    row = {"account_id": account_id, "number": stored, "tenant_id": tenant_id}
    insert_new(connection, inbound_numbers, [{**row, "created_at": now(connection)}])
    return _get(connection, account_id, stored)


def remove(connection: Connection, account_id: int, number: str) -> int:
    """Forget whose a number is; returns whose it was.

    Raises:
        NotFoundError: nobody has said whose it is.
    """
    row = _get(connection, account_id, normal(number))
    connection.execute(delete(inbound_numbers).where(*_is(account_id, row.number)))
    return int(row.tenant_id)


def of_account(connection: Connection, account_id: int) -> list[AnyRow]:
    """An account's numbers and the names of their tenants, in the order of the numbers.

    Raises:
        NotFoundError: there is no such account.
    """
    accounts.get(connection, account_id)
    return list(connection.execute(_SHOWN.where(inbound_numbers.c.account_id == account_id)).all())


def _get(connection: Connection, account_id: int, stored: str) -> AnyRow:
    row = connection.execute(_SHOWN.where(*_is(account_id, stored))).first()
    if row is None:
        raise NotFoundError("number", f"{stored} of traffic account {account_id}")
    return row


def _is(account_id: int, stored: str) -> tuple[ColumnElement[bool], ...]:
    return inbound_numbers.c.account_id == account_id, inbound_numbers.c.number == stored


_SHOWN = (
    select(inbound_numbers, tenants.c.name.label("tenant"))
    .join(tenants, tenants.c.id == inbound_numbers.c.tenant_id)
    .order_by(inbound_numbers.c.number)
)
