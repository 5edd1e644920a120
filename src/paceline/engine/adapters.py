"""The adapters in use: one per traffic account, made anew when its row changes."""

from __future__ import annotations

from typing import Any

from paceline.clock import Clock
from paceline.providers import create
from paceline.providers.base import Account, Provider


class Adapters:
    """Keeps the connections of each account together."""

    def __init__(self, clock: Clock, timeout_ms: int) -> None:
        self._clock = clock
        self._timeout_ms = timeout_ms
        self._current: dict[int, tuple[Account, Provider]] = {}
        self._retired: list[Provider] = []

    def of(self, row: Any) -> Provider:
        """The adapter for an account's row.

        Raises:
            InvalidInputError: the row names an unknown provider or an unusable address.
        """
        account = Account(
            provider=row.provider,
            base_url=row.base_url,
            api_key=row.api_key,
            external_id=row.external_id,
            timeout_ms=self._timeout_ms,
            options=row.options,
        )
        current = self._current.get(row.id)
        if current is not None and current[0] == account:
            return current[1]
        provider = create(account, monotonic=self._clock.monotonic)
        if current is not None:
            self._retired.append(current[1])  # calls may still be under way on it
        self._current[row.id] = (account, provider)
        return provider

    async def aclose(self) -> None:
        """Close every connection; no call may be under way."""
        for provider in [*self._retired, *(provider for _, provider in self._current.values())]:
            await provider.aclose()
        self._retired.clear()
        self._current.clear()
