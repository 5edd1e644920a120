"""A person's rights: to have what is kept about them, and to have it erased."""

from __future__ import annotations

from typing import Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from paceline.api.context import Ctx, ManageCaller, read_phone
from paceline.api.messages import Message
from paceline.api.people import Contact, Reply, Suppression
from paceline.api.values import Phone, Request
from paceline.engine.erasing import erase
from paceline.storage import person
from paceline.storage.erasing import Erased
from paceline.storage.person import Person
from paceline.storage.sealing import Sealer

router = APIRouter(prefix="/contacts", tags=["people"])


class Whom(Request):
    """A person, by their number."""

    phone: Phone


class ErasedPerson(BaseModel):
    """What there was of them. ``cancelled``: messages that will not be sent now. A second time all
    are 0.
    """

    model_config = ConfigDict(
        json_schema_extra={"example": {"contacts": 1, "messages": 3, "cancelled": 1, "replies": 2}}
    )

    contacts: int
    messages: int
    cancelled: int
    replies: int

    @classmethod
    def of(cls, erased: Erased) -> Self:
        return cls.model_validate(erased, from_attributes=True)


class OnList(BaseModel):
    id: int
    name: str


class PersonalData(BaseModel):
    """Everything that is kept about a person."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "phone": "+447911123456",
                "contact": None,
                "lists": [],
                "suppression": None,
                "messages": [],
                "replies": [],
            }
        }
    )

    phone: str
    contact: Contact | None
    lists: list[OnList]
    suppression: Suppression | None
    messages: list[Message]
    replies: list[Reply]

    @classmethod
    def of(cls, phone: str, kept: Person, sealer: Sealer) -> Self:
        return cls(
            phone=phone,
            contact=None if kept.contact is None else Contact.of(kept.contact),
            lists=[OnList(id=row.id, name=row.name) for row in kept.lists],
            suppression=None if kept.suppression is None else Suppression.of(kept.suppression),
            messages=[Message.of(row, sealer) for row in kept.messages],
            replies=[Reply.of(row) for row in kept.replies],
        )


@router.post("/erase", summary="Erase a person")
async def erase_person(body: Whom, caller: ManageCaller, context: Ctx) -> ErasedPerson:
    """Contact, texts, numbers and replies are gone, counters stay. Whoever is erased stays
    suppressed: their number is known again by its hash. 409 while a message to them may be on its
    way; the answer says when to ask again.
    """
    erased = await erase(
        context.database,
        caller.tenant_id,
        read_phone(context, "phone", body.phone),
        context.erased_numbers,
        actor=caller.actor,
    )
    return ErasedPerson.of(erased)


@router.post("/person", summary="Get everything that is kept about a person")
async def personal_data(body: Whom, caller: ManageCaller, context: Ctx) -> PersonalData:
    """By number, which is in the body so that no log has it."""
    phone = read_phone(context, "phone", body.phone)
    kept = await context.database.read(person.of, caller.tenant_id, phone)
    return PersonalData.of(phone, kept, context.sealer)
