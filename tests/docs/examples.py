"""The shell examples of a document, and a shell that runs them as a reader would.

A block fenced with ``sh`` is run, all blocks of a document in one shell. If the next block is
fenced with ``text``, that is what it prints: the two are compared line by line, where ``…`` stands
for any part of a line, and alone on a line for any lines. What a block needs beyond this is said in
a comment before it, which no reader sees:

    <!-- not run: why -->
    <!-- exit status 6 -->
    <!-- stays running -->   in a terminal of its own, until the document ends
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
_COMMENT = re.compile(r"<!-- *(.*?) *-->", re.DOTALL)


@dataclass(frozen=True)
class Example:
    """One block, and what the document says of it."""

    where: str
    """Document and line, for whoever has to mend it."""
    commands: str
    shown: str | None
    """What it prints; None: the document does not say."""
    not_run: str = ""
    """Why it is not run."""
    status: int = 0
    stays: bool = False


def examples_of(document: Path) -> list[Example]:
    """All shell blocks of a document, in their order.

    Raises:
        ValueError: a comment before a block says nothing that is known here.
    """
    tokens = MarkdownIt().parse(document.read_text(encoding="utf-8"))
    shown = [token for token in tokens if token.type in {"fence", "html_block"} or token.content]
    found = []
    for before, token, after in zip([None, *shown], shown, [*shown[1:], None], strict=False):
        if token.type == "fence" and token.info == "sh":
            line = token.map[0] + 1 if token.map else 0
            where = f"{document.relative_to(ROOT)}:{line}"
            prints = after.content if after and after.type == "fence" else None
            text = prints if after and after.info == "text" else None
            found.append(_marked(Example(where, token.content, text), before))
    return found


def _marked(example: Example, before: Token | None) -> Example:
    if before is None or before.type != "html_block":
        return example
    comment = _COMMENT.search(before.content)
    said = comment[1] if comment else ""
    if reason := re.fullmatch(r"not run: (.+)", said, re.DOTALL):
        return replace(example, not_run=reason[1])
    if status := re.fullmatch(r"exit status (\d+)", said):
        return replace(example, status=int(status[1]))
    if said == "stays running":
        return replace(example, stays=True)
    raise ValueError(f"{example.where}: the comment before it means nothing here: {said}")


def looks_like(shown: str, printed: str) -> bool:
    """Whether a document shows what was printed; see the module for ``…``."""
    return re.fullmatch(_pattern(shown), _trimmed(printed)) is not None


def begins_like(shown: str, printed: str) -> bool:
    """Whether what was printed so far has all that the document shows."""
    return re.match(_pattern(shown), _trimmed(printed)) is not None


def _pattern(shown: str) -> str:
    pattern = ""
    for line in _trimmed(shown).splitlines():
        any_lines = line.strip() == "…"
        pattern += r"(?:[^\n]*\n)*?" if any_lines else _line_pattern(line) + r"\n"
    return pattern


def _line_pattern(line: str) -> str:
    return r"[^\n]*?".join(map(re.escape, line.split("…")))


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines()) + "\n"


class WrongExampleError(AssertionError):
    """A document does not say what happens."""

    def __init__(self, example: Example, what: str, printed: str) -> None:
        said = "" if example.shown is None else f"\n--- the document shows\n{example.shown}"
        super().__init__(
            f"{example.where}: {what}\n--- commands\n{example.commands}{said}"
            f"\n--- printed\n{printed}"
        )


class Reader:
    """Somebody who types the examples of a document into terminals, all in one folder."""

    def __init__(self, folder: Path, environ: Mapping[str, str], ports: Mapping[str, str]) -> None:
        """Open the first terminal.

        Args:
            folder: stands for the checkout.
            environ: the whole environment.
            ports: what each port that documents name is here, as nobody else's may be taken.
        """
        self._folder = folder
        self._environ = dict(environ)
        self._ports = ports
        self._printed = folder / "printed.txt"
        self._typed = folder / "typed.sh"
        self._terminal = self._shell(["sh"], self._printed, stdin=subprocess.PIPE)
        self._staying: list[subprocess.Popen[bytes]] = []

    def follow(self, example: Example) -> None:
        """Do what an example says.

        Raises:
            WrongExampleError: something else happens than it says.
        """
        here = replace(
            example,
            commands=self._with_own_ports(example.commands),
            shown=example.shown and self._with_own_ports(example.shown),
        )
        self._start(here) if here.stays else self._type(here)

    def close(self) -> None:
        """Close all terminals; what runs in them ends, in the time that it needs."""
        shells = [*reversed(self._staying), self._terminal]
        for shell in shells:
            _signal(shell, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_S
        for shell in shells:
            shell.communicate()
            while _signal(shell, 0):
                if time.monotonic() > deadline:
                    _signal(shell, signal.SIGKILL)
                time.sleep(0.02)

    def _type(self, example: Example) -> None:
        """Run it in the first terminal, which keeps its variables and functions."""
        self._typed.write_text(example.commands, encoding="utf-8")
        start = self._printed.stat().st_size
        done = self._folder / "status.txt"
        done.unlink(missing_ok=True)
        stop_at_a_failure = "set -e;" if example.status == 0 else ""
        line = f"{stop_at_a_failure} . ./typed.sh </dev/null; echo $? >status.new\n"
        assert self._terminal.stdin is not None
        self._terminal.stdin.write(f"{line} mv status.new status.txt; set +e\n".encode())
        self._terminal.stdin.flush()
        deadline = time.monotonic() + PATIENCE_S
        while not done.exists():
            ended = self._terminal.poll() is not None
            if ended or time.monotonic() > deadline:
                what = "a command failed" if ended else f"not done after {PATIENCE_S:.0f} s"
                raise WrongExampleError(example, what, self._printed.read_text()[start:])
            time.sleep(0.01)
        printed = self._printed.read_bytes()[start:].decode()
        status = int(done.read_text())
        if status != example.status:
            raise WrongExampleError(example, f"exit status {status}", printed)
        if example.shown is not None and not looks_like(example.shown, printed):
            raise WrongExampleError(example, "it prints something else", printed)

    def _start(self, example: Example) -> None:
        """Run it in a terminal of its own until it has printed what the document shows."""
        if example.shown is None:
            raise WrongExampleError(
                example, "a block that stays running shows when it is ready", ""
            )
        number = len(self._staying)
        script, output = self._folder / f"stays{number}.sh", self._folder / f"stays{number}.txt"
        script.write_text(example.commands, encoding="utf-8")
        process = self._shell(["sh", script.name], output, stdin=subprocess.DEVNULL)
        self._staying.append(process)
        deadline = time.monotonic() + PATIENCE_S
        while not begins_like(example.shown, printed := output.read_text(encoding="utf-8")):
            if process.poll() is not None or time.monotonic() > deadline:
                raise WrongExampleError(example, "it never printed that", printed)
            time.sleep(0.02)

    def _shell(self, command: list[str], output: Path, *, stdin: int) -> subprocess.Popen[bytes]:
        with output.open("wb") as file:
            return subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environ,
                stdin=stdin,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _with_own_ports(self, text: str) -> str:
        for named, own in self._ports.items():
            text = text.replace(named, own)
        return text


def _signal(shell: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal to all that runs in a terminal; whether there is anything."""
    try:
        os.killpg(shell.pid, number)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def reader(folder: Path, **environ: str) -> Iterator[Reader]:
    """A reader in a folder that looks like a checkout that is set up."""
    folder.mkdir()
    (folder / ".venv").symlink_to(sys.prefix)
    setup = folder / "scripts" / "setup"
    setup.parent.mkdir()
    setup.write_text("#!/bin/sh\n# Stands for the real one: this checkout is set up.\n")
    setup.chmod(0o755)
    ports = dict(zip(("8080", "8090"), map(str, free_ports(2)), strict=True))
    base = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", "COLUMNS": "80"}
    here = Reader(folder, {**base, "PACELINE_PORT": ports["8080"], **environ}, ports)
    try:
        yield here
    finally:
        here.close()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
