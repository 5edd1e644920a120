"""Webhook endpoints: where a tenant's own servers are told what happens."""

from __future__ import annotations

from typing import Any, Self

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, Field, model_validator

from paceline.api.context import Context, Ctx, ManageCaller, ReadCaller
from paceline.api.pages import Cursor, Limit, Page, id_of, page_of
from paceline.api.values import Id, Moment, PathId, Request, Text
from paceline.domain.webhook_event import WANTED_BY_DEFAULT, DeliveryStatus, EventType
from paceline.engine.endpoints import Added, Endpoints
from paceline.storage import webhook_deliveries, webhook_endpoints
from paceline.storage.tenants import Caller

router = APIRouter(prefix="/webhooks/endpoints")

_MOST_NAMES = 100
"""Types that a request names; they may repeat."""


class NewEndpoint(Request):
    """``events`` left out: all but those that come once for each message."""

    url: Text
    events: list[EventType] = Field(
        default=list(WANTED_BY_DEFAULT), min_length=1, max_length=_MOST_NAMES
    )


class EndpointChanges(Request):
    """What is left out stays."""

    url: Text = ""
    events: list[EventType] = Field(default=[], min_length=1, max_length=_MOST_NAMES)
    disabled: bool = False


class Endpoint(BaseModel):
    id: int
    url: str
    events: list[str]
    disabled_at: Moment | None
    """Nothing is delivered to it, and nothing kept for it, until it is enabled again."""
    disabled_why: str | None
    created_at: Moment

    @classmethod
    def of(cls, row: Any) -> Self:
        return cls.model_validate(row, from_attributes=True)


class CreatedEndpoint(Endpoint):
    secret: str
    """Verifies what it receives (Standard Webhooks); shown only this once."""

    @classmethod
    def added(cls, added: Added) -> Self:
        row = added.endpoint._mapping  # noqa: SLF001 - SQLAlchemy's public name
        return cls.model_validate({**row, "secret": added.secret})


class Delivery(BaseModel):
    """One event on its way to the endpoint."""

    id: int
    event_id: str
    """As the endpoint gets it, in ``webhook-id``."""
    type: str
    status: DeliveryStatus
    tries: int
    due_at: Moment | None
    """When it is tried next."""
    http_status: int | None
    error: str | None
    delivered_at: Moment | None
    created_at: Moment

    @classmethod
    def of(cls, row: Any) -> Self:
        return cls.model_validate(row, from_attributes=True)


class Queued(BaseModel):
    delivery_id: int


class ReplayWanted(Request):
    """One delivery, or those of all events since a moment that failed."""

    delivery_id: Id | None = None
    since: AwareDatetime | None = None
    delivered_too: bool = False
    """With ``since``: those that were delivered, as well."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.delivery_id is None) == (self.since is None):
            raise ValueError("give either delivery_id or since")
        return self


class Replayed(BaseModel):
    replayed: int


@router.post("", status_code=201)
async def create_endpoint(body: NewEndpoint, caller: ManageCaller, context: Ctx) -> CreatedEndpoint:
    """It takes no idempotency key: the answer holds a secret, and is not kept."""
    added = await _endpoints(context, caller).add(context.sealer, url=body.url, events=body.events)
    return CreatedEndpoint.added(added)


@router.get("")
async def list_endpoints(caller: ReadCaller, context: Ctx) -> Page[Endpoint]:
    """All of them, on one page."""
    rows = await context.database.read(webhook_endpoints.all_of, caller.tenant_id)
    return Page(data=[Endpoint.of(row) for row in rows], next_cursor=None)


@router.get("/{endpoint_id}")
async def get_endpoint(endpoint_id: PathId, caller: ReadCaller, context: Ctx) -> Endpoint:
    return Endpoint.of(
        await context.database.read(webhook_endpoints.get, caller.tenant_id, endpoint_id)
    )


@router.patch("/{endpoint_id}")
async def change_endpoint(
    endpoint_id: PathId, body: EndpointChanges, caller: ManageCaller, context: Ctx
) -> Endpoint:
    values = body.model_dump(exclude_unset=True)
    return Endpoint.of(await _endpoints(context, caller).change(endpoint_id, values))


@router.delete("/{endpoint_id}", status_code=204)
async def delete_endpoint(endpoint_id: PathId, caller: ManageCaller, context: Ctx) -> None:
    await _endpoints(context, caller).remove(endpoint_id)


@router.post("/{endpoint_id}/test", status_code=202)
async def test_endpoint(endpoint_id: PathId, caller: ManageCaller, context: Ctx) -> Queued:
    return Queued(delivery_id=await _endpoints(context, caller).test(endpoint_id))


@router.get("/{endpoint_id}/deliveries")
async def list_deliveries(
    endpoint_id: PathId,
    caller: ReadCaller,
    context: Ctx,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Delivery]:
    """The newest first."""
    rows = await context.database.read(
        webhook_deliveries.page,
        caller.tenant_id,
        endpoint_id,
        before=id_of(cursor),
        limit=limit + 1,
    )
    return page_of(rows, limit, Delivery.of, lambda row: row.id)


@router.post("/{endpoint_id}/replay", status_code=202)
async def replay(
    endpoint_id: PathId, body: ReplayWanted, caller: ManageCaller, context: Ctx
) -> Replayed:
    """Deliver again, under the ids that the events have had; as late as thirty days after."""
    endpoints = _endpoints(context, caller)
    if body.delivery_id is not None:
        return Replayed(replayed=await endpoints.replay_one(endpoint_id, body.delivery_id))
    assert body.since is not None  # noqa: S101 - for mypy: one of them is given
    since = round(body.since.timestamp() * 1000)
    return Replayed(
        replayed=await endpoints.replay_since(endpoint_id, since, delivered_too=body.delivered_too)
    )


def _endpoints(context: Context, caller: Caller) -> Endpoints:
    return Endpoints(
        context.database,
        caller.tenant_id,
        caller.actor,
        allow_private=context.settings.webhook_allow_private,
    )
