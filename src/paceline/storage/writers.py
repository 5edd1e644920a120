"""The queue in which the writers of several processes wait for one SQLite database.

SQLite lets one write at a time, and has the others poll with growing pauses: whoever has just
written finds it free more often than somebody who sleeps. Locks of the operating system wake the
next one at once, and are gone with their holder, also when it is killed.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class WriterQueue:
    """Two locked files beside the database: one is the turn, one is the place of who is next.

    Without the second, a process that writes again at once would take the turn from those that it
    has just woken. So the next one waits for the turn holding the place, and who has had a turn has
    to wait for the place.
    """

    def __init__(self, database: str) -> None:
        self._paths = (f"{database}.writer.next", f"{database}.writer.lock")
        self._files: list[int] = []
        self._one_thread = threading.Lock()
        """The operating system's locks are between processes."""

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Inside, no other process has a turn.

        Raises:
            OSError: the files cannot be opened or locked.
        """
        with self._one_thread:
            if not self._files:
                self._files = [os.open(path, os.O_RDWR | os.O_CREAT, 0o644) for path in self._paths]
            place, turn = self._files
            fcntl.flock(place, fcntl.LOCK_EX)
            try:
                fcntl.flock(turn, fcntl.LOCK_EX)
            finally:
                fcntl.flock(place, fcntl.LOCK_UN)
            try:
                yield
            finally:
                fcntl.flock(turn, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the files; nobody may have a turn."""
        for file in self._files:
            os.close(file)
        self._files = []
