"""The settings as people read them: `paceline config show` and docs/settings.md."""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

from paceline.settings.declaration import VARIABLES, Settings, Variable

_HEADING = """\
# Settings

<!-- Written by `python -m paceline.settings >docs/settings.md`; a test keeps it up to date. -->

Paceline is set up by environment variables, and all of them have a default or can be left out.
A variable that is set but blank counts as not set.

Every variable can also be given as a file, as container platforms hand over secrets: `NAME_FILE`
holds the path of a file whose contents are the value. Setting both is an error.

`paceline config check` reports every wrong value and every misspelt name at once;
`paceline config show` prints what is in force, with secrets hidden.
"""


class Shown(NamedTuple):
    """One setting in force, fit for a screen."""

    name: str
    value: str
    """Secrets and passwords hidden; empty if not set."""
    is_default: bool
    purpose: str


def describe(settings: Settings) -> list[Shown]:
    """All settings in the order of the reference, with secrets masked."""
    return [_shown(settings, field, variable) for field, variable in VARIABLES.items()]


def markdown_table() -> str:
    """The text of docs/settings.md: one table for each group of settings."""
    parts = [_HEADING]
    for title, variables in groupby(VARIABLES.values(), key=lambda each: each.group):
        rows = "".join(map(_row, variables))
        parts.append(
            f"## {title}\n\n| Variable | Default | Allowed |  |\n|---|---|---|---|\n{rows}"
        )
    return "\n".join(parts)


def _shown(settings: Settings, field: str, variable: Variable) -> Shown:
    value = getattr(settings, field)
    text = "" if value is None else _as_written(value)
    default = (variable.default or "").replace("{PACELINE_DATA_DIR}", str(settings.data_dir))
    return Shown(
        variable.name,
        variable.kind.masked(text) if text else "",
        text == default,
        variable.purpose,
    )


def _as_written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _row(variable: Variable) -> str:
    names = " or ".join(f"`{name}`" for name in variable.spellings)
    default = "" if variable.default is None else f"`{variable.default}`"
    return f"| {names} | {default} | {variable.kind.allowed} | {variable.purpose} |\n"
