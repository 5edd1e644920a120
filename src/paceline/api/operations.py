"""Tenants and traffic accounts: limits at run time, and what the operator says about accounts."""

from __future__ import annotations

from typing import Any, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from paceline.api.context import AdminCaller, Context, Ctx, TenantCaller
from paceline.api.pages import Page
from paceline.api.values import Id, Moment, PathId, Request, Short
from paceline.domain.errors import InvalidInputError
from paceline.domain.verdict import ServerErrorPolicy
from paceline.engine.drafts import account_for, sender_problems
from paceline.storage import accounts, tenants
from paceline.storage.database import AnyRow

router = APIRouter()

_MOST = 1_000_000
_A_DAY_MS = 86_400_000


class Limits(Request):
    """At most ``rate_max`` requests in any ``rate_window_ms``; null: the default again."""

    rate_max: int | None = Field(default=None, ge=1, le=_MOST, strict=True)
    rate_window_ms: int | None = Field(default=None, ge=1, le=_A_DAY_MS, strict=True)


class TenantChanges(Limits):
    default_account_id: Id | None = None


class AccountChanges(Limits):
    sender: Short = Field(default="", min_length=1)
    server_error: ServerErrorPolicy = ServerErrorPolicy.RETRY


class Tenant(BaseModel):
    id: int
    name: str
    default_account_id: int | None
    rate_max: int | None
    rate_window_ms: int | None
    created_at: Moment

    @classmethod
    def of(cls, row: Any) -> Self:
        return cls.model_validate(row, from_attributes=True)


class Account(BaseModel):
    """A traffic account without its key. ``closed_until``: nothing is sent before then;
    ``held_at``: nothing is sent until it is released.
    """

    id: int
    tenant_id: int | None
    """Null: shared by all tenants."""
    name: str
    provider: str
    sender: str
    rate_max: int | None
    rate_window_ms: int | None
    closed_until: Moment | None
    closed_why: str | None
    held_at: Moment | None
    held_why: str | None
    created_at: Moment

    @classmethod
    def of(cls, row: Any) -> Self:
        return cls.model_validate(row, from_attributes=True)


class OperatorsAccount(Account):
    """A traffic account as an admin sees it."""

    base_url: str
    external_id: str
    server_error: ServerErrorPolicy
    failures: int
    webhook_url: str
    """Where the provider sends receipts; whoever knows it can send some."""

    @classmethod
    def seen(cls, row: Any, context: Context) -> Self:
        start = context.settings.public_url or ""
        webhook_url = f"{start}/webhooks/{row.provider}/{row.webhook_token}/dlr"
        return cls.model_validate(
            {**row._mapping, "webhook_url": webhook_url}  # noqa: SLF001 - SQLAlchemy's public name
        )


@router.get("/tenants/{tenant_id}")
async def get_tenant(tenant_id: PathId, _admin: AdminCaller, context: Ctx) -> Tenant:
    return Tenant.of(await context.database.read(tenants.get, tenant_id))


@router.patch("/tenants/{tenant_id}")
async def change_tenant(
    tenant_id: PathId, body: TenantChanges, _admin: AdminCaller, context: Ctx
) -> Tenant:
    """What is left out stays; a null means the default again."""
    values = body.model_dump(exclude_unset=True)
    return Tenant.of(await context.database.write(_change_tenant, tenant_id, values))


@router.get("/accounts")
async def list_accounts(caller: TenantCaller, context: Ctx) -> Page[OperatorsAccount | Account]:
    """The accounts that the caller may send with, on one page; an admin sees all."""
    tenant_id = None if caller.admin else caller.tenant_id
    rows = await context.database.read(accounts.all_of, tenant_id)
    shown = [
        OperatorsAccount.seen(row, context) if caller.admin else Account.of(row) for row in rows
    ]
    return Page(data=shown, next_cursor=None)


@router.get("/accounts/{account_id}")
async def get_account(
    account_id: PathId, caller: TenantCaller, context: Ctx
) -> OperatorsAccount | Account:
    if caller.admin:
        row = await context.database.read(accounts.get, account_id)
        return OperatorsAccount.seen(row, context)
    return Account.of(await context.database.read(accounts.usable, caller.tenant_id, account_id))


@router.patch("/accounts/{account_id}")
async def change_account(
    account_id: PathId, body: AccountChanges, _admin: AdminCaller, context: Ctx
) -> OperatorsAccount:
    """What is left out stays; a null limit means the default again."""
    values = body.model_dump(exclude_unset=True)
    row = await context.database.write(_change_account, account_id, values)
    context.orders.wake()
    return OperatorsAccount.seen(row, context)


@router.post("/accounts/{account_id}/release")
async def release_account(
    account_id: PathId, _admin: AdminCaller, context: Ctx
) -> OperatorsAccount:
    """The account works again: end its hold and forget its failures."""
    row = await context.database.write(accounts.release, account_id)
    context.orders.wake()
    return OperatorsAccount.seen(row, context)


def _change_tenant(connection: Connection, tenant_id: int, values: dict[str, Any]) -> AnyRow:
    tenants.get(connection, tenant_id)
    if account_id := values.get("default_account_id"):
        _, problems = account_for(connection, tenant_id, account_id)
        if problems:
            raise InvalidInputError.of("default_account_id", problems[0].reason)
    return tenants.change(connection, tenant_id, values)


def _change_account(connection: Connection, account_id: int, values: dict[str, Any]) -> AnyRow:
    account = accounts.get(connection, account_id)
    if "sender" in values:
        problems = tuple(sender_problems(account.provider, values["sender"]))
        if problems:
            raise InvalidInputError("The account cannot be changed.", problems)
    return accounts.change(connection, account_id, values)
