"""Which cases the test run has time for, and which are known to be broken.

All are run by ``python -m tests.interleaving``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tests.interleaving.cases import Case

_LONG = {
    "fold/fold: crossed, singles",
    "fold/fold: one blocks",
    "fold/fold: sent",
    "fold/fold: sent twice",
    "fold/fold: single, unconfirmed",
    "fold/fold: submitting: two messages",
    "fold/fold: unconfirmed: one message",
    "fold/fold: unconfirmed: two messages",
    "intent/cancel: after a drop",
    "intent/cancel: after a drop in doubt",
    "intent/cancel: one of two campaigns",
    "intent/fold: after a drop in doubt",
    "intent/record: accepted",
    "intent/record: opted out",
    "intent/recover: after a drop",
    "intent/recover: another's call",
    "record/fold: submitting: one_opted_out, 1 undelivered",
    "record/fold: unconfirmed: one_opted_out, 1 undelivered",
    "recover/recover: crossed",
    "reserve/reserve: two accounts",
}
"""More than fifty schedules each."""
_OF_A_PAIR = 2
_DEADLOCKED_ONCE = {
    "confirm/fold: single, delivered",
    "confirm/record: all known, the answer comes late",
    "confirm/record: single",
    "decide/fold: accept, single, delivered",
    "decide/fold: fail, single, delivered",
    "decide/fold: resend, single, delivered",
    "fold/fold: crossed",
    "index/fold: undelivered by reference",
    "record/fold: single, unconfirmed: accepted, delivered",
    "record/fold: single, unconfirmed: accepted, undelivered",
    "record/fold: single, unconfirmed: no answer",
}


def short(cases: Iterable[Case]) -> list[Any]:
    """Parameters of a test: the first cases of each pair that are not long, and all that have
    deadlocked once.
    """
    return [pytest.param(case, id=case.name) for case in _chosen(cases)]


def _chosen(cases: Iterable[Case]) -> Iterator[Case]:
    taken: Counter[frozenset[str]] = Counter()
    for case in cases:
        pair = frozenset(case.pair)
        if case.name in _DEADLOCKED_ONCE:
            yield case
        elif case.name not in _LONG and taken[pair] < _OF_A_PAIR:
            taken[pair] += 1
            yield case
