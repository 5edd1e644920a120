"""Tenants: made and changed by the operator of the installation."""

from __future__ import annotations

from typing import Any, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from paceline.api.context import AdminCaller, Ctx, Repeat
from paceline.api.pages import Cursor, Limit, Page, id_of, page_of
from paceline.api.values import (
    Id,
    Minutes,
    Moment,
    PathId,
    Permits,
    Request,
    Short,
    TimeOfDay,
    WindowMs,
)
from paceline.domain.time_of_day import read_minutes
from paceline.engine import operations
from paceline.engine.tenant_faults import MOST
from paceline.storage import idempotency, tenants

router = APIRouter(prefix="/tenants")

_SHOWN: dict[str, Any] = {
    "id": 1,
    "name": "acme",
    "timezone": "Europe/Athens",
    "sender": "ACME",
    "default_account_id": None,
    "rate_max": 20,
    "rate_window_ms": 1000,
    "daily_cap": 50000,
    "quiet_from": "21:00",
    "quiet_until": "08:00",
    "frequency_max": 3,
    "frequency_days": 7,
    "created_at": "2026-12-01T09:00:00.000Z",
}


class Limits(Request):
    """At most ``rate_max`` requests in any ``rate_window_ms``; null: the default again."""

    rate_max: Permits | None = None
    rate_window_ms: WindowMs | None = None


class TenantChanges(Limits):
    """What is left out stays; a null takes it away, or means the default again."""

    default_account_id: Id | None = None
    timezone: Short = Field(default="UTC", examples=["Europe/Athens"])
    """An IANA name: whose days the daily cap counts, among others."""
    sender: Short | None = Field(default=None, min_length=1, examples=["ACME"])
    """Who messages come from that name no sender; null: the traffic account's."""
    daily_cap: int | None = Field(
        default=None, ge=1, le=MOST["daily_cap"], strict=True, examples=[50_000]
    )
    """Messages that are sent in one day of its time zone; null: any number."""
    quiet_from: TimeOfDay | None = None
    """From when to when, by the recipient's clock, nothing is sent; null: at all times."""
    quiet_until: TimeOfDay | None = None
    frequency_max: int | None = Field(
        default=None, ge=1, le=MOST["frequency_max"], strict=True, examples=[3]
    )
    """Messages that one person gets in ``frequency_days``; null, both: any number."""
    frequency_days: int | None = Field(
        default=None, ge=1, le=MOST["frequency_days"], strict=True, examples=[7]
    )

    def columns(self) -> dict[str, Any]:
        """What was given, as the database has it."""
        given = self.model_dump(exclude_unset=True, exclude={"name"})
        for name in ("quiet_from", "quiet_until"):
            if given.get(name) is not None:
                given[name] = read_minutes(given[name])
        return given


class NewTenant(TenantChanges):
    name: Short = Field(min_length=1, max_length=100, examples=["acme"])


class Tenant(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [_SHOWN]})

    id: int
    name: str
    timezone: str
    sender: str | None
    default_account_id: int | None
    rate_max: int | None
    rate_window_ms: int | None
    daily_cap: int | None
    quiet_from: Minutes | None
    quiet_until: Minutes | None
    frequency_max: int | None
    frequency_days: int | None
    created_at: Moment

    @classmethod
    def of(cls, row: Any) -> Self:
        return cls.model_validate(row, from_attributes=True)


@router.post("", status_code=201)
async def create_tenant(
    body: NewTenant, admin: AdminCaller, context: Ctx, repeat: Repeat
) -> Tenant:
    """Make a tenant. It has no key yet: `POST /api/keys` with its `tenant_id` makes one."""
    row = await context.database.write(
        idempotency.run,
        admin.tenant_id,
        repeat.once(201, Tenant.of),
        operations.add_tenant,
        body.name,
        body.columns(),
        actor=admin.actor,
    )
    return Tenant.of(row)


@router.get("")
async def list_tenants(
    _admin: AdminCaller, context: Ctx, limit: Limit = 100, cursor: Cursor = None
) -> Page[Tenant]:
    """All tenants of the installation, the oldest first."""
    rows = await context.database.read(tenants.page, after=id_of(cursor) or 0, limit=limit + 1)
    return page_of(rows, limit, Tenant.of, lambda row: row.id)


@router.get("/{tenant_id}")
async def get_tenant(tenant_id: PathId, _admin: AdminCaller, context: Ctx) -> Tenant:
    """Show a tenant and its limits."""
    return Tenant.of(await context.database.read(tenants.get, tenant_id))


@router.patch("/{tenant_id}")
async def change_tenant(
    tenant_id: PathId, body: TenantChanges, admin: AdminCaller, context: Ctx
) -> Tenant:
    """Change a tenant. What is left out stays; a null means the default again."""
    row = await context.database.write(
        operations.change_tenant, tenant_id, body.columns(), actor=admin.actor
    )
    context.orders.wake()
    return Tenant.of(row)
