"""The simulation on the command line: many seeds, or one with its trace."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from paceline.cli.failures import ExitCode
from paceline.cli.output import say, say_facts, say_json
from paceline.cli.session import AsJson
from paceline.simulation import simulate
from paceline.simulation.many import Tally, players
from paceline.simulation.world import shown

_LAST_LINES = 60
"""Of a failed seed, when nobody has asked for all."""


def simulate_command(
    *,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds to play.")] = 100,
    first: Annotated[int, typer.Option(min=0, help="The first of them.")] = 0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Play this one only, exactly as before.")
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="With --seed: show all of it.")] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes; as many as processors if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play the whole engine with everything that can go wrong.

    Under virtual time, crashes at any step, lost answers, stalls, outages and
    clocks that jump follow from a seed, and a judge holds every step to the
    promises. Nothing is sent, and no database is touched. Exit 1 if a promise is
    broken.

    Example:
    paceline simulate --seeds 1000
    paceline simulate --seed 7 --trace
    """
    if seed is not None:
        _play_one(seed, trace=trace, as_json=as_json)
    else:
        _play_many(range(first, first + seeds), jobs or os.cpu_count() or 1, as_json=as_json)


COMMANDS = {"simulate": simulate_command}


def _play_one(seed: int, *, trace: bool, as_json: bool) -> None:
    outcome = simulate(seed)
    broken = [str(violation) for violation in outcome.violations]
    facts = {
        "seed": seed,
        "virtual_seconds": round(outcome.virtual_s, 3),
        "transactions": outcome.commits,
        "submissions_of_messages": outcome.calls,
        "texts": outcome.texts,
        "trace": outcome.trace.digest(),
    }
    if as_json:
        say_json(facts | {"broken": broken})
    else:
        if trace or broken:
            say("The scenario:\n" + shown(outcome.scenario) + "\n\nWhat happened (ms):")
            for line in outcome.trace.lines if trace else outcome.trace.lines[-_LAST_LINES:]:
                say(str(line))
            say("")
        say_facts(facts)
        for each in broken:
            say(f"BROKEN  {each}")
    if broken:
        raise typer.Exit(ExitCode.FAILED)


def _play_many(seeds: range, jobs: int, *, as_json: bool) -> None:
    began = time.monotonic()
    tally = Tally()
    bar = Progress(console=Console(stderr=True), transient=True, disable=as_json)
    with players(jobs) as play_all, bar as progress:
        task = progress.add_task("seeds", total=len(seeds))
        for played in play_all(seeds):
            tally.add(played)
            progress.advance(task)
    document = tally.document(time.monotonic() - began)
    if as_json:
        say_json(document)
    else:
        say_facts(document | {"failed": len(tally.failed)})
        for each in sorted(tally.failed, key=lambda played: played.seed):
            say(f"BROKEN  {each.violations[0]}")
            say(f"        again: paceline simulate --seed {each.seed} --trace")
    if tally.failed:
        raise typer.Exit(ExitCode.FAILED)
