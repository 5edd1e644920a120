"""An empty folder to run commands in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests import command_line


@pytest.fixture
def run(tmp_path: Path) -> command_line.Run:
    """Run `paceline` in an empty folder; keyword arguments are environment variables, but `stdin`
    is what it reads.
    """

    def paceline(*words: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        home = {"PACELINE_DATA_DIR": str(tmp_path / "data")}
        return command_line.paceline(words, home | environ, cwd=tmp_path, stdin=stdin)

    return paceline
