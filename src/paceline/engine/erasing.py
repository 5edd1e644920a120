"""Erasing a person: in this order, what could bring them back, what was written, what was kept."""

from __future__ import annotations

import asyncio
import re

import msgspec
import phonenumbers

from paceline.engine.erased_numbers import ErasedNumbers
from paceline.storage import erasing
from paceline.storage.database import AnyRow, Database
from paceline.storage.erasing import Erased

_PAGE = 5_000
_NO_DIGIT = re.compile(r"[^0-9]+")


async def erase(
    database: Database,
    tenant_id: int,
    phone: str,
    erased_numbers: ErasedNumbers,
    *,
    actor: str,
) -> Erased:
    """Erase a person by their number (E.164). A second time there is nothing left to erase.

    Raises:
        StillSendingError: a message to them may be on its way.
    """
    digest = erased_numbers.digest(tenant_id, phone)
    contacts = await database.write(erasing.begin, tenant_id, phone, digest)
    rejects = await _rejects_with(database, tenant_id, phone)
    return await database.write(
        erasing.finish, tenant_id, phone, contacts=contacts, rejects=rejects, actor=actor
    )


async def _rejects_with(database: Database, tenant_id: int, phone: str) -> list[tuple[int, int]]:
    """Rejected rows that have the number in a cell, however it is written there."""
    digits = str(phonenumbers.parse(phone).national_number)
    found = []
    after = (0, 0)
    while page := await database.read(erasing.rejects_page, tenant_id, after=after, limit=_PAGE):
        after = (page[-1].import_id, page[-1].row)
        found += await asyncio.to_thread(_those_with, page, digits)
    return found


def _those_with(page: list[AnyRow], digits: str) -> list[tuple[int, int]]:
    return [(each.import_id, each.row) for each in page if _holds(each.cells, digits)]


def _holds(cells: str, digits: str) -> bool:
    return any(
        _NO_DIGIT.sub("", cell).endswith(digits)
        for cell in msgspec.json.decode(cells, type=list[str])
    )
