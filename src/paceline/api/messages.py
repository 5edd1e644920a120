"""Messages: sent alone, and shown."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

from fastapi import APIRouter
from pydantic import BaseModel

from paceline.api.context import Ctx, ReadCaller, Repeat, SendCaller
from paceline.api.values import Id, Moment, PathId, Phone, Request, Short, Text
from paceline.domain import parts
from paceline.domain.message import Delivery, MessageStatus
from paceline.engine.rendering import exact_text
from paceline.storage import messages
from paceline.storage.doubt import Decision
from paceline.storage.sealing import Sealer

router = APIRouter(prefix="/messages")


class NewMessage(Request):
    to: Phone
    text: Text
    sender: Short | None = None
    traffic_account_id: Id | None = None
    respect_quiet_hours: bool = False
    """Wait for the end of the tenant's quiet hours; otherwise it goes at any time."""


class Verdict(Request):
    """What becomes of messages that may have been accepted."""

    action: Decision


class Decided(BaseModel):
    ok: bool
    messages: int
    """How many messages it concerned."""


class Message(BaseModel):
    id: int
    campaign_id: int | None
    to: str
    text: str
    status: MessageStatus
    reason: str | None
    error: str | None
    delivery: Delivery
    in_doubt: bool
    retry_count: int
    parts: int
    provider_message_id: str | None
    bulk_id: str | None
    created_at: Moment
    sent_at: Moment | None
    failed_at: Moment | None
    delivered_at: Moment | None

    @classmethod
    def of(cls, row: Any, sealer: Sealer) -> Self:
        """A row of ``messages.page``, with its text as it was or will be sent."""
        text = exact_text(row.text, row.merge_values, row.id, sealer=sealer)
        return cls.model_validate(
            {
                **row._mapping,  # noqa: SLF001 - SQLAlchemy's public name
                "to": row.phone,
                "text": text,
                "parts": parts.count(text).parts,
            }
        )


@router.post("", status_code=201)
async def send_message(
    body: NewMessage, caller: SendCaller, context: Ctx, repeat: Repeat
) -> Message:
    """Queue one message without a campaign."""
    shown = partial(Message.of, sealer=context.sealer)
    row = await context.orders.send(
        caller.tenant_id, **body.model_dump(), once=repeat.once(201, shown)
    )
    return shown(row)


@router.get("/{message_id}")
async def get_message(message_id: PathId, caller: ReadCaller, context: Ctx) -> Message:
    row = await context.database.read(messages.get, caller.tenant_id, message_id)
    return Message.of(row, context.sealer)


@router.post("/{message_id}/unconfirmed")
async def decide(message_id: PathId, body: Verdict, caller: SendCaller, context: Ctx) -> Decided:
    """Settle a message that has no campaign and may have been sent."""
    concerned = await context.orders.decide_single(caller.tenant_id, message_id, body.action)
    return Decided(ok=True, messages=concerned)
