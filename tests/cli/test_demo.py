"""`paceline demo` while somebody looks at it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

PATIENCE_S = 60.0


def told(log: Path, pattern: str, process: subprocess.Popen[bytes]) -> re.Match[str]:
    """What it says in these words, once it has."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := re.search(pattern, log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return found


def test_what_was_sent_is_delivered_after_a_while_and_it_serves_until_it_is_told_to_end(
    tmp_path: Path,
) -> None:
    environ = {"PACELINE_DATA_DIR": str(tmp_path), "PACELINE_PORT": "0", "WEBHOOK_SECRET": "mine"}
    log = tmp_path / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "paceline", "demo", "--fast"], env=environ, stderr=stderr
        )
    try:
        key, status = told(log, r"Bearer (\S+)' (\S+/status)", process).groups()
        asked = Request(status, headers={"Authorization": f"Bearer {key}"})
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with urlopen(asked) as answer:
                metrics = json.load(answer)["metrics"]
            if metrics["delivered"] == metrics["sent"] > 0:
                break
            assert time.monotonic() < deadline, metrics
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
    assert metrics["processed"] == 10_000
