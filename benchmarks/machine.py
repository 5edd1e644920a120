"""What a figure was measured on; without it a figure says nothing."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def facts() -> dict[str, Any]:
    """CPU model, cores, memory and Python's version."""
    return {
        "cpu": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "python": platform.python_version(),
    }


def filesystem_of(path: Path) -> str:
    """The type of the file system that holds `path`: on a `tmpfs` being durable costs nothing."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [(point, kind) for point, kind in mounts if path.resolve().is_relative_to(point)]
    return max(holding, key=lambda mount: len(mount[0]))[1]


@contextmanager
def as_if_elsewhere() -> Iterator[bool]:
    """Let this thread have a processor whenever it wants one, as clients on other machines have;
    gives whether the system allows that (it does to root). If not, nothing changes.
    """
    normal = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setscheduler(0, *normal)


def peak_rss_mb(pid: int) -> float:
    """The most memory that a running process has held at any time so far."""
    return round(int(_field(f"/proc/{pid}/status", "VmHWM").split()[0]) / 1024, 1)


def _field(file: str, name: str) -> str:
    """The value of the first line `name: value`; "" if there is none."""
    for line in Path(file).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
