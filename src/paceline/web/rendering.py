"""Templates, and how figures, times and names of things are written in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_datetime, format_timedelta
from babel.numbers import format_decimal, format_percent
from babel.units import format_unit
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from paceline.web import terms
from paceline.web.languages import Language

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"


@dataclass(frozen=True, slots=True)
class Writing:
    """How one reader is written to."""

    language: Language
    timezone: str

    def number(self, value: float) -> str:
        return format_decimal(value, locale=self.language.locale)

    def percent(self, part: float, whole: float) -> str:
        """A share to a tenth of a percent; nothing short of all is 100 %, nothing at all 0 %."""
        share = round(part / whole, 3) if whole else 0.0
        if 0 < part < whole:
            share = min(max(share, 0.001), 0.999)
        return format_percent(share, locale=self.language.locale, decimal_quantization=False)

    def moment(self, at: int | None, form: str = "medium") -> str:
        """A moment (milliseconds since 1970) in the tenant's zone; nothing where there is none."""
        if at is None:
            return ""
        return format_datetime(
            datetime.fromtimestamp(at / 1000, UTC),
            form,
            tzinfo=ZoneInfo(self.timezone),
            locale=self.language.locale,
        )

    def iso(self, at: int) -> str:
        return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")

    def duration(self, ms: float) -> str:
        """How long something takes, in its largest unit; a second at least."""
        whole = timedelta(seconds=max(round(ms / 1000), 1))
        return format_timedelta(whole, threshold=1.2, locale=self.language.locale)

    def span(self, ms: int) -> str:
        """Exactly how long the window of a limit is, in the largest unit that has no fraction."""
        unit, length = next(each for each in _UNITS if ms % each[1] == 0)
        return format_unit(ms // length, f"duration-{unit}", locale=self.language.locale)


_UNITS = (
    ("day", 86_400_000),
    ("hour", 3_600_000),
    ("minute", 60_000),
    ("second", 1000),
    ("millisecond", 1),
)
"""Of time, with their milliseconds."""


@cache
def environment(language: Language) -> Environment:
    """The templates in one language."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_translations(language.translations, newstyle=True)  # type: ignore[attr-defined]
    plural: Any = made.globals["ngettext"]

    @pass_context
    def counted(context: Context, one: str, many: str, number: float, /, **values: Any) -> str:
        """As ``ngettext``, with the number written as in this language."""
        written = format_decimal(number, locale=language.locale)
        return str(plural(context, one, many, number, **{"num": written, **values}))

    made.globals |= {"asset": asset, "terms": terms.ALL, "ngettext": counted}

    def translated(text: str, *, tenant: str = "") -> str:
        return language.translations.gettext(text).replace("%(tenant)s", tenant)

    made.filters["translated"] = translated
    return made


@cache
def asset(name: str) -> str:
    """The address of a static file; another one when the file is another, so it may be cached."""
    digest = sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def rendered(language: Language, template: str, values: dict[str, Any]) -> str:
    return environment(language).get_template(template).render(values)
