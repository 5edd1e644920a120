"""Errors that a person or a program can act on.

Every error carries a ``code`` that API, CLI and docs use, and says whether trying again can help.
Anything that is not a ``PacelineError`` is a bug and is never retried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in what somebody gave us: where it is and how to mend it.

    ``where`` is a field (``text``), a header or a column; ``row`` the 1-based row of a file, the
    header line being row 1.
    """

    where: str
    reason: str
    row: int | None = None


class PacelineError(Exception):
    """Base of all declared errors; the message is for the person who reads it."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    @property
    def message(self) -> str:
        return str(self)


class NotFoundError(PacelineError):
    """There is no such thing for this tenant; another tenant's things do not exist either."""

    code = "not_found"

    def __init__(self, kind: str, wanted: object) -> None:
        super().__init__(f"There is no {kind} {wanted}.")
        self.kind = kind


class ConflictError(PacelineError):
    """What is asked for does not fit the present state."""

    code = "conflict"


class WrongStateError(ConflictError):
    """A campaign was asked for something that its status does not allow."""

    code = "wrong_state"

    def __init__(self, verb: str, status: str, allowed: tuple[str, ...]) -> None:
        super().__init__(
            f"A campaign can be asked to {verb} only while it is {_either(allowed)}; "
            f"this one is {status}."
        )
        self.status = status
        self.allowed = allowed


class NotADraftError(ConflictError):
    """A campaign was to be made another one, and it is no draft any more."""

    code = "wrong_state"

    def __init__(self, status: str) -> None:
        mend = "take it off the schedule first" if status == "scheduled" else "make a new campaign"
        super().__init__(f"Only a draft can be replaced; this campaign is {status}: {mend}.")
        self.status = status


class InvalidInputError(PacelineError):
    """Something given to us cannot be used; ``problems`` names each fault and its place."""

    code = "invalid"

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems

    @classmethod
    def of(cls, where: str, reason: str) -> InvalidInputError:
        """The common case: one field, one fault."""
        return cls(f"{where}: {reason}", (Problem(where, reason),))


class SimulatorOnlyError(PacelineError):
    """A test key asked for something that could reach a person."""

    code = "simulator_only"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"This is a test key, which reaches nobody but the simulator: {what} sends with a "
            "traffic account of another provider. Use a live key for it."
        )


class EmptyAudienceError(InvalidInputError):
    """A campaign has nobody to send to; it stays as it was."""

    code = "empty_audience"


class TooLateError(ConflictError):
    """A campaign is to start after the time by which it has to; it stays as it was."""

    code = "too_late"


class ChangedSinceError(ConflictError):
    """A campaign was changed after whoever orders its start looked at it; it stays as it is."""

    code = "changed_since"


class RateLimitExceeded(PacelineError):  # noqa: N818 - the name users know it by
    """Rate limit exceeded. Will retry after backoff."""

    code = "rate_limit_exceeded"
    reason = "rate_limit_exceeded"
    retryable = True

    def __init__(self, tenant_remaining: int, traffic_account_remaining: int) -> None:
        super().__init__("Rate limit exceeded. Will retry after backoff.")
        self.tenant_remaining = tenant_remaining
        self.traffic_account_remaining = traffic_account_remaining


def _either(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
