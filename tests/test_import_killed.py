"""An import that is killed is whole or not there: a real process and ``kill -9``, on SQLite."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from paceline.engine.imports import import_contacts
from paceline.storage import migrate, tenants
from paceline.storage.database import Database

ROWS = 20_000
PATIENCE_S = 60.0


class Home:
    """An installation in a folder, with a file to import."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "paceline.db"
        self.file = folder / "people.csv"
        lines = (f"+306912{n:06},Name{n}" for n in range(ROWS))
        self.file.write_text("\n".join(["phone,first_name", *lines]))
        self.database_url = f"sqlite:///{self.database}"
        database = Database(self.database_url)
        migrate.upgrade(database)
        self.tenant_id = database.write_now(tenants.keep, "acme").id
        database.close()

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        environ = {**os.environ, "DATABASE_URL": self.database_url}
        environ["PACELINE_DATA_DIR"] = str(self.database.parent)
        command = [sys.executable, "-m", "paceline", *words]
        return subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL)

    async def import_again(self) -> None:
        database = Database(self.database_url)
        await import_contacts(database, self.tenant_id, [self.file.read_bytes()])
        database.close()

    def count(self, table: str) -> int:
        with closing(sqlite3.connect(self.database, timeout=PATIENCE_S)) as connection:
            found = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()  # noqa: S608
            return int(found[0])

    def import_killed_when(self, holds: Callable[[], bool]) -> None:
        with self.start("contact", "import", str(self.file)) as process:
            deadline = time.monotonic() + PATIENCE_S
            while process.poll() is None and not holds():
                assert time.monotonic() < deadline
            process.send_signal(signal.SIGKILL)
            assert process.wait(PATIENCE_S) in {-signal.SIGKILL, 0}


async def test_an_import_killed_at_half_is_not_there_and_can_be_repeated(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.import_killed_when(lambda: home.count("import_rows") >= ROWS / 2)
    assert home.count("import_rows") > 0, "it was killed too late"
    assert home.count("contacts") == 0
    assert home.count("imports WHERE finished_at IS NOT NULL") == 0
    await home.import_again()
    assert home.count("contacts") == ROWS
    assert home.count("imports WHERE finished_at IS NOT NULL") == 1
