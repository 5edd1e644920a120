"""Which row of a file has a number first: a dictionary on disk, because a file may be large.

It is a private SQLite database, whatever database the installation has: a few megabytes of it are
in memory, the rest is in a temporary file that is gone when it is closed or the process dies.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Self


class FirstRows:
    """Number → the row that has it first. Any thread may use it, one at a time."""

    def __init__(self) -> None:
        # No name: SQLite makes the file once there is more than it keeps in memory.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute(
            "CREATE TABLE first_rows (number INTEGER PRIMARY KEY, row INTEGER NOT NULL)"
        )
        self._database.execute("BEGIN")  # and never committed: nothing of it has to last

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, rows: Collection[tuple[int, int]]) -> dict[int, int]:
        """Take in numbers, each with its row; the rows are higher than all before.

        Returns:
            The rows whose number another row has first → that row.
        """
        # In order, a place of the index is touched once, and a number's lowest row comes first.
        new = self._database.executemany(
            "INSERT INTO first_rows VALUES (?, ?) ON CONFLICT DO NOTHING", sorted(rows)
        ).rowcount
        if new == len(rows):
            return {}
        firsts = ((row, self._first_row_of(number)) for number, row in rows)
        return {row: first for row, first in firsts if row != first}

    def _first_row_of(self, number: int) -> int:
        query = "SELECT row FROM first_rows WHERE number = ?"
        (row,) = self._database.execute(query, (number,)).fetchone()
        return int(row)
