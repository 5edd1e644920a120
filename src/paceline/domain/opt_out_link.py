"""The tokens of opt-out links: ``{PACELINE_PUBLIC_URL}/u/{token}``.

A token is stateless: 6 bytes of the message's id and 8 of an HMAC-SHA256 over it, in URL-safe
base64. It says nothing about the person, cannot be guessed (one in 2^64 is right), and its 19
characters leave the text most of its 160.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final

PATH: Final = "/u/"
"""Where links lead to, under the public address."""
LENGTH: Final = 19
"""Characters of a token."""
_ID_BYTES: Final = 6
_PROOF_BYTES: Final = 8
_SHAPE: Final = re.compile(rf"[A-Za-z0-9_-]{{{LENGTH}}}", re.ASCII)


class OptOutTokens:
    """Makes and reads tokens, under one key.

    Args:
        key: of this installation, for this purpose alone.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, message_id: int) -> str:
        """The token of a message."""
        identity = message_id.to_bytes(_ID_BYTES, "big")
        return base64.urlsafe_b64encode(identity + self._proof(identity)).decode().rstrip("=")

    def message_id(self, token: str) -> int | None:
        """The message that a token is of; None: it is none of ours."""
        if not _SHAPE.fullmatch(token):
            return None
        taken = base64.urlsafe_b64decode(f"{token}=")
        identity, proof = taken[:_ID_BYTES], taken[_ID_BYTES:]
        genuine = hmac.compare_digest(proof, self._proof(identity))
        return int.from_bytes(identity, "big") if genuine else None

    def _proof(self, identity: bytes) -> bytes:
        return hmac.digest(self._key, identity, hashlib.sha256)[:_PROOF_BYTES]
