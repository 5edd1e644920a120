"""Whether this process lives, and whether it can work."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from paceline.api.context import Ctx
from paceline.api.problems import NotReadyError
from paceline.storage import migrate
from paceline.storage.migrate import SchemaState

router = APIRouter()


class Ok(BaseModel):
    ok: bool


@router.get("/healthz")
async def alive() -> Ok:
    """The process answers."""
    return Ok(ok=True)


@router.get("/readyz")
async def ready(context: Ctx) -> Ok:
    """The database answers, its schema is ours, and the worker of this process is well."""
    found = await context.database.read(migrate.state)
    if found is not SchemaState.CURRENT:
        raise NotReadyError(f"The database's schema is {found}.")
    wrong = context.worker_state() if context.worker_state else None
    if wrong is not None:
        raise NotReadyError(wrong)
    return Ok(ok=True)
