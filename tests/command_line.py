"""Paceline's commands, each in a process of its own.

The processes are forked from one that has loaded all commands, so that not every one of some
hundred tests waits for that. What loading does is for the tests that run the installed program:
those of the documents' examples and of `serve`.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from paceline.cli import main
from paceline.cli.program import VERBS

Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(sorted({f"paceline.cli.{verb.module}" for verb in VERBS.values()}))


def paceline(
    words: Sequence[str],
    environ: Mapping[str, str],
    *,
    cwd: Path | None = None,
    stdin: str = "",
    timeout_s: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run `paceline` with these words and nothing else but `PATH` in its environment.

    Raises:
        subprocess.TimeoutExpired: it takes longer; it is killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("stdin", "stdout", "stderr")]
        streams[0].write_text(stdin, encoding="utf-8")
        whole = {"PATH": os.environ["PATH"], **environ}
        process = _FORKED.Process(target=_run, args=(list(words), whole, cwd, streams))
        process.start()
        process.join(timeout_s)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(words), timeout_s)
        assert process.exitcode is not None
        _, stdout, stderr = (each.read_text(encoding="utf-8") for each in streams)
        return subprocess.CompletedProcess(list(words), process.exitcode, stdout, stderr)


def data_of(done: subprocess.CompletedProcess[str]) -> Any:
    """The JSON that a command has printed; it must have succeeded."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _run(
    words: list[str], environ: dict[str, str], cwd: Path | None, streams: Sequence[Path]
) -> None:
    """Be that process."""
    os.environ.clear()
    os.environ.update(environ)
    if cwd is not None:
        os.chdir(cwd)
    for descriptor, (stream, how) in enumerate(
        zip(streams, (os.O_RDONLY, *[os.O_WRONLY | os.O_CREAT] * 2), strict=True)
    ):
        os.dup2(os.open(stream, how, 0o600), descriptor)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - it ends with the process
    sys.argv = ["paceline", *words]
    sys.exit(main())
