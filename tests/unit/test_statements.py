"""What SQLAlchemy cannot cache it compiles anew at each execution, for longer than most run."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest
from sqlalchemy.sql.base import Executable

import paceline.storage


def kept_statements() -> Iterator[tuple[str, Executable]]:
    """The statements that storage modules keep, by name; in a dict there is one per dialect."""
    for module in pkgutil.iter_modules(paceline.storage.__path__, "paceline.storage."):
        if module.name.endswith(".migrations"):
            continue
        for name, kept in vars(importlib.import_module(module.name)).items():
            for each in kept.values() if isinstance(kept, dict) else (kept,):
                if isinstance(each, Executable):
                    yield f"{module.name.rpartition('.')[2]}.{name}", each


STATEMENTS = list(kept_statements())


@pytest.mark.parametrize(
    "statement", [each for _, each in STATEMENTS], ids=[name for name, _ in STATEMENTS]
)
def test_a_statement_is_compiled_once(statement: Executable) -> None:
    key = statement._generate_cache_key()  # type: ignore[attr-defined]
    assert key is not None, "it is compiled at each execution"


def test_they_are_found() -> None:
    assert len(STATEMENTS) > 60
