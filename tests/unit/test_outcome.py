"""What an outcome carries to the record: a word, a status, an error."""

from __future__ import annotations

from typing import get_args

import pytest

from paceline.domain.outcome import (
    Answered,
    NoAnswer,
    NotSent,
    Outcome,
    OutcomeKind,
    Refused,
    Rejected,
    Rejection,
    ServerError,
    Throttled,
)

EXAMPLES: list[tuple[Outcome, str, int | None, str]] = [
    (Answered(["a"]), "answered", 200, ""),
    (Rejected(Rejection("21211", "not a number")), "rejected", 400, "21211: not a number"),
    (Refused("402 Payment Required", 402), "refused", 402, "402 Payment Required"),
    (NotSent("connection refused"), "not_sent", None, "connection refused"),
    (Throttled(), "throttled", 429, "429 Too Many Requests"),
    (ServerError("502 Bad Gateway", 502), "server_error", 502, "502 Bad Gateway"),
    (NoAnswer("timed out"), "no_answer", None, "timed out"),
]


@pytest.mark.parametrize(("outcome", "kind", "status", "error"), EXAMPLES)
def test_every_outcome_says_what_the_attempt_records(outcome, kind, status, error):
    assert (outcome.kind, outcome.status, outcome.error) == (kind, status, error)


def test_every_outcome_has_a_word_of_its_own_and_void_is_the_only_other():
    assert {type(outcome) for outcome, *_ in EXAMPLES} == set(get_args(Outcome))
    kinds = [outcome.kind for outcome, *_ in EXAMPLES]
    assert sorted([*kinds, OutcomeKind.VOID]) == sorted(OutcomeKind)


def test_a_rejection_reads_as_its_code_and_what_is_known_beside():
    assert str(Rejection("30006")) == "30006"
    assert str(Rejection("30006", "landline")) == "30006: landline"
