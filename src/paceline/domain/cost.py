"""What parts cost: prices by the beginning of the number, the longest one that fits.

All arithmetic is in whole millionths of a currency, so that a sum over a million messages is exact
and the same in every order. Currencies are never added up or changed into each other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

MILLIONTHS: Final = 1_000_000
"""Of one unit of a currency."""
MOST: Final = 1_000_000 * MILLIONTHS
"""A price beyond this is a slip, and sums stay within what a database's integers hold."""
LONGEST_PREFIX: Final = 15

_PRICE: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?", re.ASCII)
_DECIMALS: Final = 6
_SHOWN_DECIMALS: Final = 2
_PREFIX: Final = re.compile(rf"\+?([1-9][0-9]{{0,{LONGEST_PREFIX - 1}}})", re.ASCII)
_CURRENCY: Final = re.compile("[A-Z]{3}", re.ASCII)


class PriceError(ValueError):
    """Something in a price cannot be used; the message says what and how to mend it."""


@dataclass(frozen=True, slots=True)
class Price:
    """What one part costs to numbers that begin with `prefix` (digits, no plus)."""

    prefix: str
    millionths: int
    currency: str


def read_prefix(written: str) -> str:
    """A prefix's digits: `+30` and `30` are the same.

    Raises:
        PriceError: it is none.
    """
    found = _PREFIX.fullmatch(written)
    if found is None:
        raise PriceError(
            f"must be how numbers begin, 1 to {LONGEST_PREFIX} digits with the country code first, "
            "such as 30"
        )
    return found[1]


def read_price(written: str) -> int:
    """A price in decimals, such as `0.0425`, in millionths.

    Raises:
        PriceError: it is none, or finer than a millionth, or too large.
    """
    found = _PRICE.fullmatch(written)
    if found is None:
        raise PriceError("must be a price such as 0.0425, with a point and without a sign")
    whole, decimals = found[1], found[2] or ""
    if len(decimals.rstrip("0")) > _DECIMALS:
        raise PriceError(f"has more than {_DECIMALS} decimals")
    if len(whole.lstrip("0")) > len(str(MOST // MILLIONTHS)):
        raise PriceError("is too large")
    price = int(whole) * MILLIONTHS + int(decimals[:_DECIMALS].ljust(_DECIMALS, "0"))
    if price > MOST:
        raise PriceError("is too large")
    return price


def read_currency(written: str) -> str:
    """A currency's code in capitals.

    Raises:
        PriceError: it cannot be one.
    """
    code = written.upper()
    if not _CURRENCY.fullmatch(code):
        raise PriceError("must be a currency's three letters (ISO 4217), such as EUR")
    return code


def decimal_text(millionths: int) -> str:
    """An amount as decimal text: at least two decimals, and no zeros behind those."""
    whole, rest = divmod(millionths, MILLIONTHS)
    decimals = f"{rest:0{_DECIMALS}}".rstrip("0").ljust(_SHOWN_DECIMALS, "0")
    return f"{whole}.{decimals}"


class PriceTable:
    """A tenant's prices, to look numbers up in."""

    def __init__(self, prices: Iterable[Price] = ()) -> None:
        self._prices = {price.prefix: price for price in prices}
        self._lengths = sorted({len(prefix) for prefix in self._prices}, reverse=True)

    @property
    def longest(self) -> int:
        """Digits of the longest prefix; a number's price depends on no more than so many."""
        return max(self._lengths, default=0)

    def of(self, phone: str) -> Price | None:
        """The price that counts for a number in E.164, or for its beginning; None: none does."""
        digits = phone.removeprefix("+")
        for length in self._lengths:
            if price := self._prices.get(digits[:length]):
                return price
        return None


@dataclass(slots=True)
class Cost:
    """What messages cost in all, by currency, and what of them has no price."""

    amounts: Counter[str] = field(default_factory=Counter)
    """Currency → millionths."""
    unpriced: int = 0
    """Messages to numbers without a price."""

    def add(self, price: Price | None, parts: int, messages: int = 1) -> None:
        """Count messages to one price that have so many parts between them."""
        if price is None:
            self.unpriced += messages
        else:
            self.amounts[price.currency] += price.millionths * parts

    def shown(self) -> dict[str, str]:
        """Currency → decimal text, by currency."""
        return {name: decimal_text(self.amounts[name]) for name in sorted(self.amounts)}
