"""Every interleaving of what comes in between now and then with what runs all day."""

from __future__ import annotations

import pytest

from tests.interleaving.cases_beside import cases_beside
from tests.interleaving.running import explore
from tests.interleaving.selection import short


@pytest.mark.parametrize("case", short(cases_beside()))
def test_no_interleaving_breaks_a_promise(stage, case):
    explored = explore(stage, case, until_broken=True)
    assert explored.broken == {}, explored.example
