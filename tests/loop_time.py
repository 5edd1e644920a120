"""The time of an event loop, moved by the test instead of waited for."""

from __future__ import annotations

import asyncio
import math

_ROUNDS = 10
"""Of the loop after a move: more than the awaits between a timer and what a test looks at."""


class LoopTime:
    """Stands still until it is moved; whatever the loop itself times, such as `asyncio.sleep`,
    goes by it. It takes the time of the loop that is running.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.at = math.ceil(loop.time())
        loop.time = lambda: float(self.at)  # type: ignore[method-assign]

    async def move(self, seconds: int) -> None:
        """Let so much time pass, and whoever has waited for it go on.

        Whole seconds add up exactly.
        """
        self.at += seconds
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)


def jump(seconds: float) -> None:
    """Put the running loop ahead by so much; it goes on as it went, for tests with real servers."""
    loop = asyncio.get_running_loop()
    time = loop.time
    loop.time = lambda: time() + seconds  # type: ignore[method-assign]
