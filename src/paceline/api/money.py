"""Amounts of money, as answers have them: decimal text, so that nothing is rounded on the way."""

from __future__ import annotations

from pydantic import BaseModel

from paceline.domain.cost import Cost


class Amount(BaseModel):
    """So much in one currency; currencies are never added up."""

    currency: str
    amount: str
    """In decimals."""


def amounts_of(cost: Cost) -> list[Amount]:
    """A cost, by currency."""
    return [Amount(currency=name, amount=text) for name, text in cost.shown().items()]
