"""Prices by prefix, and what messages cost: whole millionths, the longest prefix."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.domain.cost import (
    MOST,
    Cost,
    Price,
    PriceError,
    PriceTable,
    decimal_text,
    read_currency,
    read_prefix,
    read_price,
)

prefixes = st.integers(1, 99_999).map(str)
prices = st.builds(Price, prefixes, st.integers(0, MOST), st.sampled_from(["EUR", "GBP", "USD"]))
tables = st.lists(prices, unique_by=lambda price: price.prefix, max_size=20)
phones = st.integers(1, 99_999_999).map(lambda number: f"+{number}")


@given(st.integers(0, MOST))
def test_an_amount_is_read_as_it_is_written(millionths: int) -> None:
    text = decimal_text(millionths)
    assert read_price(text) == millionths
    assert Fraction(text) == Fraction(millionths, 1_000_000)
    assert len(text.partition(".")[2]) >= 2


@pytest.mark.parametrize(
    ("text", "millionths"),
    [
        ("0.0425", 42_500),
        ("1", 1_000_000),
        ("0.000001", 1),
        ("00.10", 100_000),
        ("2.5000000", 2_500_000),
    ],
)
def test_a_price_is_read_in_millionths(text: str, millionths: int) -> None:
    assert read_price(text) == millionths


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "such as"),
        ("-1", "without a sign"),
        ("0,05", "with a point"),
        ("1e3", "such as"),
        (".5", "such as"),
        ("٣", "such as"),
        ("0.0000001", "6 decimals"),
        ("1000001", "too large"),
        ("9" * 5000, "too large"),
    ],
)
def test_what_is_no_price_is_said_to_be_none(text: str, words: str) -> None:
    with pytest.raises(PriceError, match=words):
        read_price(text)


def test_prefixes_and_currencies_are_read_as_people_write_them() -> None:
    assert read_prefix("+30") == read_prefix("30") == "30"
    assert read_currency("eur") == "EUR"
    for wrong in ("", "+", "030", "30x", "1" * 16, "٣٠"):
        with pytest.raises(PriceError, match="such as 30"):
            read_prefix(wrong)
    for wrong in ("", "EU", "EURO", "€", "ÉUR"):
        with pytest.raises(PriceError, match="such as EUR"):
            read_currency(wrong)


@given(tables, phones)
def test_the_longest_prefix_counts(table: list[Price], phone: str) -> None:
    fitting = [price for price in table if phone.startswith(f"+{price.prefix}")]
    expected = max(fitting, key=lambda price: len(price.prefix), default=None)
    found = PriceTable(table)
    assert found.of(phone) == expected
    assert found.of(phone[1 : 1 + found.longest]) == expected, "no more digits are needed"


@given(tables, st.lists(st.tuples(phones, st.integers(1, 10)), max_size=30))
def test_a_cost_is_the_sum_of_parts_times_price_by_currency_in_any_order(
    table: list[Price], messages: list[tuple[str, int]]
) -> None:
    found = PriceTable(table)
    expected: Counter[str] = Counter()
    cost, backwards = Cost(), Cost()
    for phone, parts in messages:
        cost.add(found.of(phone), parts)
        if price := found.of(phone):
            expected[price.currency] += price.millionths * parts
    for phone, parts in reversed(messages):
        backwards.add(found.of(phone), parts)
    assert cost == backwards
    assert cost.amounts == expected
    assert cost.unpriced == sum(found.of(phone) is None for phone, _ in messages)
    assert list(cost.shown()) == sorted(cost.amounts)
