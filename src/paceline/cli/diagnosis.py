"""The doctor's examination: one finding per thing that can keep Paceline from sending."""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from paceline import providers
from paceline.cli.accounts import reach
from paceline.cli.session import Session
from paceline.domain.errors import PacelineError
from paceline.engine.process import keep_account
from paceline.settings import Settings, check, load, masked_database_url, sqlalchemy_url
from paceline.storage import accounts, audit, doubt, migrate, tenants
from paceline.storage.database import AnyRow, Database, DatabaseUnreachableError
from paceline.storage.migrate import SchemaState


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``mend`` says what to do when it is not ``ok``."""

    check: str
    ok: bool
    found: str
    mend: str = ""


def diagnose(environ: Mapping[str, str], *, connect: bool) -> list[Finding]:
    """Look at everything, as far as what was found before allows."""
    findings = [_python(), *_settings(environ)]
    if not all(finding.ok for finding in findings):
        return findings
    settings = load(environ)
    findings += [_data_directory(settings), _port(settings)]
    with closing(Database(sqlalchemy_url(settings.database_url))) as database:
        schema = _schema(settings, database)
        findings.append(schema)
        if schema.ok:
            keep_account(database, settings)
            findings += _inside(Session(settings, database), connect=connect)
    return findings


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", sys.version_info >= (3, 11), version, "")


def _settings(environ: Mapping[str, str]) -> Iterator[Finding]:
    checked = check(environ)
    for problem in checked.problems:
        yield Finding("settings", ok=False, found=str(problem), mend="Correct or unset it.")
    if not checked.problems:
        yield Finding("settings", ok=True, found=f"{len(checked.warnings)} warnings")


def _data_directory(settings: Settings) -> Finding:
    folder = Path(settings.data_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(
            "data directory",
            ok=False,
            found=f"{folder}: {error.strerror}",
            mend="Give PACELINE_DATA_DIR a folder that this user may write to.",
        )
    return Finding("data directory", ok=True, found=str(folder))


def _port(settings: Settings) -> Finding:
    address = f"{settings.host}:{settings.port}"
    try:
        with socket.create_server((settings.host, settings.port)):
            return Finding("port", ok=True, found=f"{address} is free")
    except OSError as error:
        return Finding(
            "port",
            ok=False,
            found=f"{address}: {error.strerror}",
            mend="Paceline runs already, or something else does: choose another PACELINE_PORT.",
        )


def _schema(settings: Settings, database: Database) -> Finding:
    shown = masked_database_url(settings.database_url)
    try:
        found = database.read_now(migrate.state)
        if found is SchemaState.EMPTY:
            migrate.ready(database, create=True)
        migrate.ready(database, create=False)
    except DatabaseUnreachableError as error:
        return Finding("database", False, str(error), "Start it, or correct DATABASE_URL.")
    except PacelineError as error:
        return Finding("database", ok=False, found=shown, mend=str(error))
    return Finding("database", ok=True, found=f"{shown}, schema {found}")


def _inside(here: Session, *, connect: bool) -> Iterator[Finding]:
    keys = [
        key
        for tenant in here.database.read_now(tenants.all_of_them)
        for key in here.database.read_now(tenants.keys_of, tenant.id)
        if key.revoked_at is None
    ]
    yield Finding(
        "API keys",
        bool(keys),
        f"{len(keys)} in force",
        "" if keys else "paceline key create --tenant NAME",
    )
    rows = here.database.read_now(accounts.all_of)
    if not rows:
        yield Finding(
            "traffic accounts",
            ok=False,
            found="none",
            mend="Set MITTO_API_KEY, SMS_TRAFFIC_ACCOUNT_ID and MITTO_SENDER, "
            "or use paceline account add.",
        )
    for row in rows:
        yield _account(here, row, connect=connect)
    expired = here.database.read_now(doubt.expired)
    yield Finding(
        "workers",
        not expired,
        f"{len(expired)} batches whose worker fell silent",
        "Start one: paceline serve, or paceline worker." if expired else "",
    )
    differences = here.database.read_now(audit.differences)
    yield Finding(
        "counters",
        not differences,
        f"{len(differences)} differences",
        "paceline audit names them; please report it." if differences else "",
    )


def _account(here: Session, row: AnyRow, *, connect: bool) -> Finding:
    name = f"account {row.name}"
    if row.held_at is not None:
        mend = f"Mend it with the provider, then: paceline account release {row.id}"
        return Finding(name, ok=False, found=f"held: {row.held_why}", mend=mend)
    try:
        if fault := providers.check_sender(row.provider, row.sender):
            return Finding(name, ok=False, found=f"sender: {fault}", mend="Give it a valid sender.")
        if connect:
            reach(here, row)
    except PacelineError as error:
        mend = "Check the address, the network and the provider's status page."
        return Finding(name, ok=False, found=str(error), mend=mend)
    if row.closed_until is not None and row.failures:
        return Finding(
            name,
            ok=False,
            found=f"failing, {row.failures} times in a row: {row.closed_why}",
            mend="Paceline goes on by itself when the provider answers again.",
        )
    return Finding(name, ok=True, found=f"{row.provider} at {row.base_url}")
