"""Whose replies are, from the command line: ``paceline account number``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from paceline.cli.output import say_facts, say_json, say_table
from paceline.cli.session import AsJson, group, operator, session
from paceline.engine import operations
from paceline.storage import inbound_numbers, tenants

number = group(
    """
    Say whose the replies to a number of a shared traffic account are.

    An account that one tenant alone may use needs none of this.

    Example:
    paceline account number add 1 +447700900123 --tenant acme
    """
)
AccountId = Annotated[int, typer.Argument(metavar="ACCOUNT", help="The traffic account's id.")]
Number = Annotated[
    str, typer.Argument(metavar="NUMBER", help="The number or sender that people reply to.")
]


@number.command("add")
def add_number(
    account_id: AccountId,
    which: Number,
    tenant_name: Annotated[str, typer.Option("--tenant", help="Whose the replies are.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Give the replies to a number to a tenant; they were another one's before, perhaps."""
    with session() as here:
        owner = here.database.read_now(tenants.by_name, tenant_name)
        row = here.database.write_now(
            operations.give_number, account_id, which, owner.id, actor=operator()
        )
    say_json(_shown(row)) if as_json else say_facts(_shown(row))


@number.command("list")
def list_numbers(account_id: AccountId, *, as_json: AsJson = False) -> None:
    """List an account's numbers and whose the replies to them are."""
    with session() as here:
        rows = [
            _shown(row) for row in here.database.read_now(inbound_numbers.of_account, account_id)
        ]
    if as_json:
        say_json(rows)
    else:
        say_table(("number", "tenant"), [list(row.values()) for row in rows])


@number.command("remove")
def remove_number(account_id: AccountId, which: Number) -> None:
    """Forget whose the replies to a number are."""
    with session() as here:
        here.database.write_now(operations.take_number, account_id, which, actor=operator())
    typer.echo(f"Replies to {which} are nobody's, unless the account has a tenant.", err=True)


def _shown(row: Any) -> dict[str, Any]:
    return {"number": row.number, "tenant": row.tenant}
