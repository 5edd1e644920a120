"""A seed is a whole run: played again, it is the same, line by line."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from paceline.simulation import simulate


def replayed(seed: int, hash_seed: str) -> str:
    """The digest of a seed's trace, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "paceline", "simulate", "--seed", str(seed), "--json"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return str(json.loads(done.stdout)["trace"])


@pytest.mark.parametrize("seed", [3, 29])
def test_a_seed_gives_the_same_trace_in_any_process(seed: int) -> None:
    here = simulate(seed).trace.digest()
    assert simulate(seed).trace.digest() == here
    assert {replayed(seed, "1"), replayed(seed, "2")} == {here}


def test_other_seeds_give_other_traces() -> None:
    assert len({simulate(seed).trace.digest() for seed in range(10)}) == 10
