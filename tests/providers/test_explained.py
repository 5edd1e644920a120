"""What is said about doubt is what the verdicts are."""

from __future__ import annotations

import pytest

from paceline.providers import capabilities_of, names
from paceline.providers.base import Capabilities
from paceline.providers.explained import explain

NEITHER = Capabilities(500)
DEDUPLICATES = Capabilities(500, deduplicates=True)
LOOKS_UP = Capabilities(500, looks_up=True)


def told(capabilities: Capabilities, server_error="retry", unconfirmed="hold") -> dict[str, str]:
    return dict(explain(capabilities, server_error=server_error, unconfirmed=unconfirmed))


@pytest.mark.parametrize("provider", names())
@pytest.mark.parametrize("server_error", ["retry", "hold"])
@pytest.mark.parametrize("unconfirmed", ["hold", "resend"])
def test_every_kind_of_doubt_is_explained_for_every_provider(provider, server_error, unconfirmed):
    said = explain(
        capabilities_of(provider, {}), server_error=server_error, unconfirmed=unconfirmed
    )
    assert [what for what, _ in said] == [
        "not sent (no connection)",
        "throttled (429)",
        "server error (5xx)",
        "no answer",
        "refused (401, 402, 403, 404)",
        "rejected whole (400, 422)",
        "too large (413)",
        "accepted before (duplicate)",
    ]
    assert all(sentence for _, sentence in said)


def test_what_was_not_accepted_is_tried_again_whatever_the_provider_can_do():
    for capabilities in (NEITHER, DEDUPLICATES, LOOKS_UP):
        for what in ("not sent (no connection)", "throttled (429)"):
            assert told(capabilities)[what] == "not accepted: tried again after a wait"


def test_no_answer_is_left_to_the_operator_only_where_nothing_else_can_prove_it():
    assert told(NEITHER)["no answer"].endswith("unconfirmed, until you decide")
    assert "a receipt proves it" in told(Capabilities(1, echoes_reference=True))["no answer"]
    assert "perhaps twice" in told(NEITHER, unconfirmed="resend")["no answer"]
    assert "the provider is asked" in told(LOOKS_UP, unconfirmed="resend")["no answer"]
    assert "under its reference" in told(DEDUPLICATES, unconfirmed="resend")["no answer"]


def test_a_horizon_is_said():
    limited = Capabilities(500, deduplicates=True, dedupe_horizon_ms=5_400_000)
    assert told(limited)["no answer"].endswith("that is relied on for 1.5 h")


def test_a_server_error_is_what_the_account_says_unless_the_provider_can_tell():
    assert "(server_error=retry)" in told(NEITHER)["server error (5xx)"]
    assert "unconfirmed" in told(NEITHER, server_error="hold")["server error (5xx)"]
    assert "the provider is asked" in told(LOOKS_UP)["server error (5xx)"]
    assert "under its reference" in told(DEDUPLICATES)["server error (5xx)"]


def test_one_message_in_a_call_cannot_be_cut():
    assert "in halves" in told(NEITHER)["rejected whole (400, 422)"]
    assert "in smaller calls" in told(NEITHER)["too large (413)"]
    one = told(Capabilities(1))
    assert "the message fails" in one["rejected whole (400, 422)"]
    assert "the message fails" in one["too large (413)"]
