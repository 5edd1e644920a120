"""The providers by name. To add one: write its module, name it here, run it through
``tests/providers``.
"""

from __future__ import annotations

import time

from paceline.domain.errors import InvalidInputError
from paceline.providers.base import Account, Provider
from paceline.providers.http import Monotonic
from paceline.providers.mitto import Mitto
from paceline.providers.simulated import Simulated

_ADAPTERS: dict[str, type[Mitto | Simulated]] = {"mitto": Mitto, "simulator": Simulated}


def create(account: Account, *, monotonic: Monotonic = time.monotonic) -> Provider:
    """Make the adapter for a traffic account; it connects when it is first used.

    ``monotonic`` is the clock of ``PreparedCall.submit(send_by)``.

    Raises:
        InvalidInputError: the provider is unknown, or the account's URL or key cannot be used.
    """
    return _adapter(account.provider)(account, monotonic=monotonic)


def check_sender(provider: str, sender: str) -> str | None:
    """Say what a provider would find wrong with a sender; None if it can be used.

    Raises:
        InvalidInputError: the provider is unknown.
    """
    return _adapter(provider).check_sender(sender)


def _adapter(name: str) -> type[Mitto | Simulated]:
    try:
        return _ADAPTERS[name]
    except KeyError:
        known = ", ".join(sorted(_ADAPTERS))
        raise InvalidInputError.of("provider", f"must be one of {known}, not {name!r}") from None
