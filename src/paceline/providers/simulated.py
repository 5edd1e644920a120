"""Paceline's own provider simulator: Mitto's wire, with a reference that Mitto lacks."""

from __future__ import annotations

import time
from dataclasses import replace

from paceline.providers.base import Account
from paceline.providers.http import Monotonic
from paceline.providers.mitto import CAPABILITIES, Mitto


class Simulated(Mitto):
    """Mitto with references. ``account.options`` says what the simulator was told to do with them:
    ``deduplicates`` (false), ``looks_up`` (false), ``echoes_reference`` (true).
    """

    def __init__(self, account: Account, *, monotonic: Monotonic = time.monotonic) -> None:
        capabilities = replace(
            CAPABILITIES,
            deduplicates=bool(account.options.get("deduplicates", False)),
            looks_up=bool(account.options.get("looks_up", False)),
            echoes_reference=bool(account.options.get("echoes_reference", True)),
        )
        super().__init__(account, capabilities, sends_reference=True, monotonic=monotonic)
