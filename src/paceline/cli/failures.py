"""What a command ends with: its exit status, and one clear line for an error."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import typer

from paceline.domain.errors import InvalidInputError, PacelineError
from paceline.settings import SettingsError


class ExitCode(IntEnum):
    """The exit statuses, as scripts may rely on them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIGURATION = 3
    UNREACHABLE = 4
    NOT_FOUND_OR_CONFLICT = 5
    PARTIAL = 6


class UnreachableError(PacelineError):
    """Something that we need to talk to does not answer."""

    code = "unreachable"


_INTERRUPTED = 130
_LEVEL = "PACELINE_LOG_LEVEL"
_EXIT_CODES = {
    "schema": ExitCode.CONFIGURATION,
    "secret": ExitCode.CONFIGURATION,
    "database_unreachable": ExitCode.UNREACHABLE,
    "unreachable": ExitCode.UNREACHABLE,
    "not_found": ExitCode.NOT_FOUND_OR_CONFLICT,
    "conflict": ExitCode.NOT_FOUND_OR_CONFLICT,
    "wrong_state": ExitCode.NOT_FOUND_OR_CONFLICT,
    "second_sender": ExitCode.NOT_FOUND_OR_CONFLICT,
}


def run(program: Callable[[], Any]) -> int:
    """Run a typer program and turn whatever it ends with into an exit status."""
    try:
        program()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.OK
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # who read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (SettingsError, PacelineError) as error:
        _trace()
        return _explained(error)
    except OSError as error:  # a file that the user named, or that we may not write
        _trace()
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return ExitCode.FAILED
    except Exception as error:  # noqa: BLE001 - a bug; people get one line all the same
        _trace()
        first_line = next(iter(str(error).splitlines()), "")
        complain(
            f"internal error: {type(error).__name__}: {first_line} "
            f"({_LEVEL}=debug shows where; please report it)"
        )
        return ExitCode.FAILED
    return ExitCode.OK


def _trace() -> None:
    """Show where an error comes from, to who asks for it."""
    if os.environ.get(_LEVEL, "").strip().lower() == "debug":
        traceback.print_exc()


def _explained(error: SettingsError | PacelineError) -> int:
    """Say what is wrong, each fault on its line; return the exit status that goes with it."""
    if isinstance(error, SettingsError):
        for fault in error.problems:
            complain(str(fault))
        return ExitCode.CONFIGURATION
    complain(error.message)
    problems = error.problems if isinstance(error, InvalidInputError) else ()
    for problem in problems:
        row = f"row {problem.row}, " if problem.row is not None else ""
        line = f"{row}{problem.where}: {problem.reason}"
        if line != error.message:
            typer.echo(f"  {line}", err=True)
    return _EXIT_CODES.get(error.code, ExitCode.FAILED)


def complain(line: str) -> None:
    """Say what is wrong, on stderr."""
    typer.echo(f"paceline: {line}", err=True)
