"""The list of planted bugs fits the sources; whether tests find them, ``python -m tests.planted``
says.
"""

from __future__ import annotations

import pytest

from tests.planted.bugs import BUGS, FIRST, FIRST_NAMES
from tests.planted.tree import ROOT


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_can_be_planted_and_the_file_still_compiles(bug):
    source = (ROOT / bug.file).read_text(encoding="utf-8")
    planted = bug.planted_in(source)
    assert planted != source
    compile(planted, bug.file, "exec")


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_is_small(bug):
    old, new = set(bug.old.splitlines()), set(bug.new.splitlines())
    assert len(old - new) <= 2
    assert len(new - old) <= 2


def test_there_are_enough_of_them_and_each_has_a_name_and_a_sentence_of_its_own():
    assert len(FIRST) >= 18
    assert len(FIRST) == len(FIRST_NAMES)
    assert len({bug.name for bug in BUGS}) == len({bug.harm for bug in BUGS}) == len(BUGS)
    assert all(bug.harm.endswith(".") for bug in BUGS)
