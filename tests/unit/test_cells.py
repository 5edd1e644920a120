"""Cells of an export: none is taken for a formula, and each is read as it was written."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.engine.sheets.writing import csv_text, safe

DANGEROUS = "=+-@\t\r"


@given(st.text(st.one_of(st.sampled_from(DANGEROUS), st.characters())))
def test_a_text_never_begins_like_a_formula_and_is_otherwise_as_it_was(text: str) -> None:
    shown = safe(text)
    assert not shown.startswith(tuple(DANGEROUS)) or re.fullmatch(r"\+[0-9]{1,15}", text)
    assert shown.removeprefix("'") == text.removeprefix("'")


@given(st.lists(st.text(st.one_of(st.sampled_from("\",;\r\n\t'="), st.sampled_from("aé😀")))))
def test_a_cell_is_read_as_it_was_written(texts: list[str]) -> None:
    written = io.StringIO(csv_text([[*texts, "end"]]), newline="")
    assert list(csv.reader(written)) == [[*map(safe, texts), "end"]]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("+306912345678", "+306912345678"),
        ('=HYPERLINK("x")', '\'=HYPERLINK("x")'),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-1", "'-1"),
        ("1", "1"),
    ],
)
def test_numbers_keep_their_plus_and_formulas_lose_their_force(cell: str, shown: str) -> None:
    assert safe(cell) == shown
