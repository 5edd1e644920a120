"""The disk of the database becomes full in mid-campaign, and has room again later."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from benchmarks.processes import ProcessFailedError
from tests.crash.judge import Report, installed, pacing
from tests.crash.unwritable import Trouble, endure
from tests.postgres import SMALL, PostgresServer, running_postgres

_NO_LIMIT = 2**31 - 2
_UNREADY_AFTER_S = 20.0
_GIVES_UP_WITHIN_S = 10.0
_SAYS = ("disk is full", "make room")
_SMALL_DISK = {**SMALL, "min_wal_size": "32MB", "max_wal_size": "32MB"}

LIMITED = """
import sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.pool import Pool

limit = Path(sys.argv.pop(1))

@event.listens_for(Pool, "checkout")
def _limit_pages(connection, *_):
    connection.execute(f"PRAGMA max_page_count = {limit.read_text()}")

from paceline.cli import main
sys.exit(main())
"""
"""Paceline, whose SQLite file may have no more pages than a text file says. The limit is that of a
connection, so it has to be set in the process that has them."""


def pages_used_up(database_url: str, *, seconds: float, recipients: int, batch_size: int) -> Report:
    """Let an SQLite file grow no more. Unlike on a full disk, rows can be changed in their place,
    so that some transactions commit and others do not.
    """
    with installed(database_url, pacing(batch_size)) as installation:
        limit = installation.home / "pages"
        limit.write_text(str(_NO_LIMIT))
        installation.program = ("-c", LIMITED, str(limit))

        @contextmanager
        def full() -> Iterator[None]:
            limit.write_text("1")  # never less than it has
            yield
            limit.write_text(str(_NO_LIMIT))

        report = Report({"seconds": seconds, "by": "PRAGMA max_page_count"})
        trouble = Trouble(full, _SAYS, _UNREADY_AFTER_S)
        endure(report, installation, trouble, seconds=seconds, recipients=recipients)
        return report


def sqlite_disk_filled(*, seconds: float, recipients: int, batch_size: int) -> Report:
    """Fill the disk that an SQLite file is on.

    Raises:
        ProcessFailedError: no disk of its own can be had for it.
    """
    with small_disk(mebibytes=24) as disk:
        url = f"sqlite:///{disk}/paceline.db"
        with installed(url, pacing(batch_size)) as installation:
            report = Report({"seconds": seconds, "by": "ballast on a small tmpfs"})
            trouble = Trouble(lambda: ballast(disk), _SAYS, _UNREADY_AFTER_S)
            endure(report, installation, trouble, seconds=seconds, recipients=recipients)
            return report


def postgres_disk_filled(
    *, seconds: float, recipients: int, batch_size: int, log_too: bool = False
) -> Report:
    """Fill the disk that PostgreSQL's data is on.

    Args:
        seconds: how long it stays full.
        recipients: of the campaign.
        batch_size: of its batches.
        log_too: use up what is left in the server's own log at once. Without it only tables cannot
            grow; with it the server gives up, and is started again when there is room.

    Raises:
        ProcessFailedError: no disk of its own can be had for it.
    """
    with small_disk(mebibytes=160) as disk, running_postgres(_SMALL_DISK, within=disk) as server:

        @contextmanager
        def full() -> Iterator[None]:
            with ballast(disk):
                if log_too:
                    _use_up_log(server)
                yield
            if not server.is_running():
                server.start()

        with installed(server.create_database(), pacing(batch_size)) as installation:
            report = Report({"seconds": seconds, "by": "ballast on a small tmpfs"})
            trouble = Trouble(full, () if log_too else _SAYS, _UNREADY_AFTER_S)
            endure(report, installation, trouble, seconds=seconds, recipients=recipients)
            report.figures["server_gave_up"] = "PANIC" in server.log.read_text()
            return report


def _use_up_log(server: PostgresServer) -> None:
    """Have the server begin one segment of its log after another, until there is none."""
    deadline = time.monotonic() + _GIVES_UP_WITHIN_S
    with (
        suppress(psycopg.OperationalError),
        psycopg.connect(server.url("postgres"), autocommit=True) as connection,
    ):
        while time.monotonic() < deadline:
            connection.execute("SELECT pg_logical_emit_message(true, 'full', 'disk')")
            connection.execute("SELECT pg_switch_wal()")


@contextmanager
def small_disk(*, mebibytes: int) -> Iterator[Path]:
    """A file system of its own, which only root can mount.

    Raises:
        ProcessFailedError: it cannot be mounted.
    """
    folder = Path(tempfile.mkdtemp(prefix="paceline-disk-"))
    folder.chmod(0o755)
    try:
        options = ["-t", "tmpfs", "-o", f"size={mebibytes}m,mode=755", "tmpfs", str(folder)]
        mounted = subprocess.run(["mount", *options], check=False, capture_output=True, text=True)
        if mounted.returncode != 0:
            why = mounted.stderr.partition("\n")[0]
            raise ProcessFailedError(f"no file system can be mounted: {why}")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        folder.rmdir()


@contextmanager
def ballast(disk: Path) -> Iterator[None]:
    """A file that takes all the room there is."""
    path = disk / "ballast"
    filling = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (2**20, 2**12):
            _fill(filling, bytes(size))
        yield
    finally:
        os.close(filling)
        path.unlink()


def _fill(file: int, block: bytes) -> None:
    while True:
        try:
            os.write(file, block)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return
