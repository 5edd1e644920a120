"""The table of a campaign's states, held against the list of the design."""

from __future__ import annotations

import itertools

import pytest

from paceline.domain.campaign import (
    FINAL,
    TRANSITIONS,
    CampaignStatus,
    CampaignVerb,
    after,
    allowed_from,
)
from paceline.domain.errors import ConflictError, WrongStateError

MOVES = {
    ("draft", "schedule", "scheduled"),
    ("scheduled", "schedule", "scheduled"),
    ("scheduled", "unschedule", "draft"),
    ("draft", "start", "sending"),
    ("scheduled", "start", "sending"),
    ("sending", "pause", "paused"),
    ("paused", "resume", "sending"),
    ("draft", "cancel", "cancelled"),
    ("scheduled", "cancel", "cancelled"),
    ("sending", "cancel", "cancelled"),
    ("paused", "cancel", "cancelled"),
    ("sending", "complete", "completed"),
    ("paused", "complete", "completed"),
    ("scheduled", "fail", "failed"),
}


@pytest.mark.parametrize(
    ("status", "verb"), list(itertools.product(CampaignStatus, CampaignVerb)), ids=str
)
def test_only_the_moves_of_the_design_exist(status, verb):
    targets = [target for start, word, target in MOVES if (start, word) == (status, verb)]
    if targets:
        assert [after(verb, status)] == targets
    else:
        with pytest.raises(WrongStateError):
            after(verb, status)


def test_every_verb_is_in_the_table():
    assert set(TRANSITIONS) == set(CampaignVerb)


def test_nothing_leads_out_of_a_final_state():
    assert {"completed", "cancelled", "failed"} == FINAL
    assert not {start for start, _, _ in MOVES} & FINAL
    assert set(CampaignStatus) - {start for start, _, _ in MOVES} == FINAL


@pytest.mark.parametrize(
    ("verb", "status", "message"),
    [
        (
            CampaignVerb.PAUSE,
            CampaignStatus.DRAFT,
            "A campaign can be asked to pause only while it is sending; this one is draft.",
        ),
        (
            CampaignVerb.START,
            CampaignStatus.COMPLETED,
            (
                "A campaign can be asked to start only while it is draft or scheduled; this one is "
                "completed."
            ),
        ),
        (
            CampaignVerb.CANCEL,
            CampaignStatus.FAILED,
            (
                "A campaign can be asked to cancel only while it is draft, scheduled, sending or "
                "paused; this one is failed."
            ),
        ),
    ],
)
def test_a_refusal_names_the_state_and_the_allowed_ones(verb, status, message):
    with pytest.raises(WrongStateError) as refusal:
        after(verb, status)
    assert refusal.value.message == message
    assert refusal.value.status == status
    assert refusal.value.allowed == allowed_from(verb)
    assert refusal.value.code == "wrong_state"
    assert refusal.value.retryable is False
    assert isinstance(refusal.value, ConflictError)


def test_the_allowed_states_come_in_the_order_of_a_life():
    assert allowed_from(CampaignVerb.CANCEL) == ("draft", "scheduled", "sending", "paused")
