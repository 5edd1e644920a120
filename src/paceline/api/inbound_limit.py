"""How many requests a key may make: a sliding window for each, in the memory of this process."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from paceline.api.problems import problem_response
from paceline.domain import limits
from paceline.domain.limits import Limit, Window
from paceline.settings import Settings
from paceline.storage.tenants import Caller

MOST_WINDOWS = 2_000
"""How many are remembered: those that were used last. A window takes up to 30 kB, and only keys in
force have any."""
_READS = frozenset({"GET", "HEAD"})


def limit_of(settings: Settings) -> Limit | None:
    """The limit of each key; None: there is none."""
    if settings.api_rate_max == 0:
        return None
    return Limit(settings.api_rate_max, settings.api_rate_window_ms, margin_ms=0)


class InboundLimit:
    """Refuses requests beyond a key's limit, with the time after which the next one is taken.

    Reads and all other requests have a window each, so that a dashboard that polls and a shop that
    sends with the same key do not starve each other. What is refused does not count.

    Args:
        app: what stands behind; ``edge.Authentication`` stands before.
        limit: of each window; None: there is none.
        clock: seconds that only go on.
    """

    def __init__(
        self, app: ASGIApp, *, limit: Limit | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.app = app
        self._limit = limit
        self._clock = clock
        self._windows: OrderedDict[tuple[int, bool], Window] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller | None = scope.get("state", {}).get("caller")
        if self._limit is None or caller is None:
            await self.app(scope, receive, send)
            return
        wait_ms = self._wait_ms(caller.key_id, self._limit, read=scope["method"] in _READS)
        if wait_ms is None:
            await self.app(scope, receive, send)
        else:
            await _too_many(self._limit, wait_ms)(scope, receive, send)

    def _wait_ms(self, key_id: int, limit: Limit, *, read: bool) -> int | None:
        """Count a request; None: it may pass. Else how long to wait."""
        at = int(self._clock() * 1000)
        whose = (key_id, read)
        window = self._windows.pop(whose, Window.EMPTY)
        free = limits.free(window, limit, at)
        self._windows[whose] = limits.grant(window, limit, 1, at) if free else window
        if len(self._windows) > MOST_WINDOWS:
            self._windows.popitem(last=False)
        return None if free else limits.open_at(window, limit, at) - at


def _too_many(limit: Limit, wait_ms: int) -> ASGIApp:
    wait_s = max(1, math.ceil(wait_ms / 1000))
    return problem_response(
        429,
        "too_many_requests",
        f"A key may make {limit.max} requests in {limit.window_ms / 1000:g} s, and as many reads. "
        f"Try again in {wait_s} s.",
        headers={"Retry-After": str(wait_s)},
    )
