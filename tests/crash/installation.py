"""A Paceline of real processes on a real database, with the simulator as its provider."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from sqlalchemy import Connection

from paceline.settings import sqlalchemy_url
from paceline.storage import migrate, tenants
from paceline.storage.database import Database
from tests import command_line
from tests.postgres import running_postgres

PATIENCE_S = 120.0
CONCURRENCY = 5

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Process:
    """`paceline serve`, `api` or `worker`, and where it answers."""

    popen: subprocess.Popen[str]
    url: str
    log: Path

    @property
    def name(self) -> str:
        """What its attempts call it."""
        return f"{socket.gethostname()[:40]}:{self.popen.pid}"

    def runs(self) -> bool:
        return self.popen.poll() is None

    def send(self, how: int) -> None:
        self.popen.send_signal(how)

    def end(self, how: int = signal.SIGTERM, *, within_s: float = PATIENCE_S) -> int:
        """Send it a signal and wait for its end; return its exit status.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        self.send(how)
        return self.popen.wait(within_s)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while readiness(self.url)[0] != 200:
            assert self.runs(), self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, "the process is never ready"
            time.sleep(0.02)


class Installation:
    """One Paceline with its database, driven as its users drive it: by processes and by HTTP."""

    def __init__(self, home: Path, database_url: str, provider_url: str, **environ: str) -> None:
        self.home = home
        self.provider_url = provider_url
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "DATABASE_URL": database_url,
            "MITTO_API_BASE": provider_url,
            "MITTO_API_KEY": "provider-secret",
            "SMS_TRAFFIC_ACCOUNT_ID": "traffic-1",
            "MITTO_SENDER": "Paceline",
            "PACELINE_PORT": "0",
            "PACELINE_API_RATE_MAX": "0",
            "PACELINE_DATA_DIR": str(home / "data"),
            **environ,
        }
        self.key = ""
        self.url = ""
        self.server: subprocess.Popen[str] | None = None
        self.program: tuple[str, ...] = ("-m", "paceline")
        """What a process is; the interpreter's words."""
        self.processes: list[Process] = []
        """All that were ever started."""

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return command_line.paceline(words, self.environ, cwd=self.home, timeout_s=PATIENCE_S)

    def paceline(self, *words: str, expect: int = 0) -> str:
        """Run a command to its end; return what it printed."""
        done = self.run(*words)
        assert done.returncode == expect, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def launch(self, verb: Literal["serve", "api", "worker"]) -> Process:
        """Start a process and do not wait for it; what has an API is asked from now on."""
        port = _free_port()
        name = "PACELINE_WORKER_PORT" if verb == "worker" else "PACELINE_PORT"
        path = self.home / f"{verb}.log"
        with path.open("a") as log:
            popen = subprocess.Popen(
                [sys.executable, *self.program, verb],
                env={**self.environ, name: str(port)},
                cwd=self.home,
                stdout=log,
                stderr=log,
                text=True,
            )
        process = Process(popen, f"http://127.0.0.1:{port}", path)
        self.processes.append(process)
        if verb != "worker":
            self.url = process.url
        return process

    def start(self, verb: Literal["serve", "api", "worker"]) -> Process:
        """Start a process and wait until it is ready."""
        process = self.launch(verb)
        process.wait_until_ready()
        return process

    def serve(self) -> None:
        """Start the server and wait until it is ready."""
        process = self.start("serve")
        self.server = process.popen
        self.environ["PACELINE_PORT"] = self.url.rpartition(":")[2]

    def end(self, how: int = signal.SIGTERM) -> int:
        """Send the server a signal and wait for its end; return its exit status."""
        assert self.server is not None
        self.server.send_signal(how)
        return self.server.wait(PATIENCE_S)

    def kill_all(self) -> None:
        """Let nothing go on, in whatever state it is."""
        for process in self.processes:
            if process.runs():
                process.end(signal.SIGKILL)

    def make_key(self) -> None:
        """Make the database ready, and the tenant whose key is used from now on."""
        with contextlib.closing(Database(sqlalchemy_url(self.environ["DATABASE_URL"]))) as opened:
            migrate.upgrade(opened)
            tenant = opened.write_now(tenants.keep, "acme")
            _, self.key = opened.write_now(tenants.create_key, tenant.id, name="test")

    def ask(self, method: str, path: str, body: bytes | dict[str, Any] | None = None) -> Any:
        """Call the API as the tenant."""
        headers = {"Authorization": f"Bearer {self.key}"}
        if isinstance(body, dict):
            headers["Content-Type"] = "application/json"
            body = json.dumps(body).encode()
        return json.loads(fetch(self.url + path, method=method, body=body, headers=headers))

    def status(self, campaign_id: int) -> dict[str, Any]:
        return dict(self.ask("GET", f"/api/campaigns/{campaign_id}/status"))

    def numbers(self, campaign_id: int, query: str) -> set[str]:
        """The recipients of the messages that fit `query`."""
        found: set[str] = set()
        cursor = ""
        while True:
            path = f"/api/campaigns/{campaign_id}/messages?limit=500&{query}{cursor}"
            page = self.ask("GET", path)
            found |= {message["to"] for message in page["data"]}
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    def read(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Look into the database, whatever became of earlier connections to it."""
        with contextlib.closing(Database(sqlalchemy_url(self.environ["DATABASE_URL"]))) as opened:
            return opened.read_now(function, *args, **kwargs)

    def write(self, function: Callable[[Connection], None]) -> None:
        """Change the database behind the processes' back."""
        with contextlib.closing(Database(sqlalchemy_url(self.environ["DATABASE_URL"]))) as opened:
            opened.write_now(function)

    def provider(self, path: str, **request: Any) -> bytes:
        return fetch(self.provider_url + path, **request)

    def provider_log(self, path: str) -> list[dict[str, Any]]:
        """The records at one of the provider's log routes."""
        return [json.loads(line) for line in self.provider(path).splitlines()]

    def calls(self) -> int:
        """How many the provider has had."""
        return int(json.loads(self.provider("/log/summary"))["calls"])


def fetch(
    url: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 60,
) -> bytes:
    request = urllib.request.Request(url, data=body, method=method, headers=dict(headers or {}))
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        return bytes(answer.read())


def answer_to(
    url: str, document: Any = None, *, key: str = "", timeout_s: float = 60
) -> tuple[int, str]:
    """The status and body of whatever is answered, to a POST if there is a document; 0 and the
    reason if nothing is.
    """
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def readiness(url: str) -> tuple[int, str]:
    """What /readyz answers."""
    return answer_to(f"{url}/readyz", timeout_s=10)


@contextlib.contextmanager
def provider(controls: Mapping[str, Any]) -> Iterator[str]:
    """A simulator in its own process; the URL."""
    command = [sys.executable, "-m", "paceline.simulator", "--port", "0"]
    with subprocess.Popen(
        [*command, "--controls", json.dumps(controls)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


@contextlib.contextmanager
def database(kind: str, home: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if kind == "sqlite":
        yield f"sqlite:///{home / 'paceline.db'}"
        return
    with running_postgres() as server:
        yield server.create_database()


def environ_of(batch_size: int) -> dict[str, str]:
    """Limits of 1000/s, and leases short enough to wait for."""
    return {
        "SMS_BATCH_SIZE": str(batch_size),
        "WORKER_CONCURRENCY": str(CONCURRENCY),
        "RATE_LIMIT_TENANT_MAX": "1000",
        "RATE_LIMIT_TRAFFIC_ACCOUNT_MAX": "1000",
        "PROVIDER_TIMEOUT_MS": "2000",
        "PACELINE_LEASE_SLACK_MS": "1000",
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
