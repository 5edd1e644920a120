"""API keys: made, rotated, revoked, listed. A secret is in one answer and nowhere else."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from paceline.api.context import Context, Ctx, ManageOrAdminCaller
from paceline.api.pages import Cursor, Limit, Page, id_of, page_of
from paceline.api.values import Id, Moment, PathId, QueryId, Request, Short
from paceline.domain.errors import NotFoundError
from paceline.domain.scope import Scope
from paceline.engine import keys
from paceline.engine.keys import GRACE_S, LONGEST_GRACE_S, Giver
from paceline.engine.keys import NewKey as Description
from paceline.storage import tenants
from paceline.storage.database import Database
from paceline.storage.tenants import Caller

router = APIRouter(prefix="/keys")

_SHOWN: dict[str, Any] = {
    "id": 7,
    "tenant_id": 1,
    "name": "web shop",
    "hint": "pl_3f9a1c20",
    "scopes": ["send"],
    "test": False,
    "created_at": "2026-12-01T09:00:00.000Z",
    "expires_at": "2027-12-01T09:00:00.000Z",
    "last_used_at": None,
    "revoked_at": None,
}
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_SECRET = "pl_3f9a1c20_and-43-more-characters"  # noqa: S105 - an example


def _a_date(written: object) -> object:
    """Seconds since 1970, in digits, would be taken for a time as well."""
    if not isinstance(written, str) or not _DATE.match(written):
        raise ValueError("must be a time such as 2099-12-01T09:00:00Z (ISO 8601)")
    return written


End = Annotated[AwareDatetime, BeforeValidator(_a_date)]


class NewKey(Request):
    """``scopes`` left out: read, send and manage; of a test key, which begins with ``pt_`` and
    reaches nobody but the simulator: read and send.
    """

    name: Short = Field(min_length=1, max_length=100, examples=["web shop"])
    scopes: list[Scope] | None = Field(default=None, min_length=1, examples=[["send"]])
    expires_at: End | None = Field(default=None, examples=["2099-12-01T09:00:00Z"])
    test: bool = Field(default=False, strict=True)
    tenant_id: Id | None = None
    """Another tenant than the caller's own; for admins."""


class Rotation(Request):
    grace_s: int = Field(default=GRACE_S, ge=0, le=LONGEST_GRACE_S, strict=True, examples=[3600])
    """For how many seconds the key before goes on opening; 0: it ends at once."""


class Key(BaseModel):
    """An API key without its secret; ``hint`` is how it begins."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SHOWN]})

    id: int
    tenant_id: int
    name: str
    hint: str
    scopes: list[Scope]
    test: bool
    created_at: Moment
    expires_at: Moment | None
    """From then on it is refused."""
    last_used_at: Moment | None
    """To the minute."""
    revoked_at: Moment | None

    @classmethod
    def of(cls, row: Any) -> Self:
        return cls.model_validate(row, from_attributes=True)


class CreatedKey(Key):
    model_config = ConfigDict(json_schema_extra={"examples": [{**_SHOWN, "key": _SECRET}]})

    key: str = Field(repr=False)
    """What opens; shown only this once."""

    @classmethod
    def made(cls, made: tuple[Any, str]) -> Self:
        row, secret = made
        return cls.model_validate({**row._mapping, "key": secret})  # noqa: SLF001 - public


@router.post("", status_code=201)
async def create_key(body: NewKey, caller: ManageOrAdminCaller, context: Ctx) -> CreatedKey:
    """Make a key, with no scope that the caller lacks. It takes no idempotency key: the answer
    holds a secret, and is not kept.
    """
    tenant_id, database = whose(context, caller, body.tenant_id)
    ends = body.expires_at
    new = Description(
        name=body.name,
        scopes=body.scopes,
        expires_at=None if ends is None else round(ends.timestamp() * 1000),
        test=body.test,
    )
    return CreatedKey.made(await database.write(keys.create, tenant_id, new, giver=_giver(caller)))


TenantId = Annotated[QueryId, Field(description="Another tenant than one's own; for admins.")]


@router.get("")
async def list_keys(
    caller: ManageOrAdminCaller,
    context: Ctx,
    tenant_id: TenantId = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Key]:
    """The tenant's keys, the oldest first, those that have ended too."""
    of_tenant, database = whose(context, caller, tenant_id)
    after = id_of(cursor) or 0
    await database.read(tenants.get, of_tenant)
    rows = await database.read(tenants.key_page, of_tenant, after=after, limit=limit + 1)
    return page_of(rows, limit, Key.of, lambda row: row.id)


@router.post("/{key_id}/rotate", status_code=201)
async def rotate_key(
    key_id: PathId,
    body: Rotation,
    caller: ManageOrAdminCaller,
    context: Ctx,
    tenant_id: TenantId = None,
) -> CreatedKey:
    """Make a new key with the same name, scopes and expiry. The one before goes on for a while, so
    that whoever has it can be given the new one. It takes no idempotency key, as above.
    """
    of_tenant, database = whose(context, caller, tenant_id)
    made = await database.write(
        keys.rotate, of_tenant, key_id, grace_s=body.grace_s, giver=_giver(caller)
    )
    return CreatedKey.made(made)


@router.delete("/{key_id}", status_code=204)
async def revoke_key(
    key_id: PathId, caller: ManageOrAdminCaller, context: Ctx, tenant_id: TenantId = None
) -> None:
    """End a key; within a second it is refused."""
    of_tenant, database = whose(context, caller, tenant_id)
    await database.write(keys.revoke, of_tenant, key_id, giver=_giver(caller))


def whose(context: Context, caller: Caller, tenant_id: int | None) -> tuple[int, Database]:
    """The tenant that is asked about, and the database as it sees it.

    Raises:
        NotFoundError: it is another one, and the caller is no admin.
    """
    wanted = caller.tenant_id if tenant_id is None else tenant_id
    if wanted != caller.tenant_id and not caller.admin:
        raise NotFoundError("tenant", wanted)
    return wanted, context.database.of_tenant(wanted)


def _giver(caller: Caller) -> Giver:
    return Giver(caller.actor, caller.scopes)
