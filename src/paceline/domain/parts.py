"""Counting the parts of an SMS, which is what providers bill.

Source of the alphabet and the sizes: 3GPP TS 23.038 §6.2.1 (GSM 7 bit default alphabet and its
extension table) and 3GPP TS 23.040 §9.2.3.24.1 (concatenation, 8 bit reference). A part holds
140 octets, 6 of which the concatenation header takes once a text needs more than one part. A
character that is sent as two units (an escape pair, a surrogate pair) is never cut in two, so
the last unit of a part may stay unused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

Encoding = Literal["gsm-7", "ucs-2"]

GSM_BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""One septet each. The escape character itself is no text and so is not among them."""
GSM_EXTENSION: Final = "\f^{}\\[~]|€"
"""Two septets each: escape, then the character."""

_SIZES: Final[dict[Encoding, tuple[int, int]]] = {"gsm-7": (160, 153), "ucs-2": (70, 67)}
"""Units in a part that is alone, and in one of several."""

_GSM_CHARACTERS: Final = frozenset(GSM_BASIC + GSM_EXTENSION)
_ONE_SEPTET_ASCII: Final = bytes(ord(c) for c in GSM_BASIC if c.isascii())
_NOT_GSM: Final = re.compile(f"[^{re.escape(GSM_BASIC + GSM_EXTENSION)}]")
_PAIRED: Final[dict[Encoding, re.Pattern[str]]] = {
    "gsm-7": re.compile(f"[{re.escape(GSM_EXTENSION)}]"),
    "ucs-2": re.compile("[\U00010000-\U0010ffff]"),
}
_FIRST_OF_PAIR: Final = "\ud800"
_PAIR: Final = f"{_FIRST_OF_PAIR}."


@dataclass(frozen=True, slots=True)
class Parts:
    """How a text is sent: in `parts` parts of `per_part` units, the last with `units_left` unused.

    A unit is a septet in GSM-7 and 16 bits in UCS-2; `units` counts the text's own.
    """

    encoding: Encoding
    parts: int
    units: int
    per_part: int
    units_left: int


def count(text: str) -> Parts:
    """Count the parts of a text; an empty text has none."""
    if text.isascii() and not text.encode().translate(None, delete=_ONE_SEPTET_ASCII):
        return _measured("gsm-7", text)  # most texts: no need to look for pairs
    encoding: Encoding = "ucs-2" if _NOT_GSM.search(text) else "gsm-7"
    return _measured(encoding, _PAIRED[encoding].sub(_PAIR, text))


def unicode_characters(text: str) -> tuple[str, ...]:
    """Return the characters that force UCS-2, each once, in the order of the text."""
    return tuple(dict.fromkeys(c for c in text if c not in _GSM_CHARACTERS))


def _measured(encoding: Encoding, units: str) -> Parts:
    """Count the parts that `units`, one character per unit, fill."""
    alone, joined = _SIZES[encoding]
    total = len(units)
    if total <= alone:
        return Parts(encoding, min(total, 1), total, alone, alone - total)
    start = parts = 0
    while total - start > joined:
        start += joined - (units[start + joined - 1] == _FIRST_OF_PAIR)
        parts += 1
    return Parts(encoding, parts + 1, total, joined, joined - (total - start))
