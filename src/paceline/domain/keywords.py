"""Replies that are words to us: STOP, START and HELP, in the languages of those who write them.

A reply is a keyword only as a whole: "STOP please" is a sentence, and whether a sentence asks us to
stop ("Please stop by tomorrow") only a person can tell. Case, accents, spaces and punctuation do
not count, so "Stop!", "s t o p" and "arrêt" are keywords.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self


class Keyword(StrEnum):
    """What a reply asks for; the words of ``inbound_messages.keyword``."""

    STOP = "stop"
    START = "start"
    HELP = "help"


_GREEK_AS_LATIN: Final = str.maketrans("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX")  # noqa: RUF001 - Greek
"""Greek capitals that the GSM alphabet writes as Latin ones (3GPP TS 23.038 §6.2.1 has only those
that look like none), so that one word arrives in two spellings."""


@dataclass(frozen=True, slots=True)
class Keywords:
    """The words of an installation; `of` makes them."""

    meanings: Mapping[str, Keyword]
    """Folded word → what it asks for."""
    stop_word: str
    """What people are told to write to stop, as the settings spell it."""

    @classmethod
    def of(cls, *, stop: str, start: str, help: str) -> Self:  # noqa: A002 - the keyword's name
        """Read three lists of words with commas between them. One that is in several of them is the
        first: a stop is never missed.
        """
        meanings: dict[str, Keyword] = {}
        for words, keyword in ((help, Keyword.HELP), (start, Keyword.START), (stop, Keyword.STOP)):
            meanings |= dict.fromkeys(map(folded, words.split(",")), keyword)
        meanings.pop("", None)
        return cls(meanings, stop.partition(",")[0].strip())

    def meant_by(self, text: str) -> Keyword | None:
        """What a reply asks for; None: nothing that we understand."""
        return self.meanings.get(folded(text))


def folded(text: str) -> str:
    """A text as keywords are compared: letters and digits only, without accents, in capitals."""
    plain = unicodedata.normalize("NFKD", text).upper().translate(_GREEK_AS_LATIN)
    return "".join(character for character in plain if character.isalnum())
