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
    # What SIGTERM ends, it ends by way of every `finally`, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        figures = measure()
    except (WrongRunError, ProcessFailedError) as error:
        print(f"no figures: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(show(figures) if show else json.dumps(asdict(figures), indent=2))
    return 1 if getattr(figures, "broken", ()) else 0
