"""Providers by name."""

from __future__ import annotations

import pytest

from paceline.domain.errors import InvalidInputError
from paceline.providers import capabilities_of, check_sender, create, names
from paceline.providers.base import Account, Capabilities, Provider


def account(provider: str, **options: object) -> Account:
    return Account(provider, "http://localhost", "key", "acc-1", options=options)


def test_an_unknown_provider_is_named_beside_the_known_ones():
    with pytest.raises(InvalidInputError, match="be one of infobip, mitto, simulator, twilio, not"):
        create(account("mito"))
    with pytest.raises(InvalidInputError, match="mitto, simulator, twilio"):
        check_sender("mito", "Brand")
    with pytest.raises(InvalidInputError, match="mitto, simulator, twilio"):
        capabilities_of("mito", {})


def test_the_providers_are_named_in_order():
    assert names() == ["infobip", "mitto", "simulator", "twilio"]


def test_mitto_can_prove_nothing_by_reference():
    assert create(account("mitto")).capabilities == Capabilities(max_messages_per_call=10_000)


def test_the_simulator_can_do_what_its_account_says():
    provider: Provider = create(account("simulator"))
    assert provider.capabilities == Capabilities(10_000, echoes_reference=True)
    told = account(
        "simulator",
        deduplicates=True,
        looks_up=True,
        echoes_reference=False,
        max_look_ups=30,
        max_messages_per_call=200,
    )
    assert create(told).capabilities == Capabilities(
        200, deduplicates=True, looks_up=True, max_look_ups=30
    )


@pytest.mark.parametrize("provider", ["infobip", "simulator"])
@pytest.mark.parametrize("option", [{"deduplicates": "yes"}, {"dedupe": True}])
def test_an_option_that_cannot_be_used_is_named(provider, option):
    with pytest.raises(InvalidInputError, match="dedup"):
        capabilities_of(provider, option)
    with pytest.raises(InvalidInputError, match="dedup"):
        create(account(provider, **option))


@pytest.mark.parametrize("name", ["max_look_ups", "max_messages_per_call"])
def test_a_provider_that_takes_nothing_is_none(name):
    with pytest.raises(InvalidInputError, match=name):
        capabilities_of("simulator", {name: 0})


def test_infobip_can_be_told_to_trust_the_logs_alone():
    told = capabilities_of("infobip", {"deduplicates": False})
    assert not told.deduplicates
    assert told.dedupe_horizon_ms is None
    assert told.looks_up


def test_twilio_brings_references_back_only_to_a_public_address():
    assert capabilities_of("twilio", {}).echoes_reference
    assert not create(account("twilio")).capabilities.echoes_reference


def test_senders_are_checked_by_the_provider():
    assert check_sender("mitto", "Brand") is None
    assert check_sender("simulator", "no") is not None


def test_an_account_may_be_a_key_of_a_mapping():
    assert {account("simulator", looks_up=True): 1}[account("simulator", looks_up=True)] == 1


def test_an_account_never_shows_its_key():
    assert "key" not in repr(account("mitto"))
