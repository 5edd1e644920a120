"""What makes a text Unicode, and what could be written instead.

One character outside the GSM alphabet more than halves what a part holds. Most of them come from a
word processor (typographic quotes, dashes, an ellipsis, a space that does not break) or carry an
accent that the alphabet lacks, and nobody would miss them.

Replacements are: for typography the same sign as a typewriter has it; for a letter with an accent
(or a ligature, a full-width or a raised form) what Unicode's compatibility decomposition leaves
without its marks; for a Greek capital that looks like a Latin one that one, which is how networks
have always written Greek in GSM. Everything else (other scripts, emoji) has none.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

from paceline.domain.parts import GSM_BASIC, GSM_EXTENSION

SHOWN_POSITIONS: Final = 20
"""Of one character: whoever mends a text by hand needs no more."""

_GSM: Final = frozenset(GSM_BASIC + GSM_EXTENSION)
_OF_TAGS: Final = frozenset("{}|")
"""No replacement has one of these: it might make a merge tag, or end one."""
_TYPOGRAPHY: Final = {
    character: written
    for written, characters in {
        '"': "“”„‟«»″‶",
        "'": "‘’‚‛‹›′‵´`ʼʻˈ",
        "-": "‐‑‒–—―−⁃",
        "...": "…",
        "*": "•●▪◦",
        " ": "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f"
        "\u3000\t",
        "\n": "\u2028\u2029\u0085",
        "": "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\ufe0e\ufe0f",
        "/": "⁄∕",
        "x": "×",
        "(c)": "©",
        "(r)": "®",
        "d": "đ",
        "D": "Đ",
        "l": "ł",
        "L": "Ł",
        "i": "ı",
        "oe": "œ",
        "OE": "Œ",
        "<": "〈⟨",
        ">": "〉⟩",
    }.items()
    for character in characters
}
_GREEK_CAPITALS: Final = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True))


@dataclass(frozen=True, slots=True)
class UnicodeCharacter:
    """One character of a text that the GSM alphabet lacks.

    `positions` are the columns where it stands (from 1, lines not counted apart), the first
    `SHOWN_POSITIONS` of `count`; `replacement` is what could stand there, None if nothing could.
    """

    character: str
    name: str
    count: int
    positions: tuple[int, ...]
    replacement: str | None


def unicode_characters(text: str) -> tuple[UnicodeCharacter, ...]:
    """The characters that force UCS-2 on a text, each once, in the order of the text."""
    places: dict[str, list[int]] = {}
    for position, character in enumerate(text, start=1):
        if character not in _GSM:
            places.setdefault(character, []).append(position)
    return tuple(
        UnicodeCharacter(
            character,
            unicodedata.name(character, f"U+{ord(character):04X}"),
            len(found),
            tuple(found[:SHOWN_POSITIONS]),
            replacement(character),
        )
        for character, found in places.items()
    )


def plain_alternative(text: str) -> str | None:
    """The text in the GSM alphabet; None: it is in it already, or something has no replacement.

    Its merge tags are those of the text.
    """
    written = [each if each in _GSM else replacement(each) for each in text]
    plain = "".join(each for each in written if each is not None)
    return None if None in written or plain == text else plain


def replacement(character: str) -> str | None:
    """What can stand in the GSM alphabet for a character outside it; None: nothing."""
    if character in _TYPOGRAPHY:
        return _TYPOGRAPHY[character]
    written = [_written(each) for each in unicodedata.normalize("NFKD", character)]
    plain = "".join(each for each in written if each is not None)
    return None if None in written or _OF_TAGS & set(plain) else plain


def _written(character: str) -> str | None:
    """One character of a decomposition, in the GSM alphabet."""
    if character in _GSM:
        return character
    if unicodedata.combining(character):
        return ""
    return _TYPOGRAPHY.get(character, _GREEK_CAPITALS.get(character))
