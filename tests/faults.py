"""Let go wrong what goes wrong at providers, and let the provider's own log say what came of it.

    python -m tests.faults doubt --mode dedupe|lookup|neither [--receipts on] --database sqlite
    python -m tests.faults outage --kind refuse|503|401|reset|reset_after --seconds 60
    python -m tests.faults receipts --kills 10
    python -m tests.faults stop --stops 2000

Real processes, a real database (`--database sqlite|postgres`), a provider with faults. Prints one
JSON document and exits 1 if a promise is broken; `broken` names it.

doubt: every fifth call is accepted and not, not well or not soon answered. Nobody gets it twice,
nothing is lost, and a provider that deduplicates or can be asked leaves nothing in doubt.

outage: the provider is down in the middle of a campaign. No message fails for it, each call that
met it leaves one batch in doubt at most, and the campaign goes on when it is over (after a 401:
when the account is released).

receipts: the API process is killed while receipts come in. What was answered 2xx is counted.

stop: recipients reply STOP while the campaign runs. No intent that is committed later contains
them, and the provider sees no call with them later than one call's time after the answer to it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import program
from tests import faults_doubt, faults_outage, faults_receipts, faults_stop
from tests.crash import database
from tests.faults_world import Report


def main() -> int:
    chosen = _parser().parse_args()
    return program.run(lambda: _measure(chosen))


def _measure(chosen: argparse.Namespace) -> Report:
    with (
        tempfile.TemporaryDirectory(prefix="paceline-faults-") as folder,
        database(chosen.database, Path(folder)) as url,
    ):
        measure: Callable[[str, argparse.Namespace], Report] = chosen.measure
        report = measure(url, chosen)
    report.figures["database"] = chosen.database
    return report


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="doubt|outage|receipts|stop")
    for name, add, measure in (
        ("doubt", _doubt_options, _doubt),
        ("outage", _outage_options, _outage),
        ("receipts", _receipts_options, _receipts),
        ("stop", _stop_options, _stop),
    ):
        verb = verbs.add_parser(name)
        verb.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
        add(verb)
        verb.set_defaults(measure=measure)
    return parser


def _doubt_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--mode", choices=list(faults_doubt.MODES), default="dedupe")
    verb.add_argument("--receipts", choices=["on", "off"], default="off")
    verb.add_argument("--messages", type=int, default=20_000)
    verb.add_argument("--batch-size", type=int, default=20)


def _doubt(url: str, chosen: argparse.Namespace) -> Report:
    return faults_doubt.doubt(
        url,
        mode_name=chosen.mode,
        receipts=chosen.receipts == "on",
        messages=chosen.messages,
        batch_size=chosen.batch_size,
    )


def _outage_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--kind", choices=list(faults_outage.KINDS), default="refuse")
    verb.add_argument("--seconds", type=float, default=60)
    verb.add_argument("--recipients", type=int, default=100_000)
    verb.add_argument("--batch-size", type=int, default=500)
    verb.add_argument("--calls-per-second", type=int, default=20)
    verb.add_argument("--backoff-ms", type=int, default=3000)


def _outage(url: str, chosen: argparse.Namespace) -> Report:
    return faults_outage.outage(
        url,
        outage_kind=chosen.kind,
        seconds=chosen.seconds,
        recipients=chosen.recipients,
        batch_size=chosen.batch_size,
        calls_per_second=chosen.calls_per_second,
        backoff_ms=chosen.backoff_ms,
    )


def _receipts_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--kills", type=int, default=10)
    verb.add_argument("--recipients", type=int, default=20_000)


def _receipts(url: str, chosen: argparse.Namespace) -> Report:
    return faults_receipts.receipts_through_kills(
        url, kills=chosen.kills, recipients=chosen.recipients
    )


def _stop_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--recipients", type=int, default=20_000)
    verb.add_argument("--batch-size", type=int, default=20)
    verb.add_argument("--calls-per-second", type=int, default=50)
    verb.add_argument("--stops", type=int, default=2000)


def _stop(url: str, chosen: argparse.Namespace) -> Report:
    return faults_stop.stop(
        url,
        recipients=chosen.recipients,
        batch_size=chosen.batch_size,
        calls_per_second=chosen.calls_per_second,
        stops=chosen.stops,
    )


if __name__ == "__main__":
    sys.exit(main())
