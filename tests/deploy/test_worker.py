"""`paceline worker` as a process of its own can be watched, as the units and manifests expect."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.api.scraping import read
from tests.crash import fetch


class Alone(NamedTuple):
    """A process and where it answers."""

    url: str
    pid: int


@pytest.fixture
def worker(database_url: str, tmp_path: Path) -> Iterator[Alone]:
    """A worker alone, in a session of its own as a service manager starts it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environ = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "PACELINE_WORKER_PORT": str(port),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "paceline", "worker"],
        env=environ,
        cwd=tmp_path,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 30
    try:
        while not answers(url):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield Alone(url, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def answers(url: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(fetch(f"{url}/healthz"))
    return False


def test_a_worker_alone_tells_how_it_is_and_serves_nothing_else(worker: Alone) -> None:
    ready = b'{"ok":true,"parts":{"database":"ok","schema":"ok","worker":"ok"}}'
    assert fetch(f"{worker.url}/readyz") == ready
    shown = read(fetch(f"{worker.url}/metrics").decode())
    assert {"paceline_batches", "paceline_submissions"} <= set(shown)
    for path in ("/api/campaigns", "/docs", "/openapi.json"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(worker.url + path)


def test_a_worker_alone_lets_others_go_first(worker: Alone) -> None:
    """An API and a database on its machine: its own niceness, and its session's where Linux has
    such a thing.
    """
    assert os.getpriority(os.PRIO_PROCESS, worker.pid) == 5
    group = Path(f"/proc/{worker.pid}/autogroup")
    if group.exists() and (shown := group.read_text()):
        assert shown.split()[-1] == "5"
