"""Plant bugs in copies of the tree, one at a time, and see which test finds each.

    python -m tests.planted                     those of each kind (``bugs.FIRST``)
    python -m tests.planted --all               all of them; more than an hour
    python -m tests.planted --only NAME ...     these
    python -m tests.planted --trust             without trying first that the tree itself passes

Prints one JSON document and exits 1 if a bug is not found by any test. A test counts when it fails
twice with the bug. Linters and type checkers do not count, nor do tests of the documents.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from tests.planted.bug import Bug
from tests.planted.bugs import BUGS, FIRST
from tests.planted.suite import SuiteError, end_all, failures, first_failure
from tests.planted.tree import copy_of, snapshot

Say: TypeAlias = Callable[[str], None]

WITHIN_S = 3600.0
"""For the whole suite, which each bug is given."""


@dataclass(frozen=True)
class Found:
    """What became of one bug; ``caught_by`` None: no test has found it, and ``note`` says more."""

    name: str
    promise: str
    caught_by: str | None
    seconds: float
    note: str = ""


def main() -> int:
    try:
        return _planted()
    except KeyboardInterrupt:
        return 130


def _planted() -> int:
    signal.signal(signal.SIGTERM, _interrupted)
    chosen = _parser().parse_args()
    bugs = [bug for bug in BUGS if bug.name in chosen.only]
    bugs = bugs or list(BUGS if chosen.all else FIRST)
    say = _quiet if chosen.json else _aloud
    with tempfile.TemporaryDirectory(prefix="paceline-planted-") as folder:
        tree = Path(folder)
        snapshot(tree)
        for bug in bugs:  # before an hour has passed
            bug.planted_in((tree / bug.file).read_text(encoding="utf-8"))
        if not (chosen.trust or _passes(tree, chosen.jobs, say)):
            return 1
        found = _all_tried(tree, say, bugs, chosen.jobs)
    caught = sum(each.caught_by is not None for each in found)
    shown = [{key: value for key, value in asdict(each).items() if value != ""} for each in found]
    print(json.dumps({"planted": len(found), "caught": caught, "bugs": shown}, indent=2))
    return 0 if caught == len(found) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.planted",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [bug.name for bug in BUGS]
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, default=[])
    parser.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument("--jobs", type=int, default=2, help="bugs that are tried at once")
    parser.add_argument("--trust", action="store_true", help="the tree itself is known to pass")
    parser.add_argument("--json", action="store_true", help="say nothing on the way")
    return parser


def _passes(tree: Path, jobs: int, say: Say) -> bool:
    """Whether the suite passes without any bug: only then does a failure with one mean anything."""
    started = time.monotonic()
    try:
        with copy_of(tree) as copy:
            failed = failures(copy, processes=jobs + 1, within_s=WITHIN_S)
    except SuiteError as error:
        failed = [str(error)]
    say(f"the tree itself: {', '.join(failed) or 'passes'} ({time.monotonic() - started:.0f} s)")
    return not failed


def _all_tried(tree: Path, say: Say, bugs: Sequence[Bug], jobs: int) -> list[Found]:
    with ThreadPoolExecutor(jobs) as threads:
        try:
            return list(threads.map(partial(_tried, tree, say), bugs))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            end_all()
            raise


def _tried(tree: Path, say: Say, bug: Bug) -> Found:
    """Plant a bug and look for it."""
    with copy_of(tree) as copy:
        copy.plant(bug)
        started = time.monotonic()
        caught_by, note = None, ""
        try:
            if (failure := first_failure(copy, bug.file, within_s=WITHIN_S)) is not None:
                caught_by = failure.test
                note = "by the test's own time-out" if failure.timed_out else ""
        except SuiteError as error:
            note = str(error)
        seconds = round(time.monotonic() - started, 1)
    say(f"{bug.name}: {caught_by or 'NOT CAUGHT'} ({seconds:g} s) {note}".rstrip())
    return Found(bug.name, bug.promise, caught_by, seconds, note)


def _aloud(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _quiet(_line: str) -> None:
    pass


def _interrupted(*_: object) -> None:
    """End as Ctrl-C would: nothing that was started stays."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
