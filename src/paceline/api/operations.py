"""Traffic accounts: limits at run time, and what the operator says about accounts."""

from __future__ import annotations

from typing import Annotated, Any, Self

from fastapi import APIRouter, Path
from pydantic import AfterValidator, BaseModel, Field

from paceline.api.context import AdminCaller, Context, Ctx, ReadOrAdminCaller, Repeat
from paceline.api.pages import Page
from paceline.api.tenants import Limits
from paceline.api.values import Id, Moment, PathId, Request, Short, Text
from paceline.domain.verdict import ServerErrorPolicy
from paceline.engine import operations
from paceline.engine.operations import NewAccount
from paceline.storage import accounts, idempotency, inbound_numbers
from paceline.storage.database import AnyRow

router = APIRouter()

Credential = Annotated[Text, Field(min_length=1, max_length=4000, repr=False)]
"""Only ever taken in: no answer, log or traceback shows it."""
Options = dict[Annotated[Short, Field(max_length=100)], Short | int | bool]
"""What only the account's provider knows."""


class AccountToAdd(Limits):
    name: Short = Field(min_length=1, max_length=100)
    provider: Short
    base_url: Short
    external_id: Short
    api_key: Credential
    sender: Short
    tenant_id: Id | None = None
    """The only tenant that may use it; null: all may."""
    options: Options = Field(default_factory=dict, max_length=20)
    server_error: ServerErrorPolicy | None = None
    """Null: as the provider is known for."""


class AccountChanges(Limits):
    base_url: Short = Field(default="", min_length=1)
    external_id: Short = Field(default="", min_length=1)
    api_key: Credential = ""
    sender: Short = Field(default="", min_length=1)
    options: Options = Field(default_factory=dict, max_length=20)
    """All of them; those that are left out are gone."""
    server_error: ServerErrorPolicy = ServerErrorPolicy.RETRY


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
    options: dict[str, Any]
    server_error: ServerErrorPolicy
    failures: int
    has_key: bool
    inbound_url: str
    """Where the provider sends what people reply; whoever knows it can send some."""
    webhook_url: str
    """Where it sends receipts; the same holds for it."""

    @classmethod
    def seen(cls, row: Any, context: Context) -> Self:
        webhooks = (
            f"{context.settings.public_url or ''}/webhooks/{row.provider}/{row.webhook_token}"
        )
        return cls.model_validate(
            {
                **row._mapping,  # noqa: SLF001 - SQLAlchemy's public name
                "has_key": bool(row.api_key),
                "inbound_url": f"{webhooks}/inbound",
                "webhook_url": f"{webhooks}/dlr",
            }
        )


class Number(Request):
    number: Annotated[Short, AfterValidator(str.strip)] = Field(min_length=1)
    tenant_id: Id


class InboundNumber(BaseModel):
    """Whose the replies to a number or sender are."""

    number: str
    """As it is compared: without spaces and +, in capitals."""
    tenant_id: int
    tenant: str
    created_at: Moment

    @classmethod
    def of(cls, row: Any) -> Self:
        return cls.model_validate(row, from_attributes=True)


@router.get("/accounts")
async def list_accounts(
    caller: ReadOrAdminCaller, context: Ctx
) -> Page[OperatorsAccount | Account]:
    """The accounts that the caller may send with, on one page; an admin sees all."""
    tenant_id = None if caller.admin else caller.tenant_id
    rows = await context.database.read(accounts.all_of, tenant_id)
    shown = [
        OperatorsAccount.seen(row, context) if caller.admin else Account.of(row) for row in rows
    ]
    return Page(data=shown, next_cursor=None)


@router.get("/accounts/{account_id}")
async def get_account(
    account_id: PathId, caller: ReadOrAdminCaller, context: Ctx
) -> OperatorsAccount | Account:
    if caller.admin:
        row = await context.database.read(accounts.get, account_id)
        return OperatorsAccount.seen(row, context)
    return Account.of(await context.database.read(accounts.usable, caller.tenant_id, account_id))


@router.post("/accounts", status_code=201)
async def add_account(
    body: AccountToAdd, admin: AdminCaller, context: Ctx, repeat: Repeat
) -> OperatorsAccount:
    """Add a traffic account with any provider. Its key is sealed, and shown to nobody again."""

    def shown(row: AnyRow) -> OperatorsAccount:
        return OperatorsAccount.seen(row, context)

    row = await context.database.write(
        idempotency.run,
        admin.tenant_id,
        repeat.once(201, shown),
        operations.add_account,
        NewAccount(**body.model_dump()),
        sealer=context.sealer,
        actor=admin.actor,
    )
    return shown(row)


@router.patch("/accounts/{account_id}")
async def change_account(
    account_id: PathId, body: AccountChanges, admin: AdminCaller, context: Ctx
) -> OperatorsAccount:
    """What is left out stays, the key among it; a null limit means the default again."""
    row = await context.database.write(
        operations.change_account,
        account_id,
        body.model_dump(exclude_unset=True),
        sealer=context.sealer,
        actor=admin.actor,
    )
    context.orders.wake()
    return OperatorsAccount.seen(row, context)


@router.post("/accounts/{account_id}/release")
async def release_account(account_id: PathId, admin: AdminCaller, context: Ctx) -> OperatorsAccount:
    """The account works again: end its hold and forget its failures."""
    row = await context.database.write(operations.release_account, account_id, actor=admin.actor)
    context.orders.wake()
    return OperatorsAccount.seen(row, context)


@router.get("/accounts/{account_id}/numbers")
async def list_numbers(
    account_id: PathId, _admin: AdminCaller, context: Ctx
) -> Page[InboundNumber]:
    """Whose replies are, by the number they were sent to; all on one page."""
    rows = await context.database.read(inbound_numbers.of_account, account_id)
    return Page(data=[InboundNumber.of(row) for row in rows], next_cursor=None)


@router.post("/accounts/{account_id}/numbers")
async def add_number(
    account_id: PathId, body: Number, admin: AdminCaller, context: Ctx
) -> InboundNumber:
    """Say whose the replies to a number are; said again of another tenant, they are that one's."""
    row = await context.database.write(
        operations.give_number, account_id, body.number, body.tenant_id, actor=admin.actor
    )
    return InboundNumber.of(row)


@router.delete("/accounts/{account_id}/numbers/{number}", status_code=204)
async def remove_number(
    account_id: PathId, number: Annotated[Short, Path()], admin: AdminCaller, context: Ctx
) -> None:
    await context.database.write(operations.take_number, account_id, number, actor=admin.actor)
