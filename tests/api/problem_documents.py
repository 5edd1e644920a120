"""What every error of the API has to look like, whoever caused it."""

from __future__ import annotations

from collections.abc import Mapping

import pydantic

from paceline.api.problems import ProblemDocument

_SENT_WITH = {401: "www-authenticate", 405: "allow", 503: "retry-after"}
"""Status → a header without which it tells too little."""


def fault_of(status: int, headers: Mapping[str, str], body: bytes) -> str | None:
    """What is wrong with an answer from 400 on; None: nothing, or it is no error.

    Args:
        status: of the answer.
        headers: by their names in lower case.
        body: whole. The answer to a HEAD request has none, so make none.
    """
    if status < 400:
        return None
    try:
        document = ProblemDocument.model_validate_json(body, strict=True)
    except pydantic.ValidationError as error:
        return f"{status} has no problem document: {error}"
    kind = headers.get("content-type")
    needed = {"x-request-id", _SENT_WITH.get(status, "x-request-id")}
    wrong = {
        "is our fault": status >= 500,
        f"is sent as {kind}": kind != "application/problem+json",
        f"is told as {document.status}": document.status != status,
        f"is of type {document.type}": document.type != f"urn:paceline:problem:{document.code}",
        "says nothing": not (document.title and document.detail),
        f"does not come with all of {needed}": not needed <= headers.keys(),
    }
    found = [what for what, so in wrong.items() if so]
    return f"{status} {' and '.join(found)}" if found else None
