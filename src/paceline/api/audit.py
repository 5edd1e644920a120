"""The audit log: who changed what, and when."""

from __future__ import annotations

from typing import Annotated, Any, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from paceline.api.context import Ctx, ManageOrAdminCaller
from paceline.api.keys import TenantId, whose
from paceline.api.pages import Cursor, Limit, Page, id_of, page_of
from paceline.api.values import Moment
from paceline.domain.scope import Scope, ScopeMissingError
from paceline.storage import audit_log, tenants

router = APIRouter(prefix="/audit")

_SHOWN: dict[str, Any] = {
    "id": 42,
    "tenant_id": 1,
    "actor": "key 7 (web shop)",
    "action": "campaign.pause",
    "subject": "campaign 12",
    "detail": {},
    "at": "2026-12-01T09:00:00.000Z",
}


class Entry(BaseModel):
    """One change. No number, text or secret is ever in it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SHOWN]})

    id: int
    tenant_id: int | None
    """Null: it concerns the installation."""
    actor: str
    """A key, somebody at the command line, a recipient, the provider, or Paceline itself."""
    action: str
    subject: str
    detail: dict[str, Any]
    at: Moment

    @classmethod
    def of(cls, row: Any) -> Self:
        return cls.model_validate(row, from_attributes=True)


@router.get("")
async def list_changes(
    caller: ManageOrAdminCaller,
    context: Ctx,
    tenant_id: TenantId = None,
    everybodys: Annotated[
        bool, Query(description="All tenants' and the installation's; for admins.")
    ] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Entry]:
    """What was changed of keys, limits, accounts, suppressions and campaigns, the newest first.
    Rows are only ever added.
    """
    before = id_of(cursor)
    of_tenant, database = whose(context, caller, tenant_id)
    await database.read(tenants.get, of_tenant)
    if everybodys and not caller.admin:
        raise ScopeMissingError([Scope.ADMIN], caller.scopes)
    wanted = None if everybodys else of_tenant
    seen = context.database if everybodys else database
    rows = await seen.read(audit_log.page, wanted, before=before, limit=limit + 1)
    return page_of(rows, limit, Entry.of, lambda row: row.id)
