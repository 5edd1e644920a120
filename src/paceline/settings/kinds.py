"""What a variable's text may be, and the value that it becomes.

A `Kind` is used three times over: to parse a value, to say in an error what is allowed, and to
write the reference in docs/settings.md. That is why the three cannot disagree.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from paceline.settings.database_url import MASK, check_database_url, masked_database_url


@dataclass(frozen=True, slots=True)
class Kind:
    """How the text of a variable becomes a value.

    `parse` takes text that is never blank and raises ValueError saying what is wrong with it,
    without repeating it if the value is `secret`. `masked` is how a value may be shown.
    """

    allowed: str
    parse: Callable[[str], Any]
    masked: Callable[[str], str] = str
    secret: bool = False


def whole(low: int, high: int, unit: str = "") -> Kind:
    """A whole number from `low` to `high`, both included."""

    def parse(text: str) -> int:
        # `int` alone would take "1_000" and digits of other scripts, which are more often slips.
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            raise ValueError(f'"{text}" is not a whole number')
        number = int(text)
        if not low <= number <= high:
            raise ValueError(f"{number} is too {'small' if number < low else 'large'}")
        return number

    return Kind(f"a whole number{unit and f' of {unit}'} from {low} to {high}", parse)


def choice(*words: str) -> Kind:
    """One of a few words, in capitals or not."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f'"{text}" is unknown')
        return text.lower()

    return Kind(f"{', '.join(words[:-1])} or {words[-1]}", parse)


def matching(pattern: str, allowed: str) -> Kind:
    """Text of one shape."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f'"{text}" does not look like that')
        return text

    return Kind(allowed, parse)


def secret_text(minimum: int) -> Kind:
    """A secret of at least `minimum` characters, shown nowhere."""

    def parse(text: str) -> str:
        if not text.isprintable():
            raise ValueError("contains a line break or another control character")
        if len(text) < minimum:
            raise ValueError(f"is only {len(text)} characters long")
        return text

    many = "one or more characters" if minimum == 1 else f"{minimum} or more characters"
    return Kind(f"a secret of {many}", parse, masked=lambda _: MASK, secret=True)


def _parse_flag(text: str) -> bool:
    if text.lower() in {"true", "yes", "on", "1"}:
        return True
    if text.lower() in {"false", "no", "off", "0"}:
        return False
    raise ValueError(f'"{text}" is neither true nor false')


def _parse_web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        wrong = parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0
    except ValueError:  # an impossible port or IPv6 address
        wrong = True
    if wrong or re.search(r"\s", text):
        raise ValueError("is not a web address")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("has a user, a query or a fragment, which an address of a server cannot")
    return text.rstrip("/")


def _parse_country(text: str) -> str:
    # Imported when the variable is set and not before: no command waits for it otherwise.
    from phonenumbers import SUPPORTED_REGIONS  # noqa: PLC0415

    if text.upper() not in SUPPORTED_REGIONS:
        raise ValueError(f'"{text}" is not the code of a country with telephone numbers')
    return text.upper()


def _parse_directory(text: str) -> Path:
    if not text.isprintable():
        raise ValueError("contains a line break or another unprintable character")
    return Path(text).expanduser()


def _parse_database(text: str) -> str:
    check_database_url(text)
    return text


FLAG = Kind("true or false", _parse_flag)
WEB_ADDRESS = Kind("a web address such as https://sms.example.com", _parse_web_address)
COUNTRY = Kind("a country as two letters (ISO 3166), such as GB", _parse_country)
DIRECTORY = Kind("a directory", _parse_directory)
DATABASE = Kind(
    "sqlite:///path or postgresql://user:password@host:5432/database",
    _parse_database,
    masked=masked_database_url,
    secret=True,
)
HOST = matching(r"[A-Za-z0-9._:%-]+", "a host name or an IP address to listen on")
ACCOUNT_ID = matching(r"[!-~]+", "the id as the provider shows it, without spaces")
# 11 characters is the limit of GSM for names (3GPP TS 23.040, 9.1.2.5), 15 digits that of E.164.
SENDER = matching(
    r"\+?[0-9]{3,15}|[ -~]{1,11}", "a number of up to 15 digits or a name of up to 11 characters"
)
