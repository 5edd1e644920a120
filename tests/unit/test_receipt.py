"""Receipts add up to the same, in any order and however often they come."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.domain.message import Delivery, MessageStatus, Reason
from paceline.domain.receipt import Standing, best, stand

NONE, UNDELIVERED, EXPIRED, DELIVERED = (
    Delivery.NONE,
    Delivery.UNDELIVERED,
    Delivery.EXPIRED,
    Delivery.DELIVERED,
)
QUEUED, SENT, FAILED = MessageStatus.QUEUED, MessageStatus.SENT, MessageStatus.FAILED


@dataclass(frozen=True)
class Message:
    """A message as the fold sees it: its standing and the best report of each of its attempts."""

    standing: Standing
    attempts: tuple[Delivery, ...]

    def fold(self, attempt: int, report: Delivery) -> Message:
        reports = list(self.attempts)
        reports[attempt] = best(reports[attempt], report)
        was = self.standing
        now = stand(was.status, was.reason, reports)
        return replace(self, standing=now, attempts=tuple(reports))

    def fold_all(self, receipts: list[tuple[int, Delivery]]) -> Message:
        message = self
        for receipt in receipts:
            message = message.fold(*receipt)
        return message


STARTS = [
    Standing(QUEUED, NONE, None, in_doubt=False),
    Standing(QUEUED, NONE, None, in_doubt=True),
    Standing(SENT, NONE, None, in_doubt=False),
    Standing(FAILED, NONE, Reason.CANCELLED, in_doubt=False),
    Standing(FAILED, NONE, Reason.GIVEN_UP, in_doubt=False),
]


def _receipts(attempts: int) -> st.SearchStrategy[list[tuple[int, Delivery]]]:
    receipt = st.tuples(st.integers(0, attempts - 1), st.sampled_from(Delivery))
    return st.lists(receipt, min_size=1, max_size=6)


@st.composite
def folds(draw):
    """A message, its receipts, and the same receipts shuffled and repeated."""
    attempts = draw(st.integers(1, 3))
    receipts = draw(_receipts(attempts))
    again = draw(st.permutations(receipts + draw(st.lists(st.sampled_from(receipts), max_size=4))))
    start = Message(draw(st.sampled_from(STARTS)), (NONE,) * attempts)
    return start, receipts, again


@given(folds())
def test_order_and_repetition_of_receipts_change_nothing(case):
    start, receipts, shuffled_and_repeated = case
    assert start.fold_all(receipts) == start.fold_all(shuffled_and_repeated)


@given(folds())
def test_a_message_with_a_report_is_never_in_doubt_and_has_a_reason_only_when_failed(case):
    start, receipts, _ = case
    standing = start.fold_all(receipts).standing
    assert not standing.in_doubt
    assert (standing.reason is not None) == (standing.status is FAILED)
    assert (standing.delivery is DELIVERED) <= (standing.status is SENT)


@pytest.mark.parametrize(
    ("one", "other", "better"),
    [
        (NONE, NONE, NONE),
        (NONE, UNDELIVERED, UNDELIVERED),
        (NONE, EXPIRED, EXPIRED),
        (NONE, DELIVERED, DELIVERED),
        (UNDELIVERED, EXPIRED, EXPIRED),
        (UNDELIVERED, DELIVERED, DELIVERED),
        (EXPIRED, DELIVERED, DELIVERED),
    ],
)
def test_delivered_beats_a_final_failure_beats_nothing(one, other, better):
    assert best(one, other) is best(other, one) is better


def test_the_best_of_three_does_not_depend_on_who_is_asked_first():
    for one, two, three in itertools.product(Delivery, repeat=3):
        assert best(best(one, two), three) is best(one, best(two, three))


@pytest.mark.parametrize("start", STARTS, ids=str)
def test_delivered_makes_any_message_sent_and_clears_its_reason(start):
    standing = stand(start.status, start.reason, [DELIVERED])
    assert standing == Standing(SENT, DELIVERED, None, in_doubt=False)


@pytest.mark.parametrize(
    ("report", "reason"), [(UNDELIVERED, Reason.UNDELIVERED), (EXPIRED, Reason.EXPIRED)]
)
@pytest.mark.parametrize("status", [QUEUED, SENT])
def test_final_non_delivery_makes_a_message_failed(status, report, reason):
    standing = stand(status, None, [report])
    assert standing == Standing(FAILED, report, reason, in_doubt=False)


def test_final_non_delivery_waits_for_the_attempt_that_may_yet_arrive():
    assert stand(SENT, None, [UNDELIVERED, NONE]).status is SENT
    assert stand(SENT, None, [UNDELIVERED, EXPIRED]).status is FAILED


def test_any_report_proves_that_a_queued_message_was_accepted():
    standing = stand(QUEUED, None, [NONE])
    assert standing == Standing(SENT, NONE, None, in_doubt=False)


def test_an_intermediate_report_changes_nothing_about_a_settled_message():
    assert stand(SENT, None, [NONE]) == Standing(SENT, NONE, None, in_doubt=False)
    assert stand(FAILED, "cancelled", [NONE]) == Standing(
        FAILED, NONE, Reason.CANCELLED, in_doubt=False
    )
