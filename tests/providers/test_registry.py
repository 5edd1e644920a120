"""Providers by name."""

from __future__ import annotations

import pytest

from paceline.domain.errors import InvalidInputError
from paceline.providers import check_sender, create
from paceline.providers.base import Account, Capabilities, Provider


def account(provider: str, **options: bool) -> Account:
    return Account(provider, "http://localhost", "key", "acc-1", options=options)


def test_an_unknown_provider_is_named_beside_the_known_ones():
    with pytest.raises(InvalidInputError, match="must be one of mitto, simulator, not 'mito'"):
        create(account("mito"))
    with pytest.raises(InvalidInputError, match="mitto, simulator"):
        check_sender("mito", "Brand")


def test_mitto_can_prove_nothing_by_reference():
    assert create(account("mitto")).capabilities == Capabilities(max_messages_per_call=10_000)


def test_the_simulator_can_do_what_its_account_says():
    provider: Provider = create(account("simulator"))
    assert provider.capabilities == Capabilities(10_000, echoes_reference=True)
    told = account("simulator", deduplicates=True, looks_up=True, echoes_reference=False)
    assert create(told).capabilities == Capabilities(10_000, deduplicates=True, looks_up=True)


def test_senders_are_checked_by_the_provider():
    assert check_sender("mitto", "Brand") is None
    assert check_sender("simulator", "no") is not None


def test_an_account_may_be_a_key_of_a_mapping():
    assert {account("simulator", looks_up=True): 1}[account("simulator", looks_up=True)] == 1


def test_an_account_never_shows_its_key():
    assert "key" not in repr(account("mitto"))
