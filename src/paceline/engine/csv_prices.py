"""Prices out of a CSV file, all or none: pure, and every fault by its row."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from paceline.domain.cost import Price, PriceError, read_currency, read_prefix, read_price
from paceline.domain.errors import InvalidInputError, Problem
from paceline.engine.sheets import delimited

COLUMNS = ("prefix", "price", "currency")
MAX_ROWS = 50_000
MAX_PROBLEMS = 1_000
_READ: dict[str, Callable[[str], str | int]] = {
    "prefix": read_prefix,
    "price": read_price,
    "currency": read_currency,
}


class BadPricesError(InvalidInputError):
    """The file cannot be used as it is; nothing of it was."""

    code = "bad_rows"


def read_prices(file: bytes) -> list[Price]:
    """The prices of a file whose first row is `prefix,price,currency`, in any order and with
    commas, semicolons or tabs between.

    Raises:
        BadPricesError: with each fault and its row, the first `MAX_PROBLEMS` of them.
    """
    rows = _rows(file)
    columns = _columns(next(rows, (1, []))[1])
    found: list[Price] = []
    problems: list[Problem] = []
    first: dict[str, int] = {}
    for row, cells in rows:
        if not any(cells):
            continue
        if row > MAX_ROWS + 1:
            raise _unusable(f"has more than {MAX_ROWS} rows", row)
        price, faults = _price(row, cells, columns)
        if price is not None:
            if (before := first.setdefault(price.prefix, row)) != row:
                faults.append(Problem("prefix", f"stands in row {before} already", row))
            found.append(price)
        problems += faults
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems:
        few = tuple(problems[:MAX_PROBLEMS])
        raise BadPricesError("Nothing was imported: some rows cannot be used.", few)
    return found


def _rows(file: bytes) -> Iterator[tuple[int, list[str]]]:
    try:
        yield from delimited.rows([file])
    except InvalidInputError as error:
        raise BadPricesError(error.message, error.problems) from None


def _columns(header: list[str]) -> list[str]:
    """The names of the columns.

    Raises:
        BadPricesError: one is missing, unknown or there twice.
    """
    names = [name.lower() for name in header]
    if sorted(names) != sorted(COLUMNS):
        found = ", ".join(f"“{name}”" for name in header) or "nothing"
        raise _unusable(f"must have the columns prefix, price and currency: found {found}", 1)
    return names


def _price(row: int, cells: list[str], columns: list[str]) -> tuple[Price | None, list[Problem]]:
    if len(cells) != len(columns):
        return None, [Problem("", f"has {len(cells)} values for {len(columns)} columns", row)]
    values: dict[str, str | int] = {}
    problems = []
    for name, cell in zip(columns, cells, strict=True):
        try:
            values[name] = _READ[name](cell)
        except PriceError as error:
            problems.append(Problem(name, str(error), row))
    if problems:
        return None, problems
    return Price(str(values["prefix"]), int(values["price"]), str(values["currency"])), []


def _unusable(reason: str, row: int | None = None) -> BadPricesError:
    return BadPricesError(f"The file {reason}.", (Problem("file", reason, row),))
