"""Prices from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paceline.api.prices import Price
from paceline.cli.output import say_facts, say_json, say_table
from paceline.cli.session import AsJson, TenantName, group, operator, session
from paceline.engine.csv_prices import read_prices
from paceline.storage import prices

price = group(
    """
    Import and list what a part costs, by how the number begins.

    Example:
    paceline price import prices.csv
    paceline price list
    """
)
_COLUMNS = ("prefix", "price", "currency")
_PAGE = 1000


@price.command("import")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A CSV file with the columns prefix, price, currency."),
    ],
    tenant_name: TenantName = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Replace the price table by a CSV file, or change nothing if a row is bad.

    A price is in decimals, such as 0.0425; of all prefixes that a number
    begins with the longest counts.
    """
    table = read_prices(file.read_bytes())
    with session() as here:
        tenant = here.tenant(tenant_name)
        count = here.database.write_now(prices.replace, tenant.id, table, actor=operator())
    currencies = sorted({each.currency for each in table})
    if as_json:
        say_json({"prices": count, "currencies": currencies})
    else:
        say_facts({"prices": count, "currencies": ", ".join(currencies)})


@price.command("list")
def list_prices(tenant_name: TenantName = None, *, as_json: AsJson = False) -> None:
    """List the price table, by prefix."""
    with session() as here:
        tenant = here.tenant(tenant_name)
        after, found = "", []
        while page := here.database.read_now(prices.page, tenant.id, after=after, limit=_PAGE):
            found += page
            after = page[-1].prefix
    documents = [Price.of(each).model_dump(mode="json") for each in found]
    if as_json:
        say_json(documents)
    else:
        say_table(_COLUMNS, [[document[name] for name in _COLUMNS] for document in documents])


COMMANDS = {"price": price}
