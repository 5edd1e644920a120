from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request

import pytest

COMMAND = [sys.executable, "-m", "paceline.simulator"]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_the_process_tells_its_address_serves_and_ends_cleanly(end):
    with subprocess.Popen(
        [*COMMAND, "--port", "0", "--seed", "1", "--controls", '{"max_messages": 5}'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with urllib.request.urlopen(f"{url}/control") as answer:
            assert json.load(answer)["max_messages"] == 5
        process.send_signal(end)
        rest, errors = process.communicate(timeout=10)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_wrong_controls_are_a_usage_error_naming_the_field():
    done = subprocess.run(
        [*COMMAND, "--controls", '{"sed": 1}'], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "sed" in done.stderr
