"""The documents say what the code does, and what they point at is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from paceline.domain.campaign import TRANSITIONS as CAMPAIGN
from paceline.domain.message import BATCH_TRANSITIONS as BATCH
from paceline.domain.message import TRANSITIONS as MESSAGE
from paceline.domain.outcome import OutcomeKind
from paceline.settings import VARIABLES

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part == "src" for part in path.relative_to(ROOT).parts)
)
STATES = ROOT / "docs" / "states.md"
ADRS = sorted((ROOT / "docs" / "adr").glob("*.md"))

Arrow = tuple[str, str, str]
"""(from, to, what causes it or "")."""

CODE_ARROWS: dict[str, set[Arrow]] = {
    "Campaign": {
        (start, target, verb) for verb, (starts, target) in CAMPAIGN.items() for start in starts
    },
    "Batch": {(start, target, "") for start, targets in BATCH.items() for target in targets},
    "Message": {(start, target, cause) for (start, cause), target in MESSAGE.items()},
}

every_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


def section(document: Path, title: str) -> str:
    """What stands below the heading of this title, up to the next one of its rank."""
    found = re.search(
        rf"^(#+) {title}\n(.*?)(?=^\1 |\Z)", document.read_text(), re.MULTILINE | re.DOTALL
    )
    assert found, f"{document.name} has no section {title}"
    return found[2]


def table(text: str) -> list[dict[str, list[str]]]:
    """The rows of the first table: column → the words set as code in its cell."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    header, *body = rows
    return [
        {name: re.findall("`([^`]+)`", cell) for name, cell in zip(header, row, strict=True)}
        for row in body
    ]


def table_arrows(text: str) -> Iterator[Arrow]:
    for row in table(text):
        causes = row.get("Verb") or row.get("Cause") or [""]
        yield from ((start, row["To"][0], causes[0]) for start in row["From"])


def picture_arrows(text: str) -> list[Arrow]:
    return re.findall(r"^ +(\w+) --> (\w+)(?: : (\w+))?$", text, re.MULTILINE)


@pytest.mark.parametrize("kind", CODE_ARROWS)
def test_the_state_tables_are_those_of_the_code(kind):
    arrows = list(table_arrows(section(STATES, kind)))
    assert len(arrows) == len(set(arrows)), "an arrow is listed twice"
    assert set(arrows) == CODE_ARROWS[kind]


@pytest.mark.parametrize("kind", CODE_ARROWS)
def test_the_state_pictures_are_those_of_the_code(kind):
    arrows = picture_arrows(section(STATES, kind))
    assert len(arrows) == len(set(arrows)), "an arrow is drawn twice"
    assert set(arrows) == CODE_ARROWS[kind]


def test_the_glossary_has_every_outcome():
    rows = table(section(ROOT / "docs" / "glossary.md", "Outcomes"))
    assert [row["Word"][0] for row in rows] == list(OutcomeKind)


@every_document
def test_relative_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text())
    relative = [link for link in links if not re.match(r"https?:", link)]
    broken = [link for link in relative if not leads_somewhere(document, link)]
    assert broken == []


def leads_somewhere(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not anchor or anchor in anchors_of(target)


def anchors_of(document: Path) -> set[str]:
    """The anchors of a document's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_document
def test_no_document_mentions_a_path_of_a_machine(document):
    text = document.read_text()
    machine = r"(?<![\w.}])/(?:work|home|root|tmp|Users|private|mnt|opt|var)/\w|[A-Z]:\\"
    assert re.findall(machine, text) == []
    assert str(ROOT) not in text


@every_document
def test_documents_name_only_variables_that_exist(document):
    known = {name for each in VARIABLES.values() for name in each.spellings}
    prefixes = {name.split("_")[0] for name in known}
    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", document.read_text()))
    unknown = {name for name in named - known if name.split("_")[0] in prefixes}
    assert unknown <= {"NAME_FILE"}


def test_decisions_are_numbered_without_a_gap_and_say_what_else_was_considered():
    numbers = [int(path.name[:4]) for path in ADRS]
    assert numbers == list(range(1, len(ADRS) + 1))
    for path in ADRS:
        text = path.read_text()
        assert text.startswith(f"# {path.name[:4]}: ")
        parts = re.findall(r"^\*\*(\w+)\.?\*\*", text, re.MULTILINE)
        assert parts == ["Context", "Decision", "Alternatives", "Consequences"], path.name


def test_the_architecture_leads_to_every_decision():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    assert [path.name for path in ADRS if f"(docs/adr/{path.name})" not in text] == []
