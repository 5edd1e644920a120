"""Contacts, lists, suppressions, and what people reply."""

from __future__ import annotations

from typing import Annotated, Any, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from paceline.api.context import Context, Ctx, ManageCaller, ReadCaller, Repeat, read_phone
from paceline.api.pages import Cursor, Limit, Page, id_of, page_of, phone_of
from paceline.api.values import (
    AttributeName,
    Id,
    Moment,
    PathId,
    Phone,
    QueryId,
    Request,
    Short,
    Text,
    Value,
)
from paceline.domain.contact import MAX_ATTRIBUTES
from paceline.domain.errors import InvalidInputError, Problem
from paceline.domain.keywords import Keyword
from paceline.engine import contact_changes
from paceline.storage import contacts, idempotency, lists, replies, suppressions
from paceline.storage.suppressions import Source

router = APIRouter()

_MANY = 10_000
"""Numbers or ids in one request."""


class NewContact(Request):
    phone: Phone
    first_name: Value | None = None
    last_name: Value | None = None
    attributes: dict[AttributeName, Value] = Field(default={}, max_length=MAX_ATTRIBUTES)


class ContactChanges(Request):
    """What is left out stays; a null takes a value away."""

    phone: Phone = ""
    first_name: Value | None = None
    last_name: Value | None = None
    attributes: dict[AttributeName, Value | None] = Field(default={}, max_length=2 * MAX_ATTRIBUTES)


class Contact(BaseModel):
    id: int
    phone: str
    first_name: str | None
    last_name: str | None
    attributes: dict[str, str]
    created_at: Moment
    updated_at: Moment

    @classmethod
    def of(cls, row: Any) -> Self:
        return cls.model_validate(row, from_attributes=True)


@router.post("/contacts", status_code=201)
async def create_contact(
    body: NewContact, caller: ManageCaller, context: Ctx, repeat: Repeat
) -> Contact:
    row = await context.database.write(
        idempotency.run,
        caller.tenant_id,
        repeat.once(201, Contact.of),
        contact_changes.create,
        caller.tenant_id,
        context.erased_numbers,
        phone=read_phone(context, "phone", body.phone),
        first_name=body.first_name,
        last_name=body.last_name,
        attributes=body.attributes,
    )
    return Contact.of(row)


@router.get("/contacts")
async def list_contacts(
    caller: ReadCaller,
    context: Ctx,
    phone: Annotated[str | None, Query(max_length=40)] = None,
    list_id: QueryId = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Contact]:
    after = id_of(cursor) or 0
    number = None if phone is None else read_phone(context, "phone", phone)
    if list_id is not None:
        await context.database.read(lists.get, caller.tenant_id, list_id)
    rows = await context.database.read(
        contacts.page,
        caller.tenant_id,
        after=after,
        limit=limit + 1,
        phone=number,
        list_id=list_id,
    )
    return page_of(rows, limit, Contact.of, lambda row: row.id)


@router.get("/contacts/{contact_id}")
async def get_contact(contact_id: PathId, caller: ReadCaller, context: Ctx) -> Contact:
    return Contact.of(await context.database.read(contacts.get, caller.tenant_id, contact_id))


@router.patch("/contacts/{contact_id}")
async def change_contact(
    contact_id: PathId, body: ContactChanges, caller: ManageCaller, context: Ctx
) -> Contact:
    values = body.model_dump(exclude_unset=True)
    if "phone" in values:
        values["phone"] = read_phone(context, "phone", body.phone)
    row = await context.database.write(
        contact_changes.change, caller.tenant_id, context.erased_numbers, contact_id, values
    )
    return Contact.of(row)


@router.delete("/contacts/{contact_id}", status_code=204)
async def delete_contact(contact_id: PathId, caller: ManageCaller, context: Ctx) -> None:
    await context.database.write(contacts.remove, caller.tenant_id, contact_id)


class ListName(Request):
    name: Short = Field(min_length=1)


class ContactList(BaseModel):
    id: int
    name: str
    contacts: int
    """How many contacts are on it."""
    created_at: Moment

    @classmethod
    def of(cls, row: Any) -> Self:
        return cls.model_validate(row, from_attributes=True)


class Members(Request):
    contact_ids: list[Id] = Field(min_length=1, max_length=_MANY)


class Added(BaseModel):
    added: int
    """How many were not there before."""

    @classmethod
    def of(cls, added: int) -> Self:
        return cls(added=added)


@router.post("/lists", status_code=201)
async def create_list(
    body: ListName, caller: ManageCaller, context: Ctx, repeat: Repeat
) -> ContactList:
    row = await context.database.write(
        idempotency.run,
        caller.tenant_id,
        repeat.once(201, ContactList.of),
        lists.create,
        caller.tenant_id,
        name=body.name,
    )
    return ContactList.of(row)


