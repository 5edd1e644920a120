"""Every interleaving of what comes after a call, and of what people order meanwhile."""

from __future__ import annotations

import pytest

from tests.interleaving.cases import engine_cases
from tests.interleaving.running import explore
from tests.interleaving.selection import short

RECORDING = [case for case in engine_cases() if not {"reserve", "intent"} & set(case.pair)]


@pytest.mark.parametrize("case", short(RECORDING))
def test_no_interleaving_breaks_a_promise(stage, case):
    explored = explore(stage, case, until_broken=True)
    assert explored.broken == {}, explored.example
