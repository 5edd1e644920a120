"""Tokens of opt-out links."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.domain.opt_out_link import LENGTH, OptOutTokens

TOKENS = OptOutTokens(b"k" * 32)


@given(st.integers(min_value=1, max_value=2**48 - 1))
def test_a_token_is_short_and_leads_back_to_its_message(message_id: int) -> None:
    token = TOKENS.of(message_id)
    assert re.fullmatch(rf"[A-Za-z0-9_-]{{{LENGTH}}}", token)
    assert len(token) <= 22
    assert TOKENS.message_id(token) == message_id


@given(st.text(max_size=30))
def test_no_text_is_a_token_by_chance(text: str) -> None:
    assert TOKENS.message_id(text) is None


@pytest.mark.parametrize("position", range(LENGTH - 1))
def test_a_changed_token_is_nobodys(position: int) -> None:
    token = TOKENS.of(123_456)
    other = "A" if token[position] != "A" else "B"
    assert TOKENS.message_id(token[:position] + other + token[position + 1 :]) is None


def test_a_token_of_another_installation_is_nobodys() -> None:
    assert TOKENS.message_id(OptOutTokens(b"other" * 7).of(1)) is None
