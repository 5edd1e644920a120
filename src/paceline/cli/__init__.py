"""The command line. Data goes to stdout, everything else to stderr.

Heavy imports wait until a verb needs them, so that ``paceline --help`` answers at once.
"""

from __future__ import annotations


def main() -> int:
    """Run one command; return its exit status (see ``failures.ExitCode``)."""
    import sys

    from paceline.cli.failures import run
    from paceline.cli.program import command

    return run(command(sys.argv[1:]))
