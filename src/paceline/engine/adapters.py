"""The adapters in use: one per traffic account, made anew when its row changes."""

from __future__ import annotations

from typing import Any

from paceline.providers import create
from paceline.providers.base import Account, Provider
from paceline.providers.lines import INTERNET, Network
from paceline.storage.sealing import Sealer


class Adapters:
    """Keeps the connections of each account together."""

    def __init__(
        self,
        timeout_ms: int,
        public_url: str | None = None,
        *,
        sealer: Sealer | None = None,
        network: Network = INTERNET,
    ) -> None:
        """Have none yet.

        Args:
            timeout_ms: for a provider's answer.
            public_url: where providers reach the webhooks; None: they do not.
            sealer: opens the accounts' keys; None: they are plain.
            network: where the providers are, and the clock of ``PreparedCall.submit(send_by)``.
        """
        self._timeout_ms = timeout_ms
        self._public_url = public_url
        self.sealer = sealer
        self._network = network
        self._current: dict[int, tuple[Account, Provider]] = {}
        self._retired: list[Provider] = []

    def of(self, row: Any) -> Provider:
        """The adapter for an account's row.

        Raises:
            InvalidInputError: the row names an unknown provider or an unusable address.
            SecretError: its key was sealed with another secret.
        """
        account = Account(
            provider=row.provider,
            base_url=row.base_url,
            api_key=self.sealer.open(row.api_key) if self.sealer else row.api_key,
            external_id=row.external_id,
            timeout_ms=self._timeout_ms,
            receipts_url=self._receipts_url(row),
            options=row.options,
        )
        current = self._current.get(row.id)
        if current is not None and current[0] == account:
            return current[1]
        provider = create(account, network=self._network)
        if current is not None:
            self._retired.append(current[1])  # calls may still be under way on it
        self._current[row.id] = (account, provider)
        return provider

    def _receipts_url(self, row: Any) -> str:
        if self._public_url is None:
            return ""
        return f"{self._public_url.rstrip('/')}/webhooks/{row.provider}/{row.webhook_token}/dlr"

    async def aclose(self) -> None:
        """Close every connection; no call may be under way."""
        for provider in [*self._retired, *(provider for _, provider in self._current.values())]:
            await provider.aclose()
        self._retired.clear()
        self._current.clear()
