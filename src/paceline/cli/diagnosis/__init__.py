"""The doctor's examination: a function per thing to look at, a code per thing that can be wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing

from paceline.cli.diagnosis import accounts, database, machine, secret, work
from paceline.cli.diagnosis.finding import Finding, Level
from paceline.cli.session import Session
from paceline.engine.process import keep_account
from paceline.settings import Settings, load, sqlalchemy_url
from paceline.storage.database import Database

__all__ = ["Finding", "Level", "diagnose"]


def diagnose(environ: Mapping[str, str], *, connect: bool) -> list[Finding]:
    """Look at everything, as far as what was found before allows.

    Args:
        environ: where the settings are.
        connect: whether to open connections to providers.
    """
    findings = list(machine.settings(environ))
    if not _sound(findings):
        return findings
    settings = load(environ)
    folder = list(machine.folder(settings))
    findings += [*machine.secret_files(environ, settings), *machine.port(settings), *folder]
    if all(finding.code != "folder_not_writable" for finding in folder):
        findings += _with_database(settings, connect=connect)
    return findings


def _with_database(settings: Settings, *, connect: bool) -> list[Finding]:
    with closing(Database(sqlalchemy_url(settings.database_url))) as opened:
        findings = list(database.schema(settings, opened))
        if _sound(findings):
            findings += secret.secret(Session(settings, opened))
        if _sound(findings):
            keep_account(opened, settings)
            findings += _inside(Session(settings, opened), connect=connect)
    return findings


def _inside(here: Session, *, connect: bool) -> Iterator[Finding]:
    yield from database.clock(here)
    yield from database.connections(here)
    yield from database.commit_time(here)
    yield from database.tenants_apart(here)
    yield from accounts.api_keys(here)
    yield from accounts.traffic_accounts(here, connect=connect)
    yield from accounts.receipts(here.settings)
    yield from work.workers(here)
    yield from work.leases(here)
    yield from work.unconfirmed(here)
    yield from work.inbox(here)
    yield from work.counters(here)


def _sound(findings: list[Finding]) -> bool:
    return all(finding.level is not Level.FAULT for finding in findings)
