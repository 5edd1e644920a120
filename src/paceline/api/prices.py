"""Prices: what a part costs, by how the number begins."""

from __future__ import annotations

import asyncio
from typing import Self

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

from paceline.api.context import Ctx, ManageCaller, ReadCaller
from paceline.api.pages import Cursor, Limit, page_of, prefix_of
from paceline.domain import cost
from paceline.engine.csv_prices import read_prices
from paceline.storage import prices

router = APIRouter(prefix="/prices")

MAX_FILE = 4 * 1024 * 1024
_EXAMPLE: JsonDict = {"prefix": "30", "price": "0.0425", "currency": "EUR"}
_FILE = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "prefix,price,currency\n30,0.0425,EUR\n3069,0.039,EUR\n44,0.031,GBP\n",
            }
        },
    }
}


class Price(BaseModel):
    """What one part costs to numbers that begin with ``prefix``; of several the longest counts."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    prefix: str
    price: str
    """In decimals."""
    currency: str

    @classmethod
    def of(cls, price: cost.Price) -> Self:
        return cls(
            prefix=price.prefix,
            price=cost.decimal_text(price.millionths),
            currency=price.currency,
        )


class Prices(BaseModel):
    """Some of the table, by prefix; ``next_cursor`` is null on the last page."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"data": [_EXAMPLE], "next_cursor": None}]}
    )

    data: list[Price]
    next_cursor: str | None


class PricesImported(BaseModel):
    """How many prices there are now, in which currencies."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"prices": 3, "currencies": ["EUR", "GBP"]}]}
    )

    prices: int
    currencies: list[str]


@router.put("", openapi_extra=_FILE)
async def replace_prices(request: Request, caller: ManageCaller, context: Ctx) -> PricesImported:
    """Replace the price table by a CSV file with the columns prefix, price and currency.

    All or nothing: if any row cannot be used, each is named and the old table stays. A file with
    the header alone empties it.
    """
    file = await request.body()
    table = await asyncio.to_thread(read_prices, file)
    count = await context.database.write(
        prices.replace, caller.tenant_id, table, actor=caller.actor
    )
    return PricesImported(prices=count, currencies=sorted({each.currency for each in table}))


@router.get("")
async def list_prices(
    caller: ReadCaller,
    context: Ctx,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Prices:
    """The price table, by prefix."""
    rows = await context.database.read(
        prices.page, caller.tenant_id, after=prefix_of(cursor), limit=limit + 1
    )
    shown = page_of(rows, limit, Price.of, lambda price: price.prefix)
    return Prices(data=shown.data, next_cursor=shown.next_cursor)
