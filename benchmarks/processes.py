"""The processes that a benchmark measures, and HTTP to them; all are gone when it ends."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

_READY_WITHIN_S = 30.0
_STOPPED_WITHIN_S = 15.0
_COMMANDS = Path(sys.executable).parent


class ProcessFailedError(Exception):
    """A process ended, or did not get ready in time; what it said is on stderr."""


_IDLE_S = 3.0
"""Servers commonly close a connection that is idle for 5 s, perhaps just as it is used again."""


class Client:
    """One HTTP connection to a JSON API, kept alive while it is used."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=600)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._used_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str) -> Any:
        return json.loads(self.call("GET", path))

    def post(self, path: str, body: Any = None) -> Any:
        """Posts `body` as JSON, or as CSV when it is bytes."""
        if isinstance(body, bytes):
            return json.loads(self.call("POST", path, body, "text/csv"))
        return json.loads(
            self.call("POST", path, json.dumps(body or {}).encode(), "application/json")
        )

    def call(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        """One request; the answer's body.

        Raises:
            RuntimeError: the answer is an error.
        """
        headers = self._headers | ({"Content-Type": kind} if kind else {})
        if time.monotonic() - self._used_at > _IDLE_S:
            self._connection.close()  # it opens again by itself
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        self._used_at = time.monotonic()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {content.decode()}")
        return content


@contextmanager
def simulator() -> Iterator[str]:
    """The provider, without latency or faults, as a process of its own; gives its address."""
    command = [sys.executable, "-m", "paceline.simulator", "--port", "0"]
    with _running(command, os.environ, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]


@contextmanager
def served(
    environ: Mapping[str, str],
    verb: Literal["serve", "api"] = "serve",
    *,
    by: Sequence[str] = (str(_COMMANDS / "paceline"),),
) -> Iterator[tuple[str, int]]:
    """`paceline serve` (API and worker) or `paceline api`; gives its address and process id. `by`:
    what runs it, if not the command itself.
    """
    port = _free_port()
    command = [*by, verb]
    environment = {**os.environ, **environ, "PACELINE_PORT": str(port)}
    with _running(command, environment, stdout=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, process)
        yield url, process.pid


@contextmanager
def working(environ: Mapping[str, str]) -> Iterator[int]:
    """`paceline worker`; it works as soon as it can. Gives its process id."""
    command = [str(_COMMANDS / "paceline"), "worker"]
    with _running(command, {**os.environ, **environ}, stdout=subprocess.DEVNULL) as process:
        yield process.pid
        if process.poll() is not None:
            raise ProcessFailedError(f"a worker ended; its exit code: {process.returncode}")


def cpu_s(pid: int) -> float:
    """The CPU time that a running process has used so far, in seconds."""
    used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, used)) / os.sysconf("SC_CLK_TCK")


def printed_by(module: str, *words: str) -> Any:
    """Run a module of ours to its end in a process of its own; the JSON that it printed.

    Raises:
        ProcessFailedError: it failed.
    """
    command = [sys.executable, "-m", module, *words]
    with _running(command, os.environ, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        if process.wait() != 0:
            raise ProcessFailedError(f"{module} failed; its exit code: {process.returncode}")
    return json.loads(printed)


@contextmanager
def _running(
    command: list[str], environ: Mapping[str, str], *, stdout: int
) -> Iterator[subprocess.Popen[bytes]]:
    # In a session of its own, so that Ctrl-C reaches only us, and we end everything in order.
    with subprocess.Popen(command, env=environ, stdout=stdout, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with Client(url) as client:
                client.get("/readyz")
        except (OSError, RuntimeError):
            time.sleep(0.05)
        else:
            return
    raise ProcessFailedError(f"the server is not ready; its exit code: {process.poll()}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
