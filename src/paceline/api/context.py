"""What the routes are given: the caller, the orders, the database, the key of the request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Self

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPBearer
from pydantic import BaseModel

from paceline.domain import phone
from paceline.domain.errors import InvalidInputError
from paceline.domain.scope import Scope, ScopeMissingError
from paceline.engine.erased_numbers import ErasedNumbers
from paceline.engine.orders import Orders
from paceline.engine.reporting import PartsKnown
from paceline.engine.watched import Watched
from paceline.settings import Settings
from paceline.storage import idempotency
from paceline.storage.database import Database
from paceline.storage.idempotency import Once
from paceline.storage.sealing import Sealer
from paceline.storage.tenants import Caller

SCHEME = "HTTPBearer"
_DESCRIPTION = (
    "An API key of a tenant. The words beside it are scopes: the key needs one of them "
    "(read, send, manage, admin)."
)
documented_key = HTTPBearer(scheme_name=SCHEME, auto_error=False, description=_DESCRIPTION)
"""For the description of the API; ``edge.Authentication`` does the work."""


class _Needs(HTTPBearer):
    """A dependency: the caller, who must have one of these scopes."""

    def __init__(self, any_of: tuple[Scope, ...]) -> None:
        super().__init__(scheme_name=SCHEME, auto_error=False, description=_DESCRIPTION)
        self.any_of = any_of

    async def __call__(self, request: Request) -> Caller:  # type: ignore[override]
        caller: Caller = request.state.caller
        if not set(self.any_of) & set(caller.scopes):
            raise ScopeMissingError(self.any_of, caller.scopes)
        return caller


def _caller_with(*any_of: Scope) -> Any:
    return Security(_Needs(any_of), scopes=[*any_of])


ReadCaller = Annotated[Caller, _caller_with(Scope.READ)]
SendCaller = Annotated[Caller, _caller_with(Scope.SEND)]
ManageCaller = Annotated[Caller, _caller_with(Scope.MANAGE)]
AdminCaller = Annotated[Caller, _caller_with(Scope.ADMIN)]
ReadOrAdminCaller = Annotated[Caller, _caller_with(Scope.READ, Scope.ADMIN)]
ManageOrAdminCaller = Annotated[Caller, _caller_with(Scope.MANAGE, Scope.ADMIN)]
"""Whom a route is for: each guarded route names one of these, and so its scope."""


@dataclass(frozen=True, slots=True)
class Context:
    """What one application works with, at ``app.state.context``; a request has its own."""

    database: Database
    whole_database: Database
    """Where all tenants' rows are, for what depends on others and tells nothing of them; a
    request's ``database`` may show one tenant only.
    """
    settings: Settings
    sealer: Sealer
    orders: Orders
    watched: Watched
    erased_numbers: ErasedNumbers
    worker_state: Callable[[], str | None] | None
    """What is wrong with the worker of this process; None while it is well."""
    parts_known: PartsKnown = field(default_factory=PartsKnown)

    def of(self, caller: Caller) -> Self:
        """As ``caller`` may have it: orders are given in its name, and its transactions see its
        tenant's rows only, unless it is an admin and sees to all tenants.
        """
        database = self.database if caller.admin else self.database.of_tenant(caller.tenant_id)
        orders = self.orders.by(caller.actor, test=caller.test, database=database)
        return replace(self, database=database, orders=orders)


def context_of(request: Request) -> Context:
    context: Context = request.app.state.context
    caller: Caller | None = getattr(request.state, "caller", None)
    return context if caller is None else context.of(caller)


Ctx = Annotated[Context, Depends(context_of)]


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


async def repeatable(request: Request, context: Ctx, key: IdempotencyKey = None) -> Repeatable:
    """A JSON request with its key.

    Raises:
        AnsweredBefore: the request was carried out before.
        KeyReusedError: the key belongs to another request.
    """
    if key is None:
        return Repeatable(None, "")
    body = hashlib.sha256(await request.body()).hexdigest()
    return await first_of_its_key(request, context, request.state.caller, key, body)


async def first_of_its_key(
    request: Request, context: Context, caller: Caller, key: str, body_digest: str
) -> Repeatable:
    """As ``repeatable``, for a body that was digested elsewhere."""
    what = f"{request.method} {request.url.path}?{request.url.query}\n{body_digest}"
    if caller.test:
        what = f"test {what}"  # or a live key's repeat would get the answer to a test
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
