"""The dashboard in each of its languages."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from babel.messages.pofile import read_po

from paceline.domain.campaign import CampaignStatus
from paceline.domain.eta import Bound
from paceline.domain.message import BatchStatus, Delivery, MessageStatus, Reason
from paceline.domain.outcome import OutcomeKind
from paceline.domain.role import Role
from paceline.domain.scope import Scope
from paceline.engine.waiting import Cause
from paceline.storage.at_work import Place
from paceline.web import terms
from paceline.web.languages import FOLDER, languages, preferred
from paceline.web.rendering import Writing
from tests.web.test_pages import PAGES, started
from tests.web.visiting import House

CATALOGUES = sorted(FOLDER.glob("*.po"))
_PLACES = re.compile(r"%\((\w+)\)s")
texts = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "catalogue"))["texts"]


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda file: file.stem)
def test_a_catalogue_says_everything_that_the_pages_say_and_nothing_else(file: Path) -> None:
    with file.open("rb") as opened:
        kept = {each.id: each for each in read_po(opened, locale=file.stem) if each.id}
    said = {each.id for each in texts() if each.id}
    assert kept.keys() == said, "run scripts/catalogue"
    assert [each.id for each in kept.values() if not all(_forms(each.string))] == []


def _forms(text: Any) -> list[str]:
    return [text] if isinstance(text, str) else list(text)


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda file: file.stem)
def test_a_translation_fills_the_same_places(file: Path) -> None:
    with file.open("rb") as opened:
        for each in read_po(opened, locale=file.stem):
            if each.id:
                wanted = set(_PLACES.findall(_forms(each.id)[-1]))
                for form in _forms(each.string):
                    assert set(_PLACES.findall(form)) == wanted, each.id


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        (terms.CAMPAIGN, CampaignStatus),
        (terms.MESSAGE, MessageStatus),
        (terms.DELIVERY, Delivery),
        (terms.BATCH, BatchStatus),
        (terms.REASON, Reason),
        (terms.WAITS, Cause),
        (terms.BOUND, Bound),
        (terms.PLACE, Place),
        (terms.ROLE, Role),
        (terms.SCOPE, Scope),
        (terms.OUTCOME, OutcomeKind),
    ],
)
def test_every_state_has_a_name(names: Mapping[str, str], kinds: Iterable[str]) -> None:
    assert names.keys() == {str(each) for each in kinds}


@pytest.mark.parametrize(
    ("accepted", "code"),
    [
        ("el", "el"),
        ("el-GR,en;q=0.5", "el"),
        ("EL", "el"),
        ("EN-us", "en"),
        ("de-DE, el;q=0.8, en;q=0.9", "en"),
        ("de", "en"),
        ("", "en"),
        ("*;q=x, ;;,", "en"),
    ],
)
def test_a_browser_gets_the_language_that_it_likes_best(accepted: str, code: str) -> None:
    assert preferred(accepted).code == code


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (250, "250 milliseconds"),
        (1000, "1 second"),
        (90_000, "90 seconds"),
        (60_000, "1 minute"),
        (86_400_000, "1 day"),
    ],
)
def test_the_window_of_a_limit_is_said_exactly(ms: int, said: str) -> None:
    assert Writing(languages()["en"], "UTC").span(ms) == said


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 0, "0%"),
        (0, 5, "0%"),
        (5, 10, "50%"),
        (9_964, 10_000, "99.6%"),
        (999_999, 1_000_000, "99.9%"),
        (1, 1_000_000, "0.1%"),
        (1_000_000, 1_000_000, "100%"),
    ],
)
def test_only_all_is_a_hundred_percent(part: int, whole: int, said: str) -> None:
    assert Writing(languages()["en"], "UTC").percent(part, whole) == said


@pytest.mark.parametrize("code", [each for each in languages() if each != "en"])
async def test_every_page_can_be_read_in_every_language(home: House, code: str) -> None:
    async with home.reader() as ana:
        await started(home, ana.tenant_id)
        for path in (*PAGES, "/campaigns/1", "/messages/1", "/messages?campaign=1"):
            page = await ana.get(path, **{"Accept-Language": code})
            assert page.status == 200, path
            assert f'<html lang="{code}"' in page.text
            assert "Overview" not in page.text, path


async def test_the_language_that_was_chosen_stays(home: House) -> None:
    async with home.reader() as ana:
        await ana.post("/preferences", {"language": "el", "theme": "dark", "to": "/queue"})
        page = await ana.get("/campaigns", **{"Accept-Language": "en"})
    assert '<html lang="el" data-theme="dark"' in page.text
