"""Phone numbers: whatever a spreadsheet holds in, E.164 out.

Validity is libphonenumber's (the `phonenumbers` package). Numbers are read once, at import or in
a request, and from then on are E.164 strings.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import phonenumbers
from phonenumbers import (
    REGION_CODE_FOR_NON_GEO_ENTITY,
    NumberParseException,
    PhoneMetadata,
    PhoneNumber,
    ValidationResult,
)

NO_COUNTRY: Final = "no country: write it as +30… or set a default country"

_SEPARATORS: Final = "()[]-./'\u2010\u2011\u2012\u2013\u2014\u2212"
_INVISIBLE: Final = "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2069\ufeff"
"""Zero-width and direction marks: address books copy them along with a number."""
_TO_DROP: Final = str.maketrans("", "", _SEPARATORS + _INVISIBLE)
_PLAIN: Final = re.compile(r"\+?[0-9]+", re.ASCII)
_WHOLE_FLOAT: Final = re.compile(r"(\+?[0-9]+)\.0", re.ASCII)
_SCIENTIFIC: Final = re.compile(r"[0-9]+([.,][0-9]+)?[eE]\+?[0-9]+", re.ASCII)
_SHORTEST_INTERNATIONAL: Final = 7
"""Digits with country code: Niue's landlines, +683 and four more."""
_LONGEST: Final = len("+") + 15
"""ITU-T E.164, 6.1: a number with its country code. The library knows longer German ones."""
_LEAST_HIDDEN: Final = 4

_UNREADABLE: Final = {
    NumberParseException.INVALID_COUNTRY_CODE: "no country has the code after the +",
    NumberParseException.NOT_A_NUMBER: "too short",  # digits, but fewer than three
    NumberParseException.TOO_SHORT_AFTER_IDD: "too short",
    NumberParseException.TOO_SHORT_NSN: "too short",
    NumberParseException.TOO_LONG: "too long",
}


class PhoneError(ValueError):
    """A number cannot be used; `reason` says why, to a person, without repeating the number."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse(raw: object, default_region: str | None) -> str:
    """Return the E.164 form of a number as people and spreadsheets write it.

    `default_region` (ISO 3166, such as "GR") is the country of numbers without a country code.
    Without one, bare digits are read as international if that gives a valid number. 00 means +,
    whatever the region dials, unless only the region's own reading is valid.

    Raises:
        PhoneError: it is no number, or no valid one.

    """
    written = _plain(raw)
    if written.startswith("+"):
        return _read(written, default_region)
    if written.startswith("00"):
        try:
            return _read("+" + written[2:], None)
        except PhoneError:
            if default_region is None:
                raise
    if default_region is not None:
        return _read(written, _checked(default_region))
    try:
        return _read("+" + written, None)
    except PhoneError:
        too_short = len(written) < _SHORTEST_INTERNATIONAL
        raise PhoneError("too short" if too_short else NO_COUNTRY) from None


def region_of(phone: str) -> str | None:
    """The country (ISO 3166) of a number in E.164; None: it belongs to none, such as +800."""
    country_code = _country_code(phone)
    if country_code is None:
        return None
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[country_code]
    pattern = _mobile_numbers(country_code)
    if len(regions) == 1 or (pattern and pattern.fullmatch(phone)):
        region: str | None = regions[0]
    else:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(phone))
    return region if region is not None and region.isalpha() else None


def mask(phone: str) -> str:
    """Return a number for the logs: country code and last two digits at most.

    Takes any text, since logs must not fail. Hides it whole if it is no number, or one so short
    that too little would stay hidden.
    """
    country_code = _country_code(phone)
    shown = f"+{country_code}" if country_code else ""
    hidden = len(phone) - len(shown) - 2
    if hidden < _LEAST_HIDDEN or not _PLAIN.fullmatch(phone):
        return "*" * len(phone)
    return f"{shown}{'*' * hidden}{phone[-2:]}"


def _plain(raw: object) -> str:
    """Reduce what a cell held to digits, perhaps with a + before them."""
    match raw:
        case None | "":
            raise PhoneError("empty")
        case str():
            text = _digits(raw.strip())
        case float() if raw.is_integer():
            text = str(int(raw))
        case _:
            text = str(raw)
    if not _PLAIN.fullmatch(text):
        raise PhoneError("not a number" if text else "empty")
    return text


def _digits(text: str) -> str:
    """Take away what people put between digits and what spreadsheets do to them."""
    if _PLAIN.fullmatch(text):
        return text
    if whole := _WHOLE_FLOAT.fullmatch(text):
        return whole[1]
    if _SCIENTIFIC.fullmatch(text):
        raise PhoneError("digits lost by a spreadsheet (E+11): format the column as text")
    text = "".join(text.translate(_TO_DROP).split()).replace("\uff0b", "+")
    return re.sub(r"\d", lambda digit: str(int(digit[0])), text)  # of whatever script


def _read(text: str, region: str | None) -> str:
    """Return the E.164 form of `+` and digits, or of digits dialled in `region`."""
    country_code = _country_code(text)
    if country_code and (pattern := _mobile_numbers(country_code)) and pattern.fullmatch(text):
        return text
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException as error:
        raise PhoneError(_UNREADABLE[error.error_type]) from None
    if not phonenumbers.is_valid_number(number):
        raise PhoneError(_invalid(number))
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if len(written) > _LONGEST:
        raise PhoneError(f"too long for {_place(number)}")
    return written


def _invalid(number: PhoneNumber) -> str:
    """Say what is wrong with a number that could be read."""
    place = _place(number)
    match phonenumbers.is_possible_number_with_reason(number):
        case ValidationResult.TOO_SHORT | ValidationResult.IS_POSSIBLE_LOCAL_ONLY:
            return f"too short for {place}"
        case ValidationResult.TOO_LONG:
            return f"too long for {place}"
        case _:
            return f"not a valid number in {place}"


def _place(number: PhoneNumber) -> str:
    code = number.country_code or 0  # optional by its type, set by every parse
    region = phonenumbers.region_code_for_country_code(code)
    return f"+{code}" if region == REGION_CODE_FOR_NON_GEO_ENTITY else f"{region} (+{code})"


def _checked(region: str) -> str:
    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise PhoneError(f"unknown default country {region}: use a code such as GR or GB")
    return region


def _country_code(phone: str) -> int | None:
    """Return the country code of `+` and digits; no code is the beginning of another."""
    if not phone.startswith("+"):
        return None
    for end in (2, 3, 4):
        digits = phone[1:end]
        if digits.isdecimal() and int(digits) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return int(digits)
    return None


@cache
def _mobile_numbers(country_code: int) -> re.Pattern[str] | None:
    """Compile the quick test of an import: numbers the library would return as they are.

    Those are mobile numbers, in E.164, of the code's main region, which is the first that the
    library tries. One whose digits begin like a national prefix, or whose region is told by its
    leading digits, is left to the library (at a twentieth of the speed), as is any other number.
    """
    region = phonenumbers.region_code_for_country_code(country_code)
    metadata = PhoneMetadata.metadata_for_region(region, None)
    if metadata is None or metadata.leading_digits or metadata.mobile is None:
        return None
    pattern, prefix = metadata.mobile.national_number_pattern, metadata.national_prefix_for_parsing
    if pattern is None:
        return None
    not_prefix = f"(?!{prefix})" if prefix else ""
    return re.compile(rf"\+{country_code}{not_prefix}(?:{pattern})")
