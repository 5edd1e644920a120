"""How the provider posts to a customer's webhook: again after a 5xx, a time-out or no connection.

Any other answer but 2xx is taken as a refusal, which ends the matter.
"""

from __future__ import annotations

from enum import Enum, auto

import aiohttp

DEFAULT_BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits before the tries after the first one; when they are used up, the post is given up."""

_POST_TIMEOUT = aiohttp.ClientTimeout(total=10)
_HEADERS = {"Content-Type": "application/json"}
_SERVER_ERROR = 500


class Posted(Enum):
    """What one try has come to."""

    DELIVERED = auto()
    REFUSED = auto()
    AGAIN = auto()


def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=_POST_TIMEOUT)


async def post(through: aiohttp.ClientSession, url: str, body: bytes) -> Posted:
    """Try once."""
    try:
        async with through.post(url, data=body, headers=_HEADERS) as answer:
            if answer.status >= _SERVER_ERROR:
                return Posted.AGAIN
            return Posted.DELIVERED if answer.ok else Posted.REFUSED
    except (aiohttp.ClientError, TimeoutError):
        return Posted.AGAIN
