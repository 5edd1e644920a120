"""Phone numbers out of cells and requests: whatever stands there is read, or refused."""

from __future__ import annotations

import contextlib
import re

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.domain.phone import PhoneError, parse

NUMBERS = ["+306912345678", "+447911123456", "+12015550123", "+4915112345678", "+8613123456789"]
regions = st.sampled_from([None, *sorted(phonenumbers.SUPPORTED_REGIONS)])
written = st.one_of(
    st.text(),
    st.text("0123456789\u0663\u06f3\uff13+\uff0b()[]-./' \u00a0\u200beE,x;ext=", max_size=30),
    st.from_regex(r"\+?[0-9]{0,400}", fullmatch=True),
)
cells = st.one_of(written, st.none(), st.booleans(), st.integers(), st.floats(), st.binary())


@settings(max_examples=200)
@given(cells, regions)
def test_whatever_stands_in_a_cell_is_a_number_or_refused(cell, region):
    with contextlib.suppress(PhoneError):
        number = parse(cell, region)
        assert re.fullmatch(r"\+[1-9][0-9]{6,14}", number)
        assert parse(number, None) == parse(number, region) == number


@given(st.sampled_from(NUMBERS), st.data(), regions)
def test_what_people_put_between_digits_changes_nothing(number, data, region):
    between = st.text("()[]-./' \u00a0\u2011\u200b\u202a", max_size=3)
    dressed = "".join(data.draw(between) + digit for digit in number) + data.draw(between)
    assert parse(dressed, region) == number


@given(st.sampled_from(NUMBERS), st.sampled_from("\u0660\u06f0\u0966\uff10"))
def test_the_digits_of_any_script_are_digits(number, zero):
    script = "".join(chr(ord(zero) + int(digit)) for digit in number[1:])
    assert parse(f"+{script}", None) == number


@pytest.mark.parametrize("number", ["+" + "9" * 1_000_000, "(" * 1_000_000, "1 " * 500_000])
def test_a_million_characters_are_refused_like_a_few(number):
    with pytest.raises(PhoneError):
        parse(number, "GB")
