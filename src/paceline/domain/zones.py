"""Time zones by name and by country, from the IANA time zone database.

The countries' zones are the database's own table (``zone.tab`` of the ``tzdata`` package), which is
there for the zones anyway and is of the same edition as they are. libphonenumber knows zones by
prefix, but for most mobile numbers only those of the whole country, in a package ten times as large
as the one we use.

Like libphonenumber's metadata, these are tables of a library that are read once.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo, available_timezones

UNKNOWN = "ZZ"
"""The region of numbers that belong to no country, as in Unicode's CLDR."""
_NOT_IN_THE_TABLE = {
    "AC": ("Atlantic/St_Helena",),  # Ascension
    "TA": ("Atlantic/St_Helena",),  # Tristan da Cunha
    "XK": ("Europe/Belgrade",),  # Kosovo
}
"""Countries that have numbers of their own and no line in the table."""
_REGION, _NAME = 0, 2
"""Columns of the table."""


@cache
def named(name: str) -> ZoneInfo | None:
    """The zone of an IANA name such as ``Europe/Athens``; None: there is none."""
    return ZoneInfo(name) if name in _names() else None


def of_tenant(name: str) -> ZoneInfo:
    """A tenant's own zone, whose name was checked when it was set; UTC if it is known no more."""
    return named(name) or ZoneInfo("UTC")


def of_region(region: str) -> tuple[ZoneInfo, ...]:
    """All zones of a country (ISO 3166); none of what is no country."""
    return _by_region().get(region, ())


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones())


@cache
def _by_region() -> dict[str, tuple[ZoneInfo, ...]]:
    table = (files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in table.splitlines() if line and not line.startswith("#"))
    names = {region: list(those) for region, those in _NOT_IN_THE_TABLE.items()}
    for row in rows:
        names.setdefault(row[_REGION], []).append(row[_NAME])
    return {region: tuple(map(ZoneInfo, those)) for region, those in names.items()}
