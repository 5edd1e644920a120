"""The audit log from the command line."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from paceline.cli.output import say_json, say_table
from paceline.cli.session import AsJson, session, values
from paceline.clock import iso
from paceline.storage import audit_log


def audit_log_of(
    tenant_name: Annotated[
        str | None, typer.Option("--tenant", help="Only this tenant's; without it, everybody's.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    *,
    as_json: AsJson = False,
) -> None:
    """Show who changed what and when, the newest first.

    Changes of keys, limits, accounts, suppressions and campaigns are logged, and
    the database refuses to change or delete what is.
    """
    with session() as here:
        tenant_id = None if tenant_name is None else here.tenant(tenant_name).id
        rows = here.database.read_now(audit_log.page, tenant_id, limit=limit)
    shown: list[dict[str, Any]] = [{**values(row), "at": iso(row.at)} for row in rows]
    if as_json:
        say_json(shown)
        return
    columns = ("at", "tenant_id", "actor", "action", "subject")
    say_table(
        (*columns, "detail"),
        [
            [*(row[name] for name in columns), json.dumps(row["detail"]) if row["detail"] else None]
            for row in shown
        ],
    )


COMMANDS = {"audit-log": audit_log_of}
