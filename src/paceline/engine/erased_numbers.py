"""Whether a number is of somebody who was erased, and must not be written to any more."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Collection
from functools import cached_property
from typing import Final

from sqlalchemy import Connection

from paceline.domain.errors import InvalidInputError
from paceline.settings import Settings
from paceline.storage import erased
from paceline.storage.sealing import Sealer, sealer_of

_PURPOSE: Final = "erased numbers"
WHY: Final = "is of a person who was erased, and stays suppressed"


class ErasedNumbers:
    """Knows the numbers of erased people by their keyed hashes.

    Without the secret a hash cannot be made, so the few billion numbers that there are cannot be
    tried. Each tenant's hashes are different.

    Args:
        sealer: gives the installation's; called when a hash is needed for the first time.
    """

    def __init__(self, sealer: Callable[[], Sealer]) -> None:
        self._sealer = sealer

    @classmethod
    def of(cls, settings: Settings) -> ErasedNumbers:
        return cls(lambda: sealer_of(settings))

    def digest(self, tenant_id: int, phone: str) -> str:
        """What is kept of a number (E.164)."""
        return _digest(self._keys[0], tenant_id, phone)

    def refuse(self, connection: Connection, tenant_id: int, phone: str, *, where: str) -> None:
        """Say no to a number, in the transaction that would store it.

        Raises:
            InvalidInputError: it is of an erased person.
        """
        erased.hold(connection, tenant_id)
        if self.among(connection, tenant_id, [phone]):
            raise InvalidInputError.of(where, WHY)

    def among(
        self, connection: Connection, tenant_id: int, phones: Collection[str]
    ) -> frozenset[str]:
        """Which of these numbers are of erased people."""
        if not erased.any_of(connection, tenant_id):
            return frozenset()
        numbers = {_digest(key, tenant_id, phone): phone for key in self._keys for phone in phones}
        known = erased.known(connection, tenant_id, list(numbers))
        return frozenset(numbers[digest] for digest in known)

    @cached_property
    def _keys(self) -> list[bytes]:
        return self._sealer().all_derived(_PURPOSE)


def _digest(key: bytes, tenant_id: int, phone: str) -> str:
    return hmac.new(key, f"{tenant_id} {phone}".encode(), hashlib.sha256).hexdigest()
