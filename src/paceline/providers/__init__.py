"""The providers by name. To add one: write its module, name it here, run it through
``tests/providers``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from paceline.domain.errors import InvalidInputError
from paceline.providers.base import Account, Capabilities, Provider
from paceline.providers.infobip import Infobip
from paceline.providers.lines import INTERNET, Network
from paceline.providers.mitto import Mitto
from paceline.providers.simulated import Simulated
from paceline.providers.twilio import Twilio

_Adapter: TypeAlias = type[Infobip | Mitto | Simulated | Twilio]
_ADAPTERS: dict[str, _Adapter] = {
    "infobip": Infobip,
    "mitto": Mitto,
    "simulator": Simulated,
    "twilio": Twilio,
}


def names() -> list[str]:
    """All providers that an account may name."""
    return sorted(_ADAPTERS)


def create(account: Account, *, network: Network = INTERNET) -> Provider:
    """Make the adapter for a traffic account; it connects when it is first used.

    ``network`` is where the provider is, and the clock of ``PreparedCall.submit(send_by)``.

    Raises:
        InvalidInputError: the provider is unknown, or the account's URL, key or an option cannot be
            used.
    """
    return _adapter(account.provider)(account, network=network)


def capabilities_of(provider: str, options: Mapping[str, Any]) -> Capabilities:
    """What a provider promises to an account with these options, without making an adapter.

    Raises:
        InvalidInputError: the provider or an option is unknown, or an option cannot be used.
    """
    return _adapter(provider).capabilities_with(options)


def check_sender(provider: str, sender: str) -> str | None:
    """Say what a provider would find wrong with a sender; None if it can be used.

    Raises:
        InvalidInputError: the provider is unknown.
    """
    return _adapter(provider).check_sender(sender)


def _adapter(name: str) -> _Adapter:
    try:
        return _ADAPTERS[name]
    except KeyError:
        known = ", ".join(names())
        raise InvalidInputError.of("provider", f"must be one of {known}, not {name!r}") from None
