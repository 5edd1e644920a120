"""Cells of an export: no spreadsheet takes one for a formula."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.engine.exporting import COLUMNS, cell, lines

DANGEROUS = "=+-@\t\r"


@given(st.sampled_from(COLUMNS), st.text(st.one_of(st.sampled_from(DANGEROUS), st.characters())))
def test_a_text_never_begins_like_a_formula_and_is_otherwise_as_it_was(
    name: str, text: str
) -> None:
    shown = cell(name, text)
    if name in {"id", "to", "retry_count", "parts"}:
        assert shown == text
        return
    assert not shown.startswith(tuple(DANGEROUS))
    assert shown.removeprefix("'") == text.removeprefix("'")


@given(st.lists(st.text(st.one_of(st.sampled_from("\",;\r\n\t'="), st.sampled_from("aé😀")))))
def test_a_cell_is_read_as_it_was_written(texts: list[str]) -> None:
    cells = [*(cell("text", each) for each in texts), "end"]
    written = io.StringIO(lines([cells]).decode(), newline="")
    assert list(csv.reader(written)) == [cells]


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("to", "+306912345678", "+306912345678"),
        ("reason", None, ""),
        ("in_doubt", False, "false"),
        ("in_doubt", True, "true"),
        ("parts", 2, "2"),
        ("text", '=HYPERLINK("x")', '\'=HYPERLINK("x")'),
        ("error", "@SUM(A1)", "'@SUM(A1)"),
    ],
)
def test_values_of_each_kind(name: str, value: object, shown: str) -> None:
    assert cell(name, value) == shown
