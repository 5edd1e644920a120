"""What the demo shows: a live bar while it sends, tables afterwards; all of it on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from paceline.engine.imports import Imported

_NAMED_ROWS = 8
_LINE_EVERY_S = 2.0


class View:
    """Shows a run. ``limit``: calls a second, if there is one; ``quiet``: show nothing."""

    def __init__(self, *, limit: int | None, quiet: bool) -> None:
        self.limit = limit
        self.console = Console(file=sys.stderr, highlight=False)
        self.quiet = quiet
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._next_line = 0.0

    def dashboard(self, link: str) -> None:
        """Where it can be watched; the link counts once."""
        self._say("Look at it in a browser (the link counts once, within 15 minutes):\n")
        if not self.quiet:
            self.console.print(link, soft_wrap=True, markup=False, highlight=False)
        self._say("")

    def imported(self, result: Imported, file: Path) -> None:
        good = result.imported + result.updated
        self._say(
            f"[bold]{file.name}[/]: {good:,} contacts ({result.imported:,} new), "
            f"{result.invalid} bad rows and {result.duplicates} duplicates left out"
        )
        for problem in result.errors[:_NAMED_ROWS]:
            self._say(f"  row {problem.row}, {problem.where}: {escape(problem.reason)}")
        if len(result.errors) > _NAMED_ROWS:
            self._say(f"  … and {len(result.errors) - _NAMED_ROWS} more")

    @contextmanager
    def watching(self, name: str) -> Iterator[None]:
        """A live bar on a terminal, a line every two seconds elsewhere."""
        if self.quiet or not self.console.is_terminal:
            yield
            return
        with Progress(
            TextColumn("[bold]{task.description}[/]"),
            BarColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("[dim]{task.fields[waits]}[/]"),
            console=self.console,
        ) as self._bar:
            self._task = self._bar.add_task(name, total=None, numbers="", waits="")
            yield
        self._bar = None

    def progress(self, document: dict[str, Any], seconds: float) -> None:
        campaign, metrics = document["campaign"], document["metrics"]
        rate = metrics["processed"] / seconds if seconds else 0
        numbers = f"{metrics['sent']:,} sent, {metrics['failed']:,} failed, {rate:,.0f}/s"
        if self.limit:
            numbers += f" (limit {self.limit} calls/s)"
        waits = campaign["waiting_for"]["detail"] if campaign["waiting_for"] else ""
        if self._bar:
            self._bar.update(
                self._task,
                total=campaign["audience"],
                completed=metrics["processed"],
                numbers=numbers,
                waits=waits,
            )
        elif seconds >= self._next_line and not self.quiet:
            self._next_line = seconds + _LINE_EVERY_S
            self._say(f"{seconds:5.1f} s  {numbers}  {waits}")

    def result(self, document: dict[str, Any]) -> None:
        """Our numbers beside the provider's."""
        metrics, provider = document["metrics"], document["provider"]
        table = Table(title=f"Campaign {document['campaign']['id']}", title_justify="left")
        for column in ("we say", "", "the provider says", ""):
            table.add_column(column, justify="right" if not column else "left")
        window = f"{provider['max_in_window']}" + (
            f" of {self.limit} allowed" if self.limit else ""
        )
        rows = [
            ("sent", metrics["sent"], "accepted", provider["accepted"]),
            ("failed", metrics["failed"], "different messages", provider["distinct"]),
            ("processed", metrics["processed"], "duplicates", provider["duplicates"]),
            ("messages a second", document["messages_per_s"], "calls in a second, at most", window),
        ]
        for ours, number, theirs, count in rows:
            table.add_row(ours, f"{number:,}", theirs, str(count))
        if not self.quiet:
            self.console.print(table)

    def serving(self, url: str, key: str, campaign_id: int) -> None:
        """How to look at it from outside."""
        self._say(f"\nStill serving at [bold]{url}[/] (API documentation at {url}/docs). Try:\n")
        command = f"curl -H 'Authorization: Bearer {key}' {url}/api/campaigns/{campaign_id}/status"
        self.console.print(command, soft_wrap=True, markup=False, highlight=False)
        self._say("\nCtrl-C ends it.\n")

    def _say(self, line: str) -> None:
        if not self.quiet:
            self.console.print(line, soft_wrap=True)
