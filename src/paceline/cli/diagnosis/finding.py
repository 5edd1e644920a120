"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from paceline.cli.failures import ExitCode


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """Paceline sends; something will go wrong, or is left undone."""
    FAULT = "fault"
    """It keeps Paceline, or a part of it, from sending."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    """What was looked at."""
    level: Level
    found: str
    """What is so, and where."""
    code: str = ""
    """The name of what is wrong, which programs and docs rely on; empty while it is ok."""
    mend: str = ""
    """The command or the variable that mends it."""
    exit_code: ExitCode = ExitCode.OK
    """What the doctor ends with if this is the first fault."""


def ok(check: str, found: str) -> Finding:
    return Finding(check, Level.OK, found)


def warning(check: str, code: str, found: str, mend: str) -> Finding:
    return Finding(check, Level.WARNING, found, code, mend)


def fault(
    check: str, code: str, found: str, mend: str, exit_code: ExitCode = ExitCode.FAILED
) -> Finding:
    return Finding(check, Level.FAULT, found, code, mend, exit_code)
