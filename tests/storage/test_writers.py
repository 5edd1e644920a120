"""Writers of several processes queue for one SQLite database: nobody polls, starves or is lost."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from paceline.storage.database import Database, DatabaseUnreachableError

PATIENCE_S = 20
TURNS = 400
_WRITER = """
import sys
from sqlalchemy import text
from paceline.storage.database import Database

database, name = Database(sys.argv[1]), sys.argv[2]
def write(connection):
    connection.execute(text("INSERT INTO turns (who) VALUES (:who)"), {"who": name})
database.write_now(write)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[3])):
    database.write_now(write)
"""
_HOLDER = """
import sys, time
from paceline.storage.writers import WriterQueue

with WriterQueue(sys.argv[1]).turn():
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/paceline.db")
    database.write_now(
        lambda c: c.execute(text("CREATE TABLE turns (id INTEGER PRIMARY KEY, who TEXT)"))
    )
    yield database
    database.close()


@contextmanager
def process(script: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has said it is ready."""
    command = [sys.executable, "-c", script, *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "ready\n"
            yield running
        finally:
            running.kill()


def turns(connection: Connection) -> list[str]:
    return list(connection.execute(text("SELECT who FROM turns ORDER BY id")).scalars())


def test_writers_of_two_processes_take_turns(database: Database) -> None:
    """While both have something to write, neither writes many times in a row."""
    url, n = str(database.url), str(TURNS)
    with process(_WRITER, url, "a", n) as one, process(_WRITER, url, "b", n) as other:
        for writer in (one, other):
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        assert [writer.wait(PATIENCE_S) for writer in (one, other)] == [0, 0]
    order = "".join(database.read_now(turns))[2:]  # without what made them ready
    assert (order.count("a"), order.count("b")) == (TURNS, TURNS)
    both = order[
        max(order.index("a"), order.index("b")) : min(order.rindex("a"), order.rindex("b"))
    ]
    assert len(both) > TURNS
    assert max(len(list(run)) for _, run in itertools.groupby(both)) <= TURNS // 10


def test_a_killed_writer_leaves_the_turn_to_the_next(database: Database) -> None:
    path = str(database.url.database)
    with process(_HOLDER, path) as holder:
        started = time.monotonic()
        holder.kill()
        assert database.read_now(turns) == []
        database.write_now(lambda c: c.execute(text("INSERT INTO turns (who) VALUES ('me')")))
        assert time.monotonic() - started < PATIENCE_S
    assert database.read_now(turns) == ["me"]


def test_a_function_that_raises_gives_its_turn_back(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        database.write_now(lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        database.alter_now(lambda _: 1 / 0)
    other = Database(str(database.url))
    other.write_now(lambda c: c.execute(text("INSERT INTO turns (who) VALUES ('other')")))
    other.close()
    assert database.read_now(turns) == ["other"]


def test_a_database_that_cannot_be_locked_is_unreachable(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/no/such/folder/paceline.db")
    with pytest.raises(DatabaseUnreachableError, match=r"cannot be reached.*writer\.next"):
        database.write_now(lambda _: None)
    database.close()


def test_a_database_in_memory_is_nobody_elses(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    database = Database("sqlite:///:memory:")
    assert database.write_now(lambda c: c.execute(text("SELECT 1")).scalar_one()) == 1
    database.close()
    assert list(tmp_path.iterdir()) == []
