"""Which replies are words to us."""

from __future__ import annotations

import pytest

from paceline.domain.keywords import Keyword, Keywords
from paceline.settings import load

DEFAULTS = load({})
WORDS = Keywords.of(stop=DEFAULTS.stop_words, start=DEFAULTS.start_words, help=DEFAULTS.help_words)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "STOP",
            "stop",
            " Stop! ",
            "s t o p",
            "S.T.O.P.",
            "«stop»",
            "STOP\r\n",
            "stóp",
            "\uff33\uff34\uff2f\uff30",  # full width
        ),
        *("Stop all", "opt-out", "OPT OUT", "Unsubscribe.", "end", "quit", "revoke", "cancel"),
        *("ΣΤΟΠ", "στοπ", "Στόπ", "arrêt", "ARRET", "стоп", "\U0001f6d1 stop"),
    ],
)
def test_a_stop_is_a_stop_however_it_is_typed(text: str) -> None:
    assert WORDS.meant_by(text) is Keyword.STOP


def test_greek_capitals_that_a_phone_sent_as_latin_ones_are_the_same_word() -> None:
    as_gsm_sends_it = "Σ" + "TO" + "Π"
    assert as_gsm_sends_it != "ΣΤΟΠ"
    assert WORDS.meant_by(as_gsm_sends_it) is Keyword.STOP


@pytest.mark.parametrize(
    ("text", "keyword"),
    [("start", Keyword.START), ("Yes", Keyword.START), ("help?", Keyword.HELP)],
)
def test_start_and_help_are_understood_too(text: str, keyword: Keyword) -> None:
    assert WORDS.meant_by(text) is keyword


@pytest.mark.parametrize(
    "text",
    ["", "!", "\U0001f6d1", "STOP please", "please stop by", "non-stop", "stopp it", "I need help"],
)
def test_a_sentence_with_the_word_in_it_is_for_a_person_to_read(text: str) -> None:
    assert WORDS.meant_by(text) is None


def test_own_words_replace_the_standard_ones() -> None:
    words = Keywords.of(stop="Genug, ¡Basta ya!", start="Weiter", help="Hilfe")
    assert words.meant_by("basta ya") is Keyword.STOP
    assert words.meant_by("WEITER") is Keyword.START
    assert words.meant_by("stop") is None
    assert words.stop_word == "Genug"


def test_a_word_in_two_lists_is_a_stop_first() -> None:
    words = Keywords.of(stop="x,,", start="x,y", help="x,y")
    assert (words.meant_by("x"), words.meant_by("y")) == (Keyword.STOP, Keyword.START)
    assert words.meant_by("") is None
