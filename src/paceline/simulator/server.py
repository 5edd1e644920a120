"""The simulator as a whole, and three ways to run it."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from paceline.simulator.controls import Controls
from paceline.simulator.intake import Intake
from paceline.simulator.receipts import DEFAULT_BACKOFF_S, ReceiptPoster
from paceline.simulator.routes import application

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from paceline.simulator.log import Log

_new_event_loop: Callable[[], asyncio.AbstractEventLoop]
try:
    import uvloop
except ImportError:  # not available everywhere, and only faster
    _new_event_loop = asyncio.new_event_loop
else:
    _new_event_loop = uvloop.new_event_loop

_SHUTDOWN_S = 0.5
"""How long calls in progress may go on at the end; a slow answer is not worth more."""


class Simulator:
    """One simulated provider: state, log and receipts.

    `receipt_backoff_s` are the waits before the tries after the first one.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        controls: Controls | None = None,
        receipt_backoff_s: Sequence[float] = DEFAULT_BACKOFF_S,
    ) -> None:
        self._intake = Intake(seed=seed, controls=controls or Controls())
        self._poster = ReceiptPoster(self._intake.dice, receipt_backoff_s)

    @property
    def log(self) -> Log:
        """The log as it stands; a clear puts a new one in its place."""
        return self._intake.log

    @property
    def app(self) -> web.Application:
        """A new application over this state, as each event loop needs its own."""
        return application(self._intake, self._poster)


@asynccontextmanager
async def running(
    simulator: Simulator, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve in the current event loop; gives the address, `http://host:port`."""
    runner = web.AppRunner(simulator.app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def serve(
    host: str,
    port: int,
    *,
    seed: int = 0,
    controls: Controls | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is called with the address.

    Raises:
        OSError: the address cannot be listened on.
    """
    simulator = Simulator(seed=seed, controls=controls)
    with asyncio.Runner(loop_factory=_new_event_loop) as runner:
        runner.run(_serve(simulator, host, port, ready or _tell))


async def _serve(simulator: Simulator, host: str, port: int, ready: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(simulator, host=host, port=port) as address:
        ready(address)
        await stop.wait()


def _tell(address: str) -> None:
    sys.stderr.write(f"simulator ready on {address}\n")
