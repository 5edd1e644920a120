"""`paceline simulate`: what came of many seeds, and how to play one again."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from paceline.cli import main
from paceline.domain import verdict


def paceline(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "paceline", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_many_seeds_are_told_in_numbers() -> None:
    done = paceline("simulate", "--seeds", "4", "--jobs", "2", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["seeds"], told["failed"]) == (4, [])
    assert told["texts"] > 0


def test_one_seed_shows_its_trace() -> None:
    done = paceline("simulate", "--seed", "7", "--trace")
    assert done.returncode == 0, done.stderr
    assert "The scenario:" in done.stdout
    assert "worker-1" in done.stdout
    assert "trace " in done.stdout


def test_a_seed_that_fails_names_the_command_that_plays_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["paceline", *words])
        return main(), capsys.readouterr().out

    monkeypatch.setattr(verdict, "_may_have_been_accepted", lambda *_: False)
    status, told = run("simulate", "--seeds", "16", "--jobs", "1")
    assert status == 1
    assert "BROKEN  1 never twice" in told
    again = next(line for line in told.splitlines() if "again: " in line).split()
    assert again[1:4] == ["paceline", "simulate", "--seed"]
    status, told = run(*again[2:])
    assert status == 1
    assert "BROKEN  1 never twice" in told
