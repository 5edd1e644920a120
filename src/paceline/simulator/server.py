"""The simulator as a whole, and three ways to run it."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from paceline.simulator.controls import Controls
from paceline.simulator.intake import Intake
from paceline.simulator.posting import DEFAULT_BACKOFF_S
from paceline.simulator.receipts import ReceiptPoster
from paceline.simulator.replies import ReplyPoster
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
_CUT_OFF_S = 0.01
"""As good as at once. No time at all would mean no end to aiohttp."""


class Simulator:
    """One simulated provider: state, log, receipts and replies.

    `backoff_s` are the waits before a webhook's tries after the first one.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        controls: Controls | None = None,
        backoff_s: Sequence[float] = DEFAULT_BACKOFF_S,
    ) -> None:
        self._intake = Intake(seed=seed, controls=controls or Controls())
        self._receipts = ReceiptPoster(self._intake.dice, backoff_s)
        self._replies = ReplyPoster(self._intake.identifiers, backoff_s)

    @property
    def log(self) -> Log:
        """The log as it stands; a clear puts a new one in its place."""
        return self._intake.log

    def change(self, document: bytes) -> None:
        """Change the controls that are in it, as ``PATCH /control`` does."""
        self._intake.patch_controls(document)

    def app(self, shut: Callable[[float], None]) -> web.Application:
        """A new application over this state, as each event loop needs its own; `shut` as in
        `application`.
        """
        return application(self._intake, self._receipts, self._replies, shut=shut)


@asynccontextmanager
async def running(
    simulator: Simulator, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve in the current event loop; gives the address, `http://host:port`."""
    outages: asyncio.Queue[float] = asyncio.Queue()
    app = simulator.app(outages.put_nowait)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        port = runner.addresses[0][1]
        shutting = asyncio.create_task(_shut_when_told(outages, runner, site, host, port))
        try:
            yield f"http://{host}:{port}"
        finally:
            shutting.cancel()
    finally:
        await runner.cleanup()


async def _shut_when_told(
    outages: asyncio.Queue[float], runner: web.AppRunner, site: web.TCPSite, host: str, port: int
) -> None:
    """Refuse new connections for as many seconds as each outage lasts, and end those there are,
    whatever is in progress on them; then listen again.
    """
    while True:
        seconds = await outages.get()
        address = runner.addresses[0]
        await site.stop()
        # Bound, it keeps the port from others; as it does not listen, connections are refused.
        with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as keeper:
            keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            keeper.bind(address)
            assert runner.server is not None  # noqa: S101 -- for mypy
            await asyncio.gather(runner.server.shutdown(_CUT_OFF_S), asyncio.sleep(seconds))
            site = web.TCPSite(runner, host, port)
            await site.start()


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
