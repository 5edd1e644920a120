"""Every benchmark is one command: JSON on stdout, a broken promise is exit code 1, and what it
started is gone when it is interrupted.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import program
from benchmarks.installation import WrongRunError
from benchmarks.processes import ProcessFailedError

MARK = "BENCHMARK_TEST"
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Figures:
    broken: list[str]


def failing(error: type[BaseException]):
    def measure():
        raise error

    return measure


def run(measure, monkeypatch) -> int:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return program.run(measure)


def test_figures_are_printed_as_json(monkeypatch, capsys):
    assert run(lambda: Figures([]), monkeypatch) == 0
    assert json.loads(capsys.readouterr().out) == {"broken": []}


def test_a_broken_promise_is_printed_and_is_exit_code_1(monkeypatch, capsys):
    assert run(lambda: Figures(["too many"]), monkeypatch) == 1
    assert json.loads(capsys.readouterr().out) == {"broken": ["too many"]}


@pytest.mark.parametrize(
    ("error", "code"), [(WrongRunError, 1), (ProcessFailedError, 1), (KeyboardInterrupt, 130)]
)
def test_without_figures_nothing_is_on_stdout(error, code, monkeypatch, capsys):
    assert run(failing(error), monkeypatch) == code
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_nothing_is_left_of_a_benchmark_that_is_interrupted_in_mid_load(sent, code, tmp_path):
    mark = uuid.uuid4().hex
    benchmark = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.receipts", "--messages", "50", "--seconds", "60"],
        env={**os.environ, MARK: mark, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: takes_receipts_in(tmp_path))
        assert len(marked(mark)) == 4  # itself, the provider, API and worker
        benchmark.send_signal(sent)
        printed, _ = benchmark.communicate(timeout=PATIENCE_S)
    finally:
        benchmark.kill()
        benchmark.communicate()
    assert (benchmark.returncode, printed) == (code, b"")
    assert marked(mark) == []
    assert list(tmp_path.iterdir()) == []


def wait_until(condition) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def takes_receipts_in(home: Path) -> bool:
    for file in home.glob("paceline-benchmark-*/paceline-1.db"):
        with (
            contextlib.suppress(sqlite3.OperationalError),
            contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection,
        ):
            query = "SELECT seq FROM sqlite_sequence WHERE name = 'receipts'"
            return connection.execute(query).fetchone() is not None
    return False


def marked(mark: str) -> list[str]:
    """The running processes whose environment carries the mark."""
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and f"{MARK}={mark}" in (process / "environ").read_text():
                found.append((process / "cmdline").read_text())
    return found
