"""What the routes are given: the caller, the orders, the database, the key of the request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from paceline.api.readings import Readings
from paceline.domain import phone
from paceline.domain.errors import InvalidInputError
from paceline.engine.orders import Orders
from paceline.engine.reporting import PartsKnown
from paceline.settings import Settings
from paceline.storage import idempotency
from paceline.storage.database import Database
from paceline.storage.idempotency import Once
from paceline.storage.sealing import Sealer
from paceline.storage.tenants import Caller

documented_key = HTTPBearer(auto_error=False, description="An API key of a tenant.")
"""For the description of the API; ``edge.Authentication`` does the work."""


@dataclass(frozen=True, slots=True)
class Context:
    """What one application works with, at ``app.state.context``."""

    database: Database
    settings: Settings
    sealer: Sealer
    orders: Orders
    statuses: Readings[tuple[int, int], bytes]
    """Tenant's and campaign's id → the status document."""
    worker_state: Callable[[], str | None] | None
    """What is wrong with the worker of this process; None while it is well."""
    parts_known: PartsKnown = field(default_factory=PartsKnown)


def context_of(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


def caller_of(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


def admin_of(request: Request) -> Caller:
    """The caller, who must be an admin."""
    caller = caller_of(request)
    if not caller.admin:
        raise HTTPException(403, "This needs an admin key.")
    return caller


Ctx = Annotated[Context, Depends(context_of)]
TenantCaller = Annotated[Caller, Depends(caller_of)]
AdminCaller = Annotated[Caller, Depends(admin_of)]


@dataclass(frozen=True, slots=True)
class Repeatable:
    """A request that may come with an idempotency key."""

    key: str | None
    digest: str

    def once(self, status: int, answer: Callable[[Any], BaseModel]) -> Once | None:
        """How an effect is had once; None without a key: each time anew.

        Args:
            status: of the answer.
            answer: makes the answer's body from what the effect returns.
        """
        if self.key is None:
            return None
        return Once(self.key, self.digest, status, lambda result: answer(result).model_dump_json())


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,255}$",
        description="A request that is repeated under its key is carried out once; the repeat gets "
        "the first answer, for a day.",
    ),
]


async def repeatable(
    request: Request, context: Ctx, caller: TenantCaller, key: IdempotencyKey = None
) -> Repeatable:
    """A JSON request with its key.

    Raises:
        AnsweredBefore: the request was carried out before.
        KeyReusedError: the key belongs to another request.
    """
    if key is None:
        return Repeatable(None, "")
    body = hashlib.sha256(await request.body()).hexdigest()
    return await first_of_its_key(request, context, caller, key, body)


async def first_of_its_key(
    request: Request, context: Context, caller: Caller, key: str, body_digest: str
) -> Repeatable:
    """As ``repeatable``, for a body that was digested elsewhere."""
    what = f"{request.method} {request.url.path}?{request.url.query}\n{body_digest}"
    digest = hashlib.sha256(what.encode()).hexdigest()
    await context.database.read(idempotency.find, caller.tenant_id, key, digest)
    return Repeatable(key, digest)


Repeat = Annotated[Repeatable, Depends(repeatable)]


def read_phone(context: Context, field: str, written: str) -> str:
    """A number in E.164.

    Raises:
        InvalidInputError: it cannot be read.
    """
    try:
        return phone.parse(written, context.settings.default_country)
    except phone.PhoneError as error:
        raise InvalidInputError.of(field, error.reason) from None
