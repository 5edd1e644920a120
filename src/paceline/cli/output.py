"""Data on stdout: JSON for programs, tables for people."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any


def say_json(document: Any) -> None:
    """Print one JSON document, and only that."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def say(line: str) -> None:
    """Print a line for a person."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def say_stream(pieces: AsyncIterator[str]) -> None:
    """Write what is made piece by piece, as it is."""
    async for piece in pieces:
        sys.stdout.write(piece)
    sys.stdout.flush()


def say_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Print a table for a person."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title or None, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(escape("" if cell is None else str(cell)) for cell in row))
    Console(file=sys.stdout).print(table)


def say_facts(facts: dict[str, Any]) -> None:
    """Print names and values, one a line."""
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        say(f"{name:<{width}}  {'' if value is None else value}")
