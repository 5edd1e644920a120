"""Whether this process lives, and whether it can work."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from paceline.api.context import Ctx
from paceline.api.problems import NotReadyError
from paceline.domain.errors import Problem
from paceline.storage import migrate
from paceline.storage.database import DatabaseUnreachableError
from paceline.storage.migrate import SchemaState

router = APIRouter()


class Ok(BaseModel):
    ok: bool


class Ready(Ok):
    """``parts`` is what was looked at; ``worker`` only where this process has one."""

    parts: dict[str, str]


class DatabaseNotReadyError(DatabaseUnreachableError):
    """As it says, and the problem document names the part."""

    problems = (Problem("database", "It cannot be reached."),)


class PartNotReadyError(NotReadyError):
    """Another part of this process cannot work; the problem document names it."""

    def __init__(self, part: str, why: str) -> None:
        super().__init__(why)
        self.problems = (Problem(part, why),)


@router.get("/healthz")
async def alive() -> Ok:
    """The process answers."""
    return Ok(ok=True)


@router.get("/readyz")
async def ready(context: Ctx) -> Ready:
    """The database answers, its schema is ours, and the worker of this process is well."""
    try:
        found = await context.database.read(migrate.state)
    except DatabaseUnreachableError as error:
        raise DatabaseNotReadyError from error
    if found is not SchemaState.CURRENT:
        raise PartNotReadyError("schema", f"The database's schema is {found}.")
    parts = ["database", "schema"]
    if context.worker_state is not None:
        if (wrong := context.worker_state()) is not None:
            raise PartNotReadyError("worker", wrong)
        parts.append("worker")
    return Ready(ok=True, parts=dict.fromkeys(parts, "ok"))
