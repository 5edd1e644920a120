"""Errors as the API shows them: problem documents (RFC 9457), always, and nothing internal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Mount

from paceline.domain.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PacelineError,
    Problem,
    SimulatorOnlyError,
)
from paceline.domain.scope import ScopeMissingError
from paceline.storage.database import DatabaseUnreachableError
from paceline.storage.idempotency import AnsweredBefore
from paceline.storage.imports import ImportLostError
from paceline.storage.migrate import SchemaError

RETRY_AFTER_S = 1
_STATUS: dict[type[PacelineError], HTTPStatus] = {
    NotFoundError: HTTPStatus.NOT_FOUND,
    ScopeMissingError: HTTPStatus.FORBIDDEN,
    SimulatorOnlyError: HTTPStatus.FORBIDDEN,
    ConflictError: HTTPStatus.CONFLICT,
    InvalidInputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    DatabaseUnreachableError: HTTPStatus.SERVICE_UNAVAILABLE,
    SchemaError: HTTPStatus.SERVICE_UNAVAILABLE,
    ImportLostError: HTTPStatus.SERVICE_UNAVAILABLE,
}
_WHERE = {"body", "query", "path", "header"}


class Fault(BaseModel):
    """One fault: in a field of the request, or in a row and column of a file."""

    field: str | None = None
    row: int | None = None
    column: str | None = None
    reason: str


class ProblemDocument(BaseModel):
    """What every answer from 400 on carries, as ``application/problem+json``."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[Fault] = []


_SCHEMA = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
SCHEMAS = {**_SCHEMA.pop("$defs"), "ProblemDocument": _SCHEMA}
"""For the components of the API's description, where ``DESCRIBED`` refers to them."""
DESCRIBED: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem document (RFC 9457).",
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
        },
    }
}
"""Among the responses of every route."""


class NotReadyError(PacelineError):
    """This process cannot do its work."""

    code = "not_ready"
    retryable = True


_STATUS[NotReadyError] = HTTPStatus.SERVICE_UNAVAILABLE


def fault(problem: Problem) -> Fault:
    """A problem by field, or by row and column when it is a file's."""
    if problem.row is None:
        return Fault(field=problem.where, reason=problem.reason)
    return Fault(row=problem.row, column=problem.where or None, reason=problem.reason)


def problem_response(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Iterable[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem document."""
    document = ProblemDocument(
        type=f"urn:paceline:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=int(status),
        detail=detail,
        code=code,
        errors=list(errors),
    )
    return JSONResponse(
        {
            **document.model_dump(exclude={"errors"}),
            "errors": [each.model_dump(exclude_none=True) for each in document.errors],
        },
        int(status),
        headers=headers,
        media_type="application/problem+json",
    )


def response_to(error: PacelineError) -> Response:
    """The answer that a declared error deserves."""
    status = next(
        (_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )
    unavailable = status == HTTPStatus.SERVICE_UNAVAILABLE
    return problem_response(
        status,
        error.code,
        # A driver's words may name hosts and files.
        "The database cannot be reached."
        if isinstance(error, DatabaseUnreachableError)
        else error.message,
        errors=[fault(each) for each in getattr(error, "problems", ())],
        headers={"Retry-After": str(RETRY_AFTER_S)} if unavailable else None,
    )


def internal_error() -> Response:
    """The answer to a bug: that it is one, and nothing else."""
    return problem_response(500, "internal_error", "Something went wrong on our side.")


def install(app: FastAPI) -> None:
    """Make an application answer every error with a problem document."""
    app.add_exception_handler(PacelineError, _declared)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(AnsweredBefore, _answered_before)


async def _declared(_request: Request, error: Exception) -> Response:
    assert isinstance(error, PacelineError)  # noqa: S101 - as installed
    return response_to(error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as installed
    status = HTTPStatus(error.status_code)
    detail = _DETAILS.get(status, "{detail}").format(detail=error.detail, method=request.method)
    headers = error.headers
    if status == HTTPStatus.METHOD_NOT_ALLOWED and (methods := _methods_at(request)):
        headers = {"Allow": ", ".join(methods)}
    return problem_response(status, status.name.lower(), detail, headers=headers)


def _methods_at(request: Request) -> list[str]:
    """The methods of all routes at an address; the framework names those of the first one.

    None at a mounted application, which knows its own.
    """
    routes = [route for route in request.app.router.routes if not isinstance(route, Mount)]

    def answers(method: str) -> bool:
        asked = {**request.scope, "method": method}
        return any(route.matches(asked)[0] is Match.FULL for route in routes)

    return list(filter(answers, _METHODS))


_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
_DETAILS = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not answer {method}.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
}


async def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as installed
    found = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return problem_response(400, "malformed_json", "The body is not JSON.")
    if _sent_no_json(request, found):
        return problem_response(
            415, "unsupported_media_type", "Send JSON, with Content-Type: application/json."
        )
    faults = [Fault(field=_field(each["loc"]), reason=_reason(each)) for each in found]
    return problem_response(422, "invalid", "The request cannot be used.", errors=faults)


def _sent_no_json(request: Request, found: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a body came that was not even tried as JSON, for want of its content type."""
    whole_body = any(each["loc"] == ("body",) and each["type"] != "missing" for each in found)
    return whole_body and "json" not in request.headers.get("content-type", "")


def _field(where: tuple[int | str, ...]) -> str:
    """``("body", "phones", 0)`` as ``phones[0]``."""
    name = ""
    for step in where[1:] if where and where[0] in _WHERE else where:
        name += f"[{step}]" if isinstance(step, int) else f".{step}" if name else step
    # A name out of the request may be half of a surrogate pair, which is no UTF-8.
    return name.encode(errors="replace").decode() or "body"


def _reason(found: Mapping[str, Any]) -> str:
    text = str(found["msg"])
    return text.removeprefix("Value error, ").replace("Input should be", "must be")


async def _answered_before(_request: Request, answer: Exception) -> Response:
    assert isinstance(answer, AnsweredBefore)  # noqa: S101 - as installed
    return Response(
        answer.body,
        answer.status,
        headers={"Idempotency-Replayed": "true"},
        media_type="application/json",
    )
