"""The promises hold in every seed. A seed that fails here fails the same way by the command that
the failure prints; more seeds: `paceline simulate --seeds 10000`.
"""

from __future__ import annotations

import pytest

from paceline.simulation.many import Tally, players

EACH = 25


@pytest.mark.parametrize("first", range(0, 200, EACH))
def test_no_promise_is_broken(first: int) -> None:
    played = Tally()
    with players(jobs=1) as play_all:
        for each in play_all(range(first, first + EACH)):
            played.add(each)
    assert played.seeds == EACH
    assert played.texts > 0
    assert [
        f"paceline simulate --seed {each.seed} --trace: {each.violations[0]}"
        for each in played.failed
    ] == []
