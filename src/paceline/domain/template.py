"""Merge tags in a campaign's text: `{{first_name}}`, or `{{first_name|there}}` with a default.

A text is compiled once and rendered once per message. A tag names a field and nothing else: no
attributes, no filters, no expressions, so that a tenant's text can reach only the merge values
it is given; and a value is put in as it is, never read as a template again.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MAX_TAGS: Final = 100
"""Of one text. No message has room for more, and each one costs work for every message."""

_TAG: Final = re.compile(r"\{\{\s*([a-z][a-z0-9_]*)\s*(?:\|([^{}|]*))?\}\}")
_BRACES: Final = re.compile(r"\{\{|\}\}")
_NAMES: Final = "a field's name is small letters, digits and _"
_EXAMPLE: Final = "{{first_name}}"


class TemplateError(ValueError):
    """A tag cannot be read, or is one too many.

    `tag` is the text at fault, `position` its first character's column (from 1, lines not
    counted apart), `advice` how to mend it.
    """

    def __init__(self, tag: str, position: int, advice: str) -> None:
        super().__init__(f"{tag} at character {position}: {advice}")
        self.tag = tag
        self.position = position
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled text; `compile_text` makes it.

    `pieces` alternates literal text and gaps; `gaps` gives for each gap its index in `pieces`,
    the field that fills it and the default.
    """

    text: str
    pieces: tuple[str, ...]
    gaps: tuple[tuple[int, str, str], ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields the text names, each once, in its order."""
        return tuple(dict.fromkeys(name for _, name, _ in self.gaps))

    def render(self, values: Mapping[str, str | None]) -> str:
        """Fill the gaps; a missing or empty value gives way to the default, or to nothing."""
        pieces = list(self.pieces)
        for index, name, default in self.gaps:
            pieces[index] = values.get(name) or default
        return "".join(pieces)


def written_out(text: str, field: str, words: str) -> str:
    """A text with other words in the place of a field's tags; the rest stays as it is."""
    return _TAG.sub(lambda tag: words if tag[1] == field else tag[0], text)


@dataclass(frozen=True, slots=True)
class UnknownField:
    """A field that a text names and nobody has; `meant` is the known one most like it, if any."""

    name: str
    meant: str | None

    def __str__(self) -> str:
        hint = f"; did you mean {{{{{self.meant}}}}}?" if self.meant else ""
        return f"unknown field {{{{{self.name}}}}}{hint}"


def compile_text(text: str) -> Template:
    """Read a text's tags.

    Raises:
        TemplateError: `{{` or `}}` stands where no well-formed tag does, or there are more than
            `MAX_TAGS`. Single braces are text.

    """
    pieces: list[str] = []
    gaps: list[tuple[int, str, str]] = []
    end = 0
    while braces := _BRACES.search(text, end):
        tag = _TAG.match(text, braces.start())
        if tag is None:
            raise _malformed(text, braces.start())
        if len(gaps) == MAX_TAGS:
            advice = f"is one tag too many; a text has at most {MAX_TAGS}"
            raise TemplateError(tag[0], tag.start() + 1, advice)
        pieces += [text[end : tag.start()], ""]
        gaps.append((len(pieces) - 1, tag[1], (tag[2] or "").strip()))
        end = tag.end()
    pieces.append(text[end:])
    return Template(text, tuple(pieces), tuple(gaps))


def unknown_fields(template: Template, known: Collection[str]) -> tuple[UnknownField, ...]:
    """Return the fields of a template that are not among the `known` ones."""
    return tuple(
        UnknownField(name, next(iter(difflib.get_close_matches(name, known, n=1)), None))
        for name in template.fields
        if name not in known
    )


def _malformed(text: str, start: int) -> TemplateError:
    """Say what is wrong with the braces at `start` and how to mend them."""
    position = start + 1
    if text.startswith("}}", start):
        return TemplateError("}}", position, f"closes no tag; write a field as {_EXAMPLE}")
    close = _BRACES.search(text, start + 2)
    if close is None or close[0] == "{{":
        return TemplateError("{{", position, f"is never closed; write a field as {_EXAMPLE}")
    tag = text[start : close.end()]
    name, bar, default = tag[2:-2].partition("|")
    if bar and _TAG.fullmatch(f"{{{{{name}}}}}"):
        return TemplateError(
            tag, position, f"a default may not contain {' or '.join(_forbidden(default))}"
        )
    return TemplateError(tag, position, f"{_NAMES}; write {_well_formed(name)}")


def _forbidden(default: str) -> list[str]:
    return [character for character in "{}|" if character in default]


def _well_formed(name: str) -> str:
    """Return the tag that was probably meant, or the example if there is no telling."""
    guess = re.sub(r"[^a-z0-9]+", "_", name.lower()).lstrip("_0123456789").rstrip("_")
    return f"{{{{{guess}}}}}" if guess else _EXAMPLE
