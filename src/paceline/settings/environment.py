"""From the process environment to `Settings`, with every problem found in one go."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from paceline.settings.declaration import VARIABLES, Problem, Settings, Variable

_SPELLINGS = frozenset(name for each in VARIABLES.values() for name in each.spellings)
_KNOWN = _SPELLINGS | {f"{name}_FILE" for name in _SPELLINGS}
_OURS_ALONE = "PACELINE_"
_PREFIXES = (
    _OURS_ALONE,
    *("RATE_LIMIT_", "QUEUE_", "SMS_", "MITTO_", "WORKER_", "PROVIDER_", "UNCONFIRMED_"),
)


class SettingsError(Exception):
    """The environment cannot be used; the text has one line for each problem."""

    def __init__(self, problems: tuple[Problem, ...], warnings: tuple[Problem, ...] = ()) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems
        self.warnings = warnings


class Checked(NamedTuple):
    """What `paceline config check` has to say about an environment."""

    problems: tuple[Problem, ...]
    """Why nothing can start."""
    warnings: tuple[Problem, ...]
    """What is probably a mistake, but may belong to other software."""


def load(environ: Mapping[str, str]) -> Settings:
    """Settings from `environ`, their `warnings` included.

    Raises:
        SettingsError: carrying all problems, not just the first.
    """
    values, (problems, warnings) = _read(environ)
    if problems:
        raise SettingsError(problems, warnings)
    return Settings(**values, warnings=warnings)


def check(environ: Mapping[str, str]) -> Checked:
    """What is wrong and what is odd about `environ`."""
    return _read(environ)[1]


def _read(environ: Mapping[str, str]) -> tuple[dict[str, Any], Checked]:
    values: dict[str, Any] = dict.fromkeys(VARIABLES)
    problems: list[Problem] = []
    for field, variable in VARIABLES.items():
        default = variable.default
        if default is not None:
            default = default.replace("{PACELINE_DATA_DIR}", quote(str(values["data_dir"])))
        try:
            values[field] = _value(variable, environ, default)
        except SettingsError as error:
            problems += error.problems
    problems += _incomplete(environ)
    warnings = list(_without_effect(values))
    for unknown in _unknown(environ):
        ours = unknown.name.upper().startswith(_OURS_ALONE)
        (problems if ours else warnings).append(unknown)
    return values, Checked(tuple(problems), tuple(warnings))


def _value(variable: Variable, environ: Mapping[str, str], default: str | None) -> Any:
    given = {name: _text(name, environ) for name in _names_set(variable, environ)}
    twice = any(f"{name}_FILE" in given for name in given)
    if twice or len(set(given.values())) > 1:
        raise _error(" and ".join(given), "are both set; keep one of them")
    name, text = next(iter(given.items()), (variable.name, default))
    if text is None:
        return None
    try:
        return variable.kind.parse(text)
    except ValueError as error:
        raise _error(name, str(error), variable.kind.allowed) from None


def _names_set(variable: Variable, environ: Mapping[str, str]) -> list[str]:
    """The names under which a variable is set. A blank one is not: Compose files leave such."""
    names = [name for each in variable.spellings for name in (each, f"{each}_FILE")]
    return [name for name in names if environ.get(name, "").strip()]


def _text(name: str, environ: Mapping[str, str]) -> str:
    if not name.endswith("_FILE"):
        return environ[name].strip()
    try:
        text = Path(environ[name].strip()).read_text(encoding="utf-8").strip()
    except OSError as error:
        # Without the path: it may be the secret itself, set under the wrong one of two names.
        raise _error(name, f"names a file that cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise _error(name, "names a file that is not UTF-8 text") from None
    if not text:
        raise _error(name, "names an empty file")
    return text


def _error(name: str, wrong: str, allowed: str = "") -> SettingsError:
    return SettingsError((Problem(name, wrong, allowed),))


def _incomplete(environ: Mapping[str, str]) -> Iterator[Problem]:
    key = _names_set(VARIABLES["mitto_api_key"], environ)
    account = _names_set(VARIABLES["mitto_traffic_account_id"], environ)
    if key and not account:
        missing = " or ".join(VARIABLES["mitto_traffic_account_id"].spellings)
        yield Problem(missing, f"is not set, but {key[0]} is: Mitto needs both")
    if account and not key:
        yield Problem("MITTO_API_KEY", f"is not set, but {account[0]} is: Mitto needs both")


def _without_effect(values: Mapping[str, Any]) -> Iterator[Problem]:
    if values["rate_limit_retry_enabled"] is False and values["rate_limit_strategy"] == "pace":
        yield Problem(
            "RATE_LIMIT_RETRY_ENABLED", "has no effect unless RATE_LIMIT_STRATEGY is backoff"
        )
    if values["mitto_sender"] is not None and values["mitto_api_key"] is None:
        yield Problem("MITTO_SENDER", "has no effect without MITTO_API_KEY")


def _unknown(environ: Mapping[str, str]) -> Iterator[Problem]:
    for name in environ:
        if name in _KNOWN:
            continue
        prefixed = name.upper().startswith(_PREFIXES)
        # Names of other software are many, so only a slip of a letter or two is called one.
        cutoff = 0.6 if prefixed else 0.88
        close = difflib.get_close_matches(name.upper(), _KNOWN, n=1, cutoff=cutoff)
        if close:
            yield Problem(name, f"is not a setting; did you mean {close[0]}?")
        elif prefixed:
            yield Problem(name, "is not a setting of Paceline")
