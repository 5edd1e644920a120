"""Copies of the tree to plant bugs in, each with a Python of its own.

The project is installed into its environment as a link to the original, and many tests start
``python -m paceline`` without the variables of their own process, so a path in a variable would
leave them the original, without the bug. A copy therefore has an environment of its own: it finds
the copy's sources and, of the original environment, everything but that link.
"""

from __future__ import annotations

import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.planted.bug import Bug

ROOT = Path(__file__).parents[2]
_ENVIRONMENT = ".venv"


class WrongCopyError(Exception):
    """The copy does not run its own sources; nothing it shows would mean anything."""


@dataclass(frozen=True)
class Copy:
    """A copy of the tree, ready to run its tests."""

    root: Path

    @property
    def python(self) -> Path:
        return self.root / _ENVIRONMENT / "bin" / "python"

    def plant(self, bug: Bug) -> None:
        """Put the bug in."""
        path = self.root / bug.file
        path.write_text(bug.planted_in(path.read_text(encoding="utf-8")), encoding="utf-8")


def snapshot(into: Path) -> None:
    """Copy every file that is under version control or about to be, as it is now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # one that was deleted and not yet committed is not
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, into / name)


@contextmanager
def copy_of(tree: Path) -> Iterator[Copy]:
    """A copy of a snapshot, removed at the end.

    Raises:
        WrongCopyError: it would not run its own sources.
    """
    with tempfile.TemporaryDirectory(
        prefix="paceline-planted-", ignore_cleanup_errors=True
    ) as folder:
        copy = Copy(Path(folder).resolve() / "tree")
        shutil.copytree(tree, copy.root)
        _make_environment(copy)
        _check(copy)
        yield copy


def _make_environment(copy: Copy) -> None:
    home = copy.root / _ENVIRONMENT
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    # The directories named here are searched, and the links in them are not followed.
    found_in = [copy.root / "src", *site.getsitepackages()]
    (packages / "copy.pth").write_text("".join(f"{each}\n" for each in found_in), encoding="utf-8")


def _check(copy: Copy) -> None:
    """Make sure of it where it is hardest: from elsewhere and without any variable."""
    show = "import paceline; print(paceline.__file__)"
    with tempfile.TemporaryDirectory() as elsewhere:
        shown = subprocess.run(
            [copy.python, "-c", show],
            cwd=elsewhere,
            env={},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    if not Path(shown).is_relative_to(copy.root):
        raise WrongCopyError(f"the copy in {copy.root} runs {shown}")
