"""Phone numbers as people and spreadsheets write them; libphonenumber itself is the oracle."""

from __future__ import annotations

import contextlib

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.domain.phone import NO_COUNTRY, PhoneError, mask, parse

CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
EXAMPLES = [
    phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    for kind in phonenumbers.PhoneNumberType.values()
    if (number := phonenumbers.example_number_for_type(region, kind))
]


def mobile_numbers_of(region: str) -> st.SearchStrategy[str]:
    r"""E.164 made from the region's own pattern, whose \d would be digits of any script."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if metadata is None or metadata.mobile is None:
        return st.nothing()
    pattern = (metadata.mobile.national_number_pattern or "").replace(r"\d", "[0-9]")
    return st.from_regex(rf"\+{metadata.country_code}(?:{pattern})", fullmatch=True)


mobile_numbers = st.one_of([mobile_numbers_of(each) for each in phonenumbers.SUPPORTED_REGIONS])


def by_the_library(text: str) -> str | None:
    """The E.164 form of an international number by the library alone, or None."""
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def by_us(text: str) -> str | None:
    try:
        return parse(text, None)
    except PhoneError:
        return None


@pytest.mark.parametrize(
    ("raw", "region", "expected"),
    [
        ("+306912345678", None, "+306912345678"),
        ("+30 691 234-56.78", None, "+306912345678"),
        (" (+30) 691/2345678 ", "GB", "+306912345678"),
        ("0030 6912345678", None, "+306912345678"),
        ("0030 6912345678", "GR", "+306912345678"),
        ("0030 6912345678", "US", "+306912345678"),
        ("0011 30 6912345678", "AU", "+306912345678"),
        ("011 30 6912345678", "US", "+306912345678"),
        ("6912345678", "GR", "+306912345678"),
        ("306912345678", "GR", "+306912345678"),
        ("07400 123456", "GB", "+447400123456"),
        ("7400123456", "GB", "+447400123456"),
        ("+44 (0)7400 123456", None, "+447400123456"),
        ("447911123456", None, "+447911123456"),
        ("447900000000.0", None, "+447900000000"),
        ("7400123456.0", "GB", "+447400123456"),
        (447900000000.0, None, "+447900000000"),
        (447900000000, None, "+447900000000"),
        ("'+306912345678", None, "+306912345678"),
        ("\u202a+30 691\xa0234 5678\u202c", None, "+306912345678"),
        ("\uff0b\uff13\uff106912345678", None, "+306912345678"),
        ("\u0660\u0665\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667", "SA", "+966501234567"),
        ("+39 06 698 12345", None, "+390669812345"),
        ("(201) 555-0123", "US", "+12015550123"),
    ],
)
def test_numbers_as_people_and_spreadsheets_write_them(raw, region, expected):
    assert parse(raw, region) == expected


def test_a_guernsey_number_dialled_in_britain_is_right():
    assert parse("07911 123456", "GB") == "+447911123456"


@pytest.mark.parametrize(
    ("raw", "region", "reason"),
    [
        (None, None, "empty"),
        ("", "GR", "empty"),
        (" \u200b ", "GR", "empty"),
        ("n/a", "GR", "not a number"),
        ("1-800-FLOWERS", "US", "not a number"),
        ("+", "GR", "not a number"),
        ("30+6912345678", "GR", "not a number"),
        (float("nan"), "GR", "not a number"),
        (float("inf"), "GR", "not a number"),
        (691.5, "GR", "not a number"),
        (-306912345678, None, "not a number"),
        (True, "GR", "not a number"),
        ("6912345678", None, NO_COUNTRY),
        ("06912345678", None, NO_COUNTRY),
        ("12345", None, "too short"),
        ("+30 1", None, "too short"),
        ("+30", None, "too short"),
        ("0030 69123", None, "too short for GR (+30)"),
        ("691234567", "GR", "too short for GR (+30)"),
        ("6912345678901", "GR", "too long for GR (+30)"),
        ("6912345678 / 6987654321", "GR", "too long"),
        ("+306" + "9" * 300, None, "too long"),
        ("+49330000000000000", None, "too long for DE (+49)"),
        ("0330000000000000", "DE", "too long for DE (+49)"),
        ("1912345678", "GR", "not a valid number in GR (+30)"),
        ("69123456789", "GR", "not a valid number in GR (+30)"),
        ("+883 000000000", None, "not a valid number in +883"),
        ("+999 123456789", None, "no country has the code after the +"),
        ("4.47911E+11", None, "digits lost by a spreadsheet (E+11): format the column as text"),
        ("4,47911e11", "GB", "digits lost by a spreadsheet (E+11): format the column as text"),
        ("07400123456", "UK", "unknown default country UK: use a code such as GR or GB"),
    ],
)
def test_a_refusal_says_what_to_do(raw, region, reason):
    with pytest.raises(PhoneError) as caught:
        parse(raw, region)
    assert caught.value.reason == str(caught.value) == reason


def test_a_thousands_dot_is_not_mistaken_for_a_spreadsheets_fraction():
    assert parse("691.234.5000", "GR") == "+306912345000"
    assert parse("+30.691.234.500.0", None) == "+306912345000"


def test_bare_digits_are_not_read_as_another_countrys_when_the_default_country_is_known():
    """79111234567 in Britain is a mistyped British number, though +7 911 is a Russian one."""
    assert parse("79111234567", None) == "+79111234567"
    with pytest.raises(PhoneError, match="too long for GB"):
        parse("79111234567", "GB")


def test_every_kind_of_number_of_every_country_is_read_as_the_library_reads_it():
    assert len(EXAMPLES) > 1000
    assert [by_us(number) for number in EXAMPLES] == [by_the_library(n) for n in EXAMPLES]


@settings(max_examples=1500)
@given(mobile_numbers)
def test_mobile_numbers_of_every_country_are_read_as_the_library_reads_them(number):
    assert by_us(number) == by_the_library(number)


@settings(max_examples=1000)
@given(st.sampled_from(EXAMPLES), st.integers(4, 8), st.text("0123456789", max_size=7))
def test_numbers_near_valid_ones_are_read_as_the_library_reads_them(example, kept, digits):
    number = example[:kept] + digits
    number += example[len(number) :]
    assert by_us(number) == by_the_library(number)


@settings(max_examples=500)
@given(st.sampled_from(CODES), st.text("0123456789", min_size=1, max_size=13))
def test_any_digits_are_read_as_the_library_reads_them(code, digits):
    number = f"+{code}{digits}"
    assert by_us(number) == by_the_library(number)


@given(st.text(max_size=20), st.sampled_from([None, "GR", "US"]))
def test_any_text_is_a_valid_number_or_refused(text, region):
    with contextlib.suppress(PhoneError):
        number = parse(text, region)
        assert by_the_library(number) == number


@pytest.mark.parametrize(
    ("phone", "masked"),
    [
        ("+306912345678", "+30********78"),
        ("+12015550123", "+1********23"),
        ("+35312345678", "+353******78"),
        ("6912345678", "********78"),
        ("+3012345", "********"),
        ("12345", "*****"),
        ("", ""),
        ("Maria 6912", "**********"),
    ],
)
def test_a_masked_number_shows_country_and_last_two_digits_at_most(phone, masked):
    assert mask(phone) == masked


@given(st.text(max_size=30))
def test_anything_can_be_masked_and_keeps_its_length(text):
    assert len(mask(text)) == len(text)
    assert mask(text).count("*") >= min(4, len(text))
