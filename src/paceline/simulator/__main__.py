"""`python -m paceline.simulator`: the simulator as a process of its own, for tests and benchmarks.

Prints one JSON line, `{"url": …}`, on stdout when it is ready.
"""

from __future__ import annotations

import argparse
import json
import sys

import msgspec

from paceline.simulator.controls import read_controls
from paceline.simulator.server import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m paceline.simulator")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--controls", default="{}", help="a control document as JSON")
    arguments = parser.parse_args()
    try:
        controls = read_controls(arguments.controls)
    except msgspec.DecodeError as error:
        parser.error(f"--controls: {error}")
    serve(arguments.host, arguments.port, seed=arguments.seed, controls=controls, ready=_print_url)


def _print_url(address: str) -> None:
    sys.stdout.write(json.dumps({"url": address}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
