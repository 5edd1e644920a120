"""The test suite, run in a copy until the first test fails."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.planted.tree import Copy

ORDER = ("unit", "storage", "engine", "providers", "simulator", "acceptance", "api", "cli")
"""Directories of tests, the quick and the likely ones first; others follow."""
_LAST = ("simulation", "deploy")
_LEFT_OUT = frozenset({"planted", "docs", "benchmarks"})
"""They hold the list of bugs and the documents against the sources, or measure."""
_TESTS_OF_LAYER = {"domain": "unit", "settings": "unit", "telemetry": "unit"}
"""Tests that are named otherwise than the layer that they are about."""
_PASSED, _FAILED = 0, 1
_FLAKES = 3
"""Tests that failed by chance which a run may have before it is given up."""
_under_way: set[subprocess.Popen[str]] = set()


@dataclass(frozen=True)
class Failure:
    """A test that failed, and failed again."""

    test: str
    timed_out: bool
    """By its own time-out."""


class SuiteError(Exception):
    """The suite did not run as it should; the message says why, and nothing was found out."""


def first_failure(copy: Copy, file: str, *, within_s: float) -> Failure | None:
    """Run the suite until a test fails, and fails again by itself; None: all of it passes.

    Args:
        copy: where.
        file: that has the bug; the tests of its layer go first.
        within_s: for all of it.

    Raises:
        SuiteError: it took longer, or cannot even be collected.
    """
    deadline = time.monotonic() + within_s
    likely, others = targets(copy.root, file)
    return _first_failure(copy, likely, deadline) or _first_failure(copy, others, deadline)


def _first_failure(copy: Copy, paths: list[str], deadline: float) -> Failure | None:
    flakes: list[str] = []
    while len(flakes) < _FLAKES:
        words = [f"--deselect={each}" for each in flakes]
        code, said = _pytest(copy, [*words, "-x", *paths], deadline)
        if code == _PASSED:
            return None
        (test, *_) = _failed(copy, code, said)
        code, again = _pytest(copy, [test], deadline)
        if code == _FAILED:
            return Failure(test, timed_out="from pytest-timeout" in said + again)
        flakes.append(test)
    raise SuiteError(f"tests fail by chance: {', '.join(flakes)}")


def failures(copy: Copy, *, processes: int, within_s: float) -> list[str]:
    """The tests that fail, and fail again by themselves.

    Raises:
        SuiteError: it took longer, or cannot even be collected.
    """
    deadline = time.monotonic() + within_s
    spread = ["--numprocesses", str(processes), "--dist", "loadfile"]
    _, everything = targets(copy.root, "")
    code, said = _pytest(copy, [*spread, *everything], deadline)
    if code == _PASSED:
        return []
    return [
        test for test in _failed(copy, code, said) if _pytest(copy, [test], deadline)[0] != _PASSED
    ]


def targets(root: Path, file: str) -> tuple[list[str], list[str]]:
    """What pytest is to run for a bug in a file: the tests of its layer, those first that name its
    module, and all others, the quick ones first.
    """
    tests = root / "tests"
    layer, _, module = file.removeprefix("src/paceline/").removesuffix(".py").partition("/")
    own = tests / _TESTS_OF_LAYER.get(layer, layer)
    found = {each.name for each in tests.iterdir() if any(each.glob("test_*.py"))} - _LEFT_OUT
    rest = sorted(found - {*ORDER, *_LAST})
    inside = [tests / each for each in (*ORDER, *rest, *_LAST) if each in found]
    likely = [*_most_about(module or layer, own), own] if own in inside else []
    others = [*(each for each in inside if each not in likely), *sorted(tests.glob("test_*.py"))]
    return _relative(likely, root), _relative(others, root)


def _relative(paths: Iterable[Path], root: Path) -> list[str]:
    return [str(each.relative_to(root)) for each in paths]


def _most_about(module: str, tests: Path) -> list[Path]:
    """The files that name a module, those first that do so most often."""
    named = re.compile(rf"\b{re.escape(module)}\b")
    times = {each: len(named.findall(each.read_text())) for each in tests.glob("test_*.py")}
    return sorted(filter(times.get, times), key=lambda each: (-times[each], each.name))


def _pytest(copy: Copy, words: list[str], deadline: float) -> tuple[int, str]:
    """Run pytest; its exit code and what it said.

    Raises:
        SuiteError: the deadline has passed.
    """
    command = [str(copy.python), "-m", "pytest", "-q", "--tb=short", "-m", "not browser", *words]
    running = subprocess.Popen(
        command,
        cwd=copy.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    _under_way.add(running)
    try:
        said, _ = running.communicate(timeout=max(deadline - time.monotonic(), 0))
    except subprocess.TimeoutExpired as error:
        raise SuiteError("the suite took too long") from error
    finally:
        _under_way.discard(running)
        _end(running)
    return running.returncode, said


def end_all() -> None:
    """End every suite that is under way."""
    for running in tuple(_under_way):
        _end(running)


def _end(running: subprocess.Popen[str]) -> None:
    """It, and whatever its tests have started and left."""
    with suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()


def _failed(copy: Copy, code: int, said: str) -> list[str]:
    """The tests that failed, as pytest has noted them down."""
    noted = copy.root / ".pytest_cache" / "v" / "cache" / "lastfailed"
    if code != _FAILED or not noted.exists():
        raise SuiteError(f"pytest ended with {code}: {' '.join(said.split())[-500:]}")
    return list(json.loads(noted.read_text(encoding="utf-8")))
