"""Processes that stay: ``serve``, ``api``, ``worker``, ``simulator``."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

import typer
import uvicorn
import uvloop
from fastapi import FastAPI

from paceline.api import imports, prices
from paceline.api.app import create_app, create_worker_app
from paceline.api.context import Context
from paceline.cli.failures import UnreachableError, complain
from paceline.cli.session import settings_of_process
from paceline.engine.interpreter import let_others_go_first
from paceline.engine.process import ready_database, unlock, working
from paceline.engine.wakeups import waking
from paceline.engine.worker import Worker
from paceline.settings import Settings
from paceline.storage.database import Database
from paceline.web import dashboard

_GRACE_S = 5
"""Requests that are under way at the end get this long; event streams never end by themselves."""


def serve() -> None:
    """Run the API and a worker in one process.

    Listens at PACELINE_HOST and PACELINE_PORT. An empty database is filled.
    SIGTERM or Ctrl-C: no new call to a provider is made, calls under way finish
    and are recorded.
    """
    _run(_serve)


def api() -> None:
    """Run the API alone, with workers elsewhere.

    Listens at PACELINE_HOST and PACELINE_PORT.
    """
    _run(_api)


def worker() -> None:
    """Run a worker alone; any number of them share one PostgreSQL.

    With PACELINE_WORKER_PORT set, /healthz, /readyz and /metrics answer there.
    SIGTERM or Ctrl-C: no new call to a provider is made, calls under way finish
    and are recorded.
    """
    _run(_worker)


def simulator(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")
    ] = 8090,
    seed: Annotated[int, typer.Option(help="A number; the same one makes the same faults.")] = 0,
    controls: Annotated[
        str, typer.Option(help='Faults to begin with, as JSON: {"latency_ms": 100}')
    ] = "{}",
) -> None:
    """Run a simulated provider, a real HTTP server with faults on request.

    Change its faults while it runs with PATCH /control; GET /log/summary says
    what it accepted.
    """
    import msgspec

    from paceline.simulator import read_controls
    from paceline.simulator import serve as serve_simulator

    try:
        chosen = read_controls(controls)
    except msgspec.DecodeError as error:
        raise typer.BadParameter(str(error), param_hint="--controls") from None
    try:
        serve_simulator(host, port, seed=seed, controls=chosen)
    except OSError as error:
        raise UnreachableError(f"Cannot listen on {host}:{port}: {error.strerror}") from error


def _run(process: Callable[[Settings, Database], Any]) -> None:
    settings = settings_of_process()
    with ready_database(settings) as database:
        unlock(database, settings)
        uvloop.run(process(settings, database))


async def _serve(settings: Settings, database: Database) -> None:
    stop = stop_signal()
    async with working(database, settings) as worker, listening(settings, database, worker) as url:
        complain(f"serving at {url} (API documentation at {url}/docs)")
        await stop.wait()
        worker.stop()  # at once: requests that are under way may take their time


async def _api(settings: Settings, database: Database) -> None:
    stop = stop_signal()
    async with listening(settings, database, None) as url:
        complain(f"serving the API at {url}; run paceline worker to send")
        await stop.wait()


async def _worker(settings: Settings, database: Database) -> None:
    let_others_go_first()
    stop = stop_signal()
    async with working(database, settings) as worker, _watched(settings, database, worker) as url:
        complain(f"working; metrics at {url}/metrics" if url else "working")
        await stop.wait()
        worker.stop()  # at once, as above


def stop_signal() -> asyncio.Event:
    """Set by SIGTERM or SIGINT; a second one changes nothing, calls in flight are not cancelled."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


@asynccontextmanager
async def listening(
    settings: Settings, database: Database, worker: Worker | None, *, port: int | None = None
) -> AsyncIterator[str]:
    """Serve the API, at the end no longer than its requests need; gives its URL.

    Args:
        settings: of this process.
        database: ready.
        worker: of this process, to be woken and asked how it is.
        port: another one than the settings'.

    Raises:
        UnreachableError: the address is taken.
    """
    worker_state = worker.state if worker else None
    async with waking(database, worker.wake if worker else None) as wake:
        app = create_app(database, settings, wake=wake, worker_state=worker_state)
        add_dashboard(app)
        async with _accepting(app, settings.host, settings.port if port is None else port) as url:
            yield url


@asynccontextmanager
async def _watched(
    settings: Settings, database: Database, worker: Worker
) -> AsyncIterator[str | None]:
    """Let a worker alone be asked how it is, if a port is set for that."""
    if settings.worker_port is None:
        yield None
        return
    app = create_worker_app(database, settings, worker.state)
    async with _accepting(app, settings.host, settings.worker_port) as url:
        yield url


@asynccontextmanager
async def _accepting(app: FastAPI, host: str, port: int) -> AsyncIterator[str]:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    listener = listen(host, port)
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await server.ready.wait()
    try:
        yield f"http://{host}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listener.close()


def add_dashboard(app: FastAPI) -> None:
    """Serve the pages beside the API, with what it works with."""
    context: Context = app.state.context
    app.state.larger |= {
        **dict.fromkeys(dashboard.CONTACT_FILES, imports.MAX_FILE),
        **dict.fromkeys(dashboard.PRICE_FILES, prices.MAX_FILE),
    }
    app.router.routes += dashboard.routes(
        context.database,
        context.settings,
        context.sealer,
        context.orders,
        context.watched,
        context.worker_state,
    )


def listen(host: str, port: int) -> socket.socket:
    """Take an address.

    Raises:
        UnreachableError: somebody has it, or it is not ours.
    """
    try:
        return socket.create_server((host, port), backlog=512, reuse_port=False)
    except OSError as error:
        raise UnreachableError(
            f"Cannot listen on {host}:{port}: {error.strerror}. "
            "Choose another address with PACELINE_HOST and PACELINE_PORT "
            "(a worker: PACELINE_WORKER_PORT)."
        ) from error


class _Server(uvicorn.Server):
    """Leaves signals to us, since the worker has to finish as well, and says when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


COMMANDS = {function.__name__: function for function in (serve, api, worker, simulator)}
