"""From an account's row to its adapter."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from paceline.engine.adapters import Adapters

ROW = SimpleNamespace(
    id=7,
    provider="twilio",
    base_url="http://localhost",
    api_key="token",
    external_id="AC1",
    webhook_token="webhook-token-0123456789",
    options={},
)


@pytest.mark.parametrize("public_url", ["https://sms.example.org", "https://sms.example.org/"])
def test_an_adapter_knows_where_its_receipts_are_to_go(public_url):
    adapter: Any = Adapters(1000, public_url).of(ROW)
    assert adapter._account.receipts_url == (
        "https://sms.example.org/webhooks/twilio/webhook-token-0123456789/dlr"
    )
    assert adapter.capabilities.echoes_reference


def test_without_a_public_address_no_receipts_can_be_asked_for():
    adapter: Any = Adapters(1000).of(ROW)
    assert adapter._account.receipts_url == ""
    assert not adapter.capabilities.echoes_reference


def test_an_adapter_is_kept_until_its_account_changes():
    adapters = Adapters(1000, "https://sms.example.org")
    adapter = adapters.of(ROW)
    assert adapters.of(SimpleNamespace(**vars(ROW))) is adapter
    moved = SimpleNamespace(**vars(ROW) | {"webhook_token": "another-token-0123456789"})
    assert adapters.of(moved) is not adapter
