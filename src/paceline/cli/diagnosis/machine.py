"""This machine: the settings, secrets in files, the SQLite database's folder, the port."""

from __future__ import annotations

import errno
import http.client
import json
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from paceline.cli.diagnosis.finding import Finding, fault, ok, warning
from paceline.cli.failures import ExitCode
from paceline.settings import VARIABLES, Settings, check, sqlite_path
from paceline.storage.sealing import KEY_FILE

_LEAST_FREE_BYTES = 200 * 2**20
"""With less, one large campaign may fill the disk."""
_MOUNTS = Path("/proc/self/mounts")
_OVER_A_NETWORK = ("nfs", "cifs", "smb", "9p", "ceph", "gluster", "lustre", "afs", "fuse.sshfs")
_ANSWER_WITHIN_S = 2.0


def settings(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Every variable can be read, and none is misspelt."""
    checked = check(environ)
    for problem in checked.problems:
        yield fault(
            "settings",
            "setting_wrong",
            str(problem),
            f"Correct or unset {problem.name}; paceline config show lists every setting.",
            ExitCode.CONFIGURATION,
        )
    for odd in checked.warnings:
        yield warning("settings", "setting_odd", str(odd), f"Correct or unset {odd.name}.")
    if not (checked.problems or checked.warnings):
        yield ok("settings", "all can be used")


def secret_files(environ: Mapping[str, str], settings: Settings) -> Iterator[Finding]:
    """A file that holds a secret is for its owner alone."""
    files = {
        f"{name}_FILE": Path(environ.get(f"{name}_FILE", "").strip())
        for variable in VARIABLES.values()
        if variable.kind.secret
        for name in variable.spellings
    }
    files["PACELINE_DATA_DIR"] = settings.data_dir / KEY_FILE
    for name, path in files.items():
        if path.is_file() and path.stat().st_mode & stat.S_IROTH:
            yield warning(
                "secret files",
                "secret_exposed",
                f"every user of this machine can read {path} ({name})",
                f"chmod 600 {path}",
            )


def folder(settings: Settings) -> Iterator[Finding]:
    """The folder of an SQLite database can be written to, has room, and is on this machine."""
    if not settings.database_url.startswith("sqlite"):
        return
    path = Path(sqlite_path(settings.database_url)).absolute().parent
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        yield fault(
            "folder",
            "folder_not_writable",
            f"{path}: {error.strerror}",
            "Let this user write there, or set PACELINE_DATA_DIR or DATABASE_URL to another place.",
        )
        return
    yield _room(path)
    yield _file_system(path)


def _room(path: Path) -> Finding:
    free = shutil.disk_usage(path).free
    found = f"{path} has {free / 2**20:,.0f} MB free"
    if free >= _LEAST_FREE_BYTES:
        return ok("disk", found)
    mend = "Make room there. Leave the database's files alone, also the one that ends in -wal."
    return fault("disk", "disk_full", found, mend)


def _file_system(path: Path) -> Finding:
    kind = _kind_of_file_system(path.resolve())
    if not kind.startswith(_OVER_A_NETWORK):
        return ok("file system", f"{path} is on this machine")
    return fault(
        "file system",
        "network_file_system",
        f"{path} is on {kind}, where SQLite's locks cannot be trusted",
        "Set PACELINE_DATA_DIR to a disk of this machine, or DATABASE_URL to a PostgreSQL.",
    )


def _kind_of_file_system(path: Path) -> str:
    """Of the innermost mount that holds ``path``; empty where the system does not tell."""
    if not _MOUNTS.exists():
        return ""
    mounts = [line.split() for line in _MOUNTS.read_text(encoding="utf-8").splitlines()]
    inside = [
        (len(where), order, kind)
        for order, (_, mounted, kind, *_rest) in enumerate(mounts)
        if path.is_relative_to(where := mounted.replace("\\040", " "))
    ]
    return max(inside, default=(0, 0, ""))[2]


def port(settings: Settings) -> Iterator[Finding]:
    """The address is free, or Paceline itself has it and is well."""
    address = f"{settings.host}:{settings.port}"
    try:
        with socket.create_server((settings.host, settings.port)):
            yield ok("port", f"{address} is free")
            return
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            mend = "Set PACELINE_HOST and PACELINE_PORT to an address that this user may take."
            yield fault("port", "address_unusable", f"{address}: {error.strerror}", mend)
            return
    answer = _readiness(settings)
    if answer is None:
        mend = "Stop what listens there, or choose another PACELINE_PORT."
        yield fault("port", "port_taken", f"{address} belongs to another program", mend)
    elif "errors" in answer:
        mend = "Its log on stderr says more; /readyz shows when it is well again."
        found = f"Paceline at {address} is not ready: {answer.get('detail')}"
        yield fault("port", "process_not_ready", found, mend)
    else:
        yield ok("port", f"Paceline serves at {address}")


def _readiness(settings: Settings) -> dict[str, Any] | None:
    """What a Paceline at the address says about itself; None: it is none."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not listened on
    asked = http.client.HTTPConnection(host, settings.port, timeout=_ANSWER_WITHIN_S)
    try:
        asked.request("GET", "/readyz")
        answer = json.loads(asked.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        asked.close()
    ours = isinstance(answer, dict) and ("parts" in answer or "errors" in answer)
    return answer if ours else None
