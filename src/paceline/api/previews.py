"""Before sending: what would be sent, what it costs, how long it takes, and a test."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

from paceline.api.context import Ctx, ReadCaller, Repeat, SendCaller
from paceline.api.messages import Message
from paceline.api.money import Amount, amounts_of
from paceline.api.values import Id, Moment, PathId, Phone, QueryId, Request, Text
from paceline.domain import eta, parts, plain
from paceline.domain.eta import Bound
from paceline.domain.parts import Encoding
from paceline.domain.reach import Reach, Recipient
from paceline.engine import previewing
from paceline.engine.trying import send_test

router = APIRouter(prefix="/campaigns")

_COUNTED: JsonDict = {
    "text": "Hello Ana…",
    "encoding": "ucs-2",
    "parts": 1,
    "units": 10,
    "per_part": 70,
    "units_left": 60,
    "unicode_characters": [
        {
            "character": "…",
            "name": "HORIZONTAL ELLIPSIS",
            "count": 1,
            "positions": [10],
            "replacement": "...",
        }
    ],
    "plain": {"text": "Hello Ana...", "parts": 1},
}
_RECIPIENT: JsonDict = {"contact_id": 1, "to": "+306912345678", "text": _COUNTED}
_PREVIEW: JsonDict = {
    "text": _COUNTED,
    "recipient": _RECIPIENT,
    "suppressed": False,
    "audience": {
        "recipients": 1000,
        "parts": 1040,
        "by_parts": [{"parts": 1, "recipients": 960}, {"parts": 2, "recipients": 40}],
        "unicode_recipients": 1000,
        "worst": _RECIPIENT,
        "without_value": [{"tag": "first_name", "recipients": 12}],
        "cost": [{"currency": "EUR", "amount": "44.20"}],
        "without_price": 0,
    },
    "took_ms": 15,
}


class NewPreview(Request):
    """A text before there is a campaign; no ``list_id``: for all contacts."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "Hello {{first_name|there}}!", "list_id": 3}]}
    )

    text: Text
    list_id: Id | None = None
    contact_id: Id | None = None


class NewTest(Request):
    """No ``contact_id``: with the values of the first recipient."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"to": "+306912345678"}]})

    to: Phone
    contact_id: Id | None = None


class UnicodeCharacter(BaseModel):
    """A character that the GSM alphabet lacks. ``positions``: where it stands, from 1, the first
    twenty; ``replacement`` null: nothing could stand there.
    """

    character: str
    name: str
    count: int
    positions: list[int]
    replacement: str | None


class PlainText(BaseModel):
    """The same in the GSM alphabet, in so many parts."""

    text: str
    parts: int


class CountedText(BaseModel):
    """A text and how it is sent. ``plain`` null: it is plain already, or some character has no
    replacement.
    """

    text: str
    encoding: Encoding
    parts: int
    units: int
    per_part: int
    units_left: int
    unicode_characters: list[UnicodeCharacter]
    plain: PlainText | None

    @classmethod
    def of(cls, text: str) -> Self:
        counted = parts.count(text)
        alternative = plain.plain_alternative(text)
        return cls(
            text=text,
            encoding=counted.encoding,
            parts=counted.parts,
            units=counted.units,
            per_part=counted.per_part,
            units_left=counted.units_left,
            unicode_characters=[
                UnicodeCharacter.model_validate(each, from_attributes=True)
                for each in plain.unicode_characters(text)
            ],
            plain=None
            if alternative is None
            else PlainText(text=alternative, parts=parts.count(alternative).parts),
        )


class RecipientText(BaseModel):
    """Who is sent what."""

    contact_id: int
    to: str
    text: CountedText

    @classmethod
    def of(cls, recipient: Recipient | None) -> Self | None:
        if recipient is None:
            return None
        return cls(
            contact_id=recipient.contact_id,
            to=recipient.phone,
            text=CountedText.of(recipient.text),
        )


class PartsCount(BaseModel):
    parts: int
    recipients: int


class EmptyTag(BaseModel):
    """A tag of the text, and how many people have no value for it where it has no default."""

    tag: str
    recipients: int


class Audience(BaseModel):
    """All recipients, counted one by one. ``without_price``: people to whose numbers no price
    applies; they are not in ``cost``.
    """

    recipients: int
    parts: int
    by_parts: list[PartsCount]
    unicode_recipients: int
    worst: RecipientText | None
    without_value: list[EmptyTag]
    cost: list[Amount]
    without_price: int

    @classmethod
    def of(cls, reach: Reach) -> Self:
        return cls(
            recipients=reach.recipients,
            parts=reach.parts,
            by_parts=[PartsCount(parts=n, recipients=k) for n, k in sorted(reach.by_parts.items())],
            unicode_recipients=reach.unicode,
            worst=RecipientText.of(reach.worst),
            without_value=[
                EmptyTag(tag=name, recipients=reach.without_value[name])
                for name in reach.template.fields
                if reach.without_value[name]
            ],
            cost=amounts_of(reach.cost),
            without_price=reach.cost.unpriced,
        )


class Preview(BaseModel):
    """What would be sent. ``text`` is the campaign's, with its tags; ``recipient`` the contact that
    was asked for or the first, ``suppressed`` that they would be left out. An opt-out link is shown
    with zeros for its token, which it has from its message.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_PREVIEW]})

    text: CountedText
    recipient: RecipientText | None
    suppressed: bool
    audience: Audience
    took_ms: int

    @classmethod
    def of(cls, preview: previewing.Preview) -> Self:
        return cls(
            text=CountedText.of(preview.text),
            recipient=RecipientText.of(preview.recipient),
            suppressed=preview.suppressed,
            audience=Audience.of(preview.reach),
            took_ms=preview.took_ms,
        )


