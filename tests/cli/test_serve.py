"""`paceline serve` as a process: environment variables and HTTP are all it takes."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.crash import Installation, _free_port, environ_of, fetch, provider

PEOPLE = "phone,first_name\n" + "".join(f"+3069{10_000_000 + n},Name{n}\n" for n in range(300))


@pytest.fixture
def installation(database_url: str, tmp_path: Path) -> Iterator[Installation]:
    with provider({"latency_ms": 100}) as provider_url:
        made = Installation(tmp_path, database_url, provider_url, **environ_of(batch_size=10))
        made.key = json.loads(made.paceline("key", "create", "--tenant", "acme", "--json"))["key"]
        yield made
        if made.server is not None and made.server.poll() is None:
            made.end(signal.SIGKILL)


def start(installation: Installation) -> int:
    installation.ask("POST", "/api/contacts/import", PEOPLE.encode())
    made = installation.ask("POST", "/api/campaigns", {"name": "n", "text": "Hi {{first_name}}"})
    installation.ask("POST", f"/api/campaigns/{made['id']}/enqueue")
    return int(made["id"])


def test_environment_variables_and_http_are_enough_to_send_a_campaign(
    installation: Installation,
) -> None:
    installation.serve()
    campaign_id = start(installation)
    deadline = time.monotonic() + 30
    while installation.status(campaign_id)["campaign"]["status"] != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(installation.numbers(campaign_id, "status=sent")) == 300
    summary = json.loads(installation.provider("/log/summary"))
    assert (summary["accepted"], summary["duplicates"]) == (300, 0)
    assert installation.end() == 0
    installation.paceline("audit")


def test_sigterm_finishes_the_calls_under_way_and_leaves_nothing_in_doubt(
    installation: Installation,
) -> None:
    installation.serve()
    campaign_id = start(installation)
    while json.loads(installation.provider("/log/summary"))["calls"] < 5:
        time.sleep(0.01)
    assert installation.end() == 0
    shown = json.loads(installation.paceline("campaign", "show", str(campaign_id), "--json"))
    accepted = json.loads(installation.provider("/log/summary"))["accepted"]
    assert shown["status"] == "sending"
    assert shown["unconfirmed"] == 0
    assert shown["sent"] == accepted > 0


def test_on_sqlite_a_second_sender_is_refused(tmp_path: Path) -> None:
    with provider({}) as provider_url:
        installation = Installation(tmp_path, f"sqlite:///{tmp_path}/paceline.db", provider_url)
        installation.serve()
        assert installation.server is not None
        installation.environ["PACELINE_PORT"] = "0"
        installation.paceline("worker", expect=5)
        installation.end()


WORKER_THAT_NEVER_LOOKS = """
import sys
from paceline.cli import main
from paceline.engine import worker
worker.POLL_S = 3600.0
sys.argv = ["paceline", "worker"]
sys.exit(main())
"""


@contextmanager
def running(installation: Installation, *words: str) -> Iterator[None]:
    """Another process of the installation, ended well at the end."""
    with (installation.home / "running.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, *words], env=installation.environ, cwd=installation.home, stderr=log
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_ready(installation: Installation) -> bool:
    with contextlib.suppress(OSError):
        return bool(fetch(f"{installation.url}/readyz"))
    return False


def is_sent(installation: Installation, path: str) -> bool:
    return bool(installation.ask("GET", path)["status"] == "sent")


def test_api_and_command_line_wake_a_worker_in_another_process(
    postgres_url: str, tmp_path: Path
) -> None:
    with provider({}) as provider_url:
        installation = Installation(tmp_path, postgres_url, provider_url)
        made = installation.paceline("key", "create", "--tenant", "acme", "--json")
        installation.key = json.loads(made)["key"]
        port = _free_port()
        installation.environ["PACELINE_PORT"] = str(port)
        installation.url = f"http://127.0.0.1:{port}"
        with (
            running(installation, "-m", "paceline", "api"),
            running(installation, "-c", WORKER_THAT_NEVER_LOOKS),
        ):
            wait_for(lambda: is_ready(installation))
            for number in range(3):  # one might be found by the look at its start, not all
                message = {"to": f"+30690000000{number}", "text": "Hi"}
                path = f"/api/messages/{installation.ask('POST', '/api/messages', message)['id']}"
                wait_for(partial(is_sent, installation, path))
            installation.paceline("send", "+306900000009", "Hi")
            wait_for(lambda: json.loads(installation.provider("/log/summary"))["accepted"] == 4)
