"""The frame of every benchmark's command: one JSON document on stdout, and what the exit code says.

0: measured, and every promise held. 1: a promise was broken, or nothing could be measured. 130 and
143: interrupted; everything that was started is gone.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from benchmarks.installation import DATABASES, WrongRunError
from benchmarks.processes import ProcessFailedError


def command(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with what all commands have in common."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--database", choices=DATABASES, default="sqlite")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def run(measure: Callable[[], Any], show: Callable[[Any], str] | None = None) -> int:
    """Measure, print, and return the exit code.

    Args:
        measure: gives a dataclass; a field `broken`, if it has one, lists the broken promises.
        show: what to print instead of JSON.
    """
    code = 130

    def end_like_ctrl_c(*_: object) -> None:
        # An event loop knows how to end for Ctrl-C. An exception out of a signal handler of ours it
        # would take for one of whatever callback it was running.
        nonlocal code
        code = 143
        signal.raise_signal(signal.SIGINT)

    # Whoever starts us in the background of a script has us ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, end_like_ctrl_c)
    try:
        figures = measure()
    except (WrongRunError, ProcessFailedError) as error:
        print(f"no figures: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return code
    print(show(figures) if show else json.dumps(asdict(figures), indent=2))
    return 1 if getattr(figures, "broken", ()) else 0