@router.get("/lists")
async def list_lists(
    caller: ReadCaller, context: Ctx, limit: Limit = 100, cursor: Cursor = None
) -> Page[ContactList]:
    rows = await context.database.read(
        lists.page, caller.tenant_id, after=id_of(cursor) or 0, limit=limit + 1
    )
    return page_of(rows, limit, ContactList.of, lambda row: row.id)


@router.get("/lists/{list_id}")
async def get_list(list_id: PathId, caller: ReadCaller, context: Ctx) -> ContactList:
    return ContactList.of(await context.database.read(lists.get, caller.tenant_id, list_id))


@router.patch("/lists/{list_id}")
async def rename_list(
    list_id: PathId, body: ListName, caller: ManageCaller, context: Ctx
) -> ContactList:
    row = await context.database.write(lists.rename, caller.tenant_id, list_id, name=body.name)
    return ContactList.of(row)


@router.delete("/lists/{list_id}", status_code=204)
async def delete_list(list_id: PathId, caller: ManageCaller, context: Ctx) -> None:
    await context.database.write(lists.remove, caller.tenant_id, list_id)


@router.post("/lists/{list_id}/contacts")
async def add_to_list(
    list_id: PathId, body: Members, caller: ManageCaller, context: Ctx, repeat: Repeat
) -> Added:
    added = await context.database.write(
        idempotency.run,
        caller.tenant_id,
        repeat.once(200, Added.of),
        lists.add,
        caller.tenant_id,
        list_id,
        body.contact_ids,
    )
    return Added.of(added)


@router.delete("/lists/{list_id}/contacts/{contact_id}", status_code=204)
async def take_off_list(
    list_id: PathId, contact_id: PathId, caller: ManageCaller, context: Ctx
) -> None:
    await context.database.write(lists.take_off, caller.tenant_id, list_id, contact_id)


class NewSuppressions(Request):
    phones: list[Text] = Field(min_length=1, max_length=_MANY, examples=[["+447911123457"]])
    reason: Short = Field(default="opted out", min_length=1)


class Suppression(BaseModel):
    """``source``: who brought it about; a person's START ends a ``stop`` only."""

    phone: str
    reason: str
    source: Source
    created_at: Moment

    @classmethod
    def of(cls, row: Any) -> Self:
        return cls.model_validate(row, from_attributes=True)


@router.post("/suppressions")
async def add_suppressions(
    body: NewSuppressions, caller: ManageCaller, context: Ctx, repeat: Repeat
) -> Added:
    added = await context.database.write(
        idempotency.run,
        caller.tenant_id,
        repeat.once(200, Added.of),
        suppressions.add,
        caller.tenant_id,
        _read_phones(context, body.phones),
        body.reason,
        actor=caller.actor,
    )
    return Added.of(added)


@router.get("/suppressions")
async def list_suppressions(
    caller: ReadCaller, context: Ctx, limit: Limit = 100, cursor: Cursor = None
) -> Page[Suppression]:
    rows = await context.database.read(
        suppressions.page, caller.tenant_id, after=phone_of(cursor), limit=limit + 1
    )
    return page_of(rows, limit, Suppression.of, lambda row: row.phone)


@router.delete("/suppressions/{phone}", status_code=204)
async def remove_suppression(phone: str, caller: ManageCaller, context: Ctx) -> None:
    number = read_phone(context, "phone", phone)
    await context.database.write(suppressions.remove, caller.tenant_id, number, actor=caller.actor)


class Reply(BaseModel):
    """What a person wrote: ``phone`` to ``number``. ``keyword``: what we understood by it."""

    id: int
    traffic_account_id: int
    phone: str
    number: str
    text: str
    keyword: Keyword | None
    received_at: Moment

    @classmethod
    def of(cls, row: Any) -> Self:
        return cls.model_validate(
            {**row._mapping, "traffic_account_id": row.account_id}  # noqa: SLF001 - SQLAlchemy's public name
        )


@router.get("/replies")
async def list_replies(
    caller: ReadCaller, context: Ctx, limit: Limit = 100, cursor: Cursor = None
) -> Page[Reply]:
    """Newest first."""
    rows = await context.database.read(
        replies.page, caller.tenant_id, before=id_of(cursor), limit=limit + 1
    )
    return page_of(rows, limit, Reply.of, lambda row: row.id)


def _read_phones(context: Context, written: list[str]) -> list[str]:
    """Numbers in E.164.

    Raises:
        InvalidInputError: some cannot be read, all of which are named.
    """
    numbers: list[str] = []
    problems: list[Problem] = []
    for position, each in enumerate(written):
        try:
            numbers.append(read_phone(context, f"phones[{position}]", each))
        except InvalidInputError as error:
            problems += error.problems
    if problems:
        raise InvalidInputError("Some of the numbers cannot be read.", tuple(problems))
    return numbers
