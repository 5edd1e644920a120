"""Every interleaving of what sends, with itself and with whatever may come in between."""

from __future__ import annotations

import itertools

import pytest

from tests.interleaving.cases import engine_cases
from tests.interleaving.running import explore
from tests.interleaving.selection import short

ENGINE = ("reserve", "intent", "record", "cancel", "pause", "opt-out", "fold", "recover")
SENDING = [case for case in engine_cases() if {"reserve", "intent"} & set(case.pair)]


@pytest.mark.parametrize("case", short(SENDING))
def test_no_interleaving_breaks_a_promise(stage, case):
    explored = explore(stage, case, until_broken=True)
    assert explored.broken == {}, explored.example


def test_every_pair_of_the_engine_has_a_case_that_is_run_here():
    pairs = {frozenset(case.values[0].pair) for case in short(engine_cases())}
    wanted = itertools.combinations_with_replacement(ENGINE, 2)
    assert {frozenset(pair) for pair in wanted} <= pairs
