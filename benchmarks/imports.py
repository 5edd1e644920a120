"""How fast contacts are imported in each format, and in how much memory.

    python -m benchmarks.imports --rows 300000 --json

For each database and format a fresh `paceline api` is given a file of so many rows over HTTP.
`seconds` runs from the first byte of the upload to the answer, when all contacts are committed;
`peak_rss_mb` is the most memory that the process ever held, and `small_rss_mb` what it had held
after a file of 1,000 rows. `undo_s` is how long undoing the import then takes.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import machine, program, sheet_files
from benchmarks.installation import DATABASES, Ground, Installation, WrongRunError, ground
from benchmarks.processes import Client, served

SMALL = 1_000


@dataclass(frozen=True, slots=True)
class Figure:
    database: str
    format: str
    rows: int
    file_mb: float
    seconds: float
    rows_per_s: int
    small_rss_mb: float
    peak_rss_mb: float
    undo_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    imports: list[Figure]
    machine: dict[str, Any]


def measure(databases: Sequence[str], formats: Sequence[str], rows: int) -> Figures:
    """Import one file of each format on each database.

    Raises:
        WrongRunError: not every row was imported, or undone.
        ProcessFailedError: the server ended.
    """
    figures: list[Figure] = []
    facts: dict[str, Any] = {}
    for kind in databases:
        with ground(kind) as here:
            for each in formats:
                with here.install() as installation:
                    figures.append(_measure_on(here, installation, each, rows))
                    facts |= installation.facts()
    return Figures(figures, facts)


def _measure_on(here: Ground, installation: Installation, kind: str, rows: int) -> Figure:
    key = installation.key_of("acme")
    small, large = here.home / f"small.{kind}", here.home / f"large.{kind}"
    sheet_files.WRITERS[kind](small, sheet_files.people(SMALL))
    sheet_files.WRITERS[kind](large, sheet_files.people(rows))
    with served(installation.environ, "api") as (url, pid):
        _upload(url, key, small)
        before = machine.peak_rss_mb(pid)
        began = time.monotonic()
        answer = _upload(url, key, large)
        seconds = time.monotonic() - began
        if answer["imported"] + answer["updated"] != rows:
            raise WrongRunError(f"{rows} rows of {kind} became {answer}")
        peak = machine.peak_rss_mb(pid)
        undo_s = _undo(url, key, answer)
    size = large.stat().st_size
    large.unlink()
    return Figure(
        database=here.kind,
        format=kind,
        rows=rows,
        file_mb=round(size / 1e6, 1),
        seconds=round(seconds, 1),
        rows_per_s=round(rows / seconds),
        small_rss_mb=before,
        peak_rss_mb=peak,
        undo_s=undo_s,
    )


def _upload(url: str, key: str, path: Path) -> Any:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=600)
    headers = {
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/octet-stream",
        "Content-Length": str(path.stat().st_size),
    }
    with path.open("rb") as file:
        connection.request("POST", "/api/contacts/import", file, headers)
        answer = connection.getresponse()
        document = json.loads(answer.read())
    connection.close()
    if answer.status != 200:
        raise WrongRunError(f"the import of {path.name} was refused: {document}")
    return document


def _undo(url: str, key: str, imported: Any) -> float:
    began = time.monotonic()
    with Client(url, key) as client:
        undone = client.post(f"/api/imports/{imported['import_id']}/undo")
    if undone["removed"] != imported["imported"] or undone["restored"] != imported["updated"]:
        raise WrongRunError(f"what was imported ({imported}) was undone as {undone}")
    return round(time.monotonic() - began, 1)


def main() -> int:
    parser = program.command("benchmarks.imports", __doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--formats", nargs="+", choices=sheet_files.WRITERS, default=None)
    parser.set_defaults(database=None)
    chosen = parser.parse_args()
    databases = [chosen.database] if chosen.database else list(DATABASES)
    formats = chosen.formats or list(sheet_files.WRITERS)
    return program.run(
        lambda: measure(databases, formats, chosen.rows), None if chosen.json else _table
    )


def _table(figures: Figures) -> str:
    return "\n".join(
        f"{each.database:8} {each.format:4} {each.rows:,} rows in {each.seconds} s: "
        f"{each.rows_per_s:,} a second, {each.peak_rss_mb:g} MB at most "
        f"({each.small_rss_mb:g} MB after {SMALL:,}); undone in {each.undo_s} s"
        for each in figures.imports
    )


if __name__ == "__main__":
    sys.exit(main())
