"""The database: upgrade, check, distrust after a restore; and the audit."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from paceline.cli.failures import ExitCode
from paceline.cli.output import say, say_facts, say_json, say_table
from paceline.cli.session import AsJson, group, operator, session, settings_of_process
from paceline.engine.process import make_folder
from paceline.settings import masked_database_url, sqlalchemy_url
from paceline.storage import audit as audits
from paceline.storage import launches, migrate, restart
from paceline.storage.database import Database
from paceline.storage.migrate import SchemaState

db = group(
    """
    Upgrade and check the database, or say that a backup was put back.

    Example:
    paceline db check
    paceline db upgrade
    """
)


@db.command()
def upgrade() -> None:
    """Bring the schema to this version.

    Stop every other process and make a backup first.
    """
    settings = settings_of_process(quiet=True)
    make_folder(settings)
    database = Database(sqlalchemy_url(settings.database_url))
    try:
        found = database.read_now(migrate.state)
        if found in {SchemaState.NEWER, SchemaState.FOREIGN}:
            migrate.ready(database, create=False)
        migrate.upgrade(database)
    finally:
        database.close()
    typer.echo(f"The schema was {found} and is current now.", err=True)


@db.command()
def check(*, as_json: AsJson = False) -> None:
    """Check that the schema is the one of this version; exit 3 when it is not."""
    settings = settings_of_process(quiet=True)
    database = Database(sqlalchemy_url(settings.database_url))
    try:
        found = database.read_now(migrate.state)
        facts = {"database": masked_database_url(settings.database_url), "schema": str(found)}
        say_json(facts) if as_json else say_facts(facts)
        migrate.ready(database, create=False)
    finally:
        database.close()


@db.command()
def restored(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether you are sure.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say that a backup was put back, so that nothing is sent twice.

    Some of what the backup calls queued may have gone out after it was made.
    Campaigns are paused, and what they have queued is unconfirmed until you
    decide: paceline campaign unconfirmed --help
    """
    if not yes:
        typer.confirm("Put everything that is queued in doubt?", abort=True, err=True)
    with session() as here:
        _finish_launches(here.database)
        done = here.database.write_now(restart.after_restore, actor=operator())
    say_json(done) if as_json else say_facts(done)


def _finish_launches(database: Database) -> None:
    """Write what is left of a launch: who is in its audience may have been sent to as well, and
    must not be forgotten.
    """
    for campaign_id in database.read_now(launches.under_way):
        while chunk := database.write_now(launches.write_chunk, campaign_id):
            if chunk.finished:
                break


def audit(*, as_json: AsJson = False) -> None:
    """Compare every counter with its rows; exit 1 on any difference."""
    with session() as here:
        differences = here.database.read_now(audits.differences)
    if as_json:
        say_json({"ok": not differences, "differences": [asdict(each) for each in differences]})
    elif differences:
        say_table(
            ("campaign", "what", "stored", "counted"),
            [(d.campaign_id, d.what, d.stored, d.counted) for d in differences],
        )
    else:
        say("Every counter agrees with its rows.")
    if differences:
        raise typer.Exit(ExitCode.FAILED)


COMMANDS = {"db": db, "audit": audit}
