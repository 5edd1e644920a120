"""The tables of a message's and a batch's states, and the reference."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.domain.message import (
    BATCH_TRANSITIONS,
    BatchStatus,
    Cause,
    MessageStatus,
    after,
    parse_reference,
    reference,
)

MOVES = {
    ("queued", "accepted", "sent"),
    ("queued", "given_up", "failed"),
    ("queued", "delivered_receipt", "sent"),
    ("queued", "failure_receipt", "failed"),
    ("sent", "delivered_receipt", "sent"),
    ("sent", "failure_receipt", "failed"),
    ("failed", "delivered_receipt", "sent"),
}

BATCH_MOVES = {
    ("queued", "reserved"),
    ("queued", "done"),  # the rest of a rejected call, and its scouts were rejected alike
    ("reserved", "queued"),  # given back, run out, or a try without a call
    ("reserved", "submitting"),
    ("submitting", "done"),
    ("submitting", "queued"),  # known not accepted, retryable
    ("submitting", "unconfirmed"),
    ("unconfirmed", "done"),
    ("unconfirmed", "queued"),
    ("queued", "cancelled"),
    ("reserved", "cancelled"),  # returns to a cancelled campaign
    ("submitting", "cancelled"),
    ("unconfirmed", "cancelled"),
    ("reserved", "done"),  # emptied by opt-outs, or failed before the call
    ("submitting", "reserved"),  # its permit was void
    ("queued", "unconfirmed"),  # in doubt, and its campaign is cancelled
    ("reserved", "unconfirmed"),  # in doubt, and out of tries or of a campaign
}


@pytest.mark.parametrize(
    ("status", "cause"), list(itertools.product(MessageStatus, Cause)), ids=str
)
def test_only_the_moves_of_the_design_change_a_message(status, cause):
    targets = [target for start, why, target in MOVES if (start, why) == (status, cause)]
    assert [after(status, cause)] == (targets or [status])


def test_no_message_ever_returns_to_the_queue():
    assert not [move for move in MOVES if move[2] == "queued"]


@pytest.mark.parametrize(
    ("status", "target"), list(itertools.product(BatchStatus, BatchStatus)), ids=str
)
def test_only_the_moves_of_the_design_change_a_batch(status, target):
    assert (target in BATCH_TRANSITIONS[status]) == ((status, target) in BATCH_MOVES)


def test_nothing_leads_out_of_a_batch_that_is_over():
    assert BATCH_TRANSITIONS[BatchStatus.DONE] == BATCH_TRANSITIONS[BatchStatus.CANCELLED] == set()


@given(
    st.text("0123456789abcdef", min_size=1, max_size=16),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**31 - 1),
)
def test_a_reference_can_be_taken_apart_again(installation, message_id, generation):
    text = reference(installation, message_id, generation)
    assert parse_reference(text) == (installation, message_id, generation)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "--",
        "ab12",
        "ab12-7",
        "ab12-7-",
        "ab12--0",
        "-7-0",
        "ab12-7-0-1",
        "ab12-7-x",
        "ab12-x-0",
        "ab12- 7-0",
        "ab12-+7-0",
        "ab12-7-0 ",
        "ab12-\u0667-0",
        f"ab12-{2**63}-0",
        f"ab12-7-{2**31}",
        f"ab12-{'9' * 5000}-0",
    ],
)
def test_what_we_have_not_written_is_not_ours(text):
    assert parse_reference(text) is None
