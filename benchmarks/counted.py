"""``paceline``, with its reads of the database counted: ``python -m benchmarks.counted FILE VERB``.

What is counted are the SELECT statements that the process gives to its database, whoever wants
them. The number is kept in a file of eight bytes, which another process may look at meanwhile.
"""

from __future__ import annotations

import mmap
import sys
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from paceline.cli import main

_BYTES = 8


def count_into(file: Path) -> None:
    """Count from now on."""
    with file.open("r+b") as opened:
        kept = mmap.mmap(opened.fileno(), _BYTES)
    one_at_a_time = threading.Lock()

    @event.listens_for(Engine, "before_cursor_execute")
    def _count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            with one_at_a_time:
                kept[:] = (int.from_bytes(kept[:], "little") + 1).to_bytes(_BYTES, "little")


def counter(folder: Path) -> Path:
    """A new file to count into."""
    file = folder / "reads"
    file.write_bytes(bytes(_BYTES))
    return file


def counted(file: Path) -> int:
    """How many there were so far."""
    return int.from_bytes(file.read_bytes(), "little")


if __name__ == "__main__":
    count_into(Path(sys.argv.pop(1)))
    sys.exit(main())