class Arrival(BaseModel):
    """When the last message would be sent, an estimate: by limits, turns and what is queued on the
    account now. Retries, outages and what others start meanwhile are not in it.
    """

    duration_ms: int
    done_at: Moment
    calls: int
    calls_ahead: int
    """Of others on the account, before the last one."""
    bound_by: Bound

    @classmethod
    def of(cls, found: eta.Eta | None, at: int) -> Self | None:
        if found is None:
            return None
        return cls(
            duration_ms=found.ms,
            done_at=at + found.ms,
            calls=found.calls,
            calls_ahead=found.ahead,
            bound_by=found.bound,
        )


class Estimate(BaseModel):
    """What a campaign would cost and how long it would take if it started now. ``eta`` null: nobody
    to send to, or the traffic account is held, and ``held_why`` says why.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "recipients": 1000,
                    "parts": 1040,
                    "cost": [{"currency": "EUR", "amount": "44.20"}],
                    "without_price": 0,
                    "eta": {
                        "duration_ms": 1350,
                        "done_at": "2026-12-01T09:00:01.350Z",
                        "calls": 2,
                        "calls_ahead": 0,
                        "bound_by": "calls",
                    },
                    "held_why": None,
                    "took_ms": 12,
                }
            ]
        }
    )

    recipients: int
    parts: int
    cost: list[Amount]
    without_price: int
    eta: Arrival | None
    held_why: str | None
    took_ms: int

    @classmethod
    def of(cls, estimate: previewing.Estimate) -> Self:
        reach = estimate.reach
        return cls(
            recipients=reach.recipients,
            parts=reach.parts,
            cost=amounts_of(reach.cost),
            without_price=reach.cost.unpriced,
            eta=Arrival.of(estimate.eta, estimate.at),
            held_why=estimate.held_why,
            took_ms=estimate.took_ms,
        )


@router.post("/preview")
async def preview_text(body: NewPreview, caller: ReadCaller, context: Ctx) -> Preview:
    """Preview a text before there is a campaign: the exact text, parts and cost for everybody."""
    found = await previewing.preview_text(
        context.database,
        caller.tenant_id,
        body.text,
        context.settings,
        list_id=body.list_id,
        contact_id=body.contact_id,
    )
    return Preview.of(found)


@router.get("/{campaign_id}/preview")
async def preview_campaign(
    campaign_id: PathId,
    caller: ReadCaller,
    context: Ctx,
    contact_id: Annotated[QueryId, Query(description="Whose text to show; else the first.")] = None,
) -> Preview:
    """Preview a campaign as if it started now: the exact text, parts and cost for everybody."""
    found = await previewing.preview(context.database, caller.tenant_id, campaign_id, contact_id)
    return Preview.of(found)


@router.get("/{campaign_id}/estimate")
async def estimate_campaign(campaign_id: PathId, caller: ReadCaller, context: Ctx) -> Estimate:
    """What a draft or scheduled campaign would cost and how long it would take, starting now."""
    found = await previewing.estimate(
        context.database,
        context.orders.rules,
        caller.tenant_id,
        campaign_id,
        whole=context.whole_database,
    )
    return Estimate.of(found)


@router.post("/{campaign_id}/test", status_code=201)
async def send_test_message(
    campaign_id: PathId, body: NewTest, caller: SendCaller, context: Ctx, repeat: Repeat
) -> Message:
    """Send one message to a number of your own, as the campaign would send it.

    It is a single message: the campaign's counters have no part in it.
    """
    shown = partial(Message.of, sealer=context.sealer)
    row = await send_test(
        context.orders,
        caller.tenant_id,
        campaign_id,
        to=body.to,
        contact_id=body.contact_id,
        actor=caller.actor,
        once=repeat.once(201, shown),
    )
    return shown(row)
