"""The languages of the dashboard: English in the templates, others by a catalogue each.

To add one, put a catalogue beside these (``xx.po``, gettext's format); nothing else is to be done.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from babel import Locale
from babel.core import negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

FOLDER = Path(__file__).parent
ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class Language:
    """How things are said and written."""

    code: str
    locale: Locale
    translations: NullTranslations

    @property
    def name(self) -> str:
        """As its speakers call it."""
        return self.locale.get_display_name(self.locale) or self.code


@cache
def languages() -> dict[str, Language]:
    """All languages by code, English first."""
    found = {ENGLISH: Language(ENGLISH, Locale(ENGLISH, "GB"), NullTranslations())}
    for file in sorted(FOLDER.glob("*.po")):
        found[file.stem] = Language(file.stem, Locale.parse(file.stem), _translations(file))
    return found


def preferred(accepted: str) -> Language:
    """The language that a browser likes best (``Accept-Language``) of those there are."""
    ranked = sorted(_ranked(accepted), key=lambda each: -each[1])
    known = {code.lower().replace("_", "-"): each for code, each in languages().items()}
    best = negotiate_locale([code.lower() for code, _ in ranked], list(known), sep="-")
    return known[best or ENGLISH]


def _ranked(accepted: str) -> list[tuple[str, float]]:
    ranked = []
    for item in accepted.split(",")[:20]:
        code, _, parameter = item.strip().partition(";")
        try:
            quality = float(parameter.partition("=")[2] or 1)
        except ValueError:
            continue
        if code.replace("-", "").isalnum() and quality > 0:
            ranked.append((code, quality))
    return ranked


def _translations(file: Path) -> Translations:
    compiled = io.BytesIO()
    with file.open("rb") as opened:
        write_mo(compiled, read_po(opened, locale=file.stem))
    compiled.seek(0)
    return Translations(compiled)
