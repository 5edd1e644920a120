"""Asking a provider what became of messages whose call was not answered.

A look-up is not a submission: it takes no permit and may be repeated. It has connections and a
time-out of its own, so that neither keeps the other waiting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from paceline.domain.outcome import NoAnswer, NotSent
from paceline.providers.answers import read_retry_after, status_line
from paceline.providers.base import Account, LookUpFailedError
from paceline.providers.http import HttpEndpoint
from paceline.providers.lines import HttpAnswer, Network

TIMEOUT_MS = 10_000
"""For a look-up's answer. It is short because waiting longer proves nothing: it is asked again."""


class LookUps:
    """One URL that answers look-ups."""

    def __init__(
        self, account: Account, path: str, headers: Mapping[str, str], *, network: Network
    ) -> None:
        """Check and render what all look-ups have in common; they connect when first used.

        Raises:
            InvalidInputError: the URL or a header cannot be used.
        """
        self._endpoint = HttpEndpoint(
            account.base_url.rstrip("/") + path,
            headers,
            timeout_ms=min(account.timeout_ms, TIMEOUT_MS),
            network=network,
        )

    async def ask(
        self, query: Sequence[tuple[str, str]], *, expected: frozenset[int] = frozenset()
    ) -> HttpAnswer:
        """Ask once.

        Args:
            query: of the URL.
            expected: statuses beside 200 that are an answer.

        Raises:
            LookUpFailedError: no connection, no whole answer, or one of another status. What the
                provider said is left out of it.
        """
        answer = await self._endpoint.question(query, _as_it_is).submit(math.inf)
        if isinstance(answer, NotSent | NoAnswer):
            raise LookUpFailedError(answer.error)
        if answer.status not in expected | {HTTPStatus.OK}:
            raise LookUpFailedError(status_line(answer.status), read_retry_after(answer.headers))
        return answer

    async def aclose(self) -> None:
        """Close the connections."""
        await self._endpoint.aclose()


def _as_it_is(answer: HttpAnswer) -> HttpAnswer:
    return answer
