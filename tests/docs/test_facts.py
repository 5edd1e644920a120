"""What the documents say of the code is what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paceline.api.app import create_app
from paceline.cli.program import program
from paceline.domain.campaign import TRANSITIONS as CAMPAIGN
from paceline.domain.message import BATCH_TRANSITIONS as BATCH
from paceline.domain.message import TRANSITIONS as MESSAGE
from paceline.domain.outcome import OutcomeKind
from paceline.settings import VARIABLES, load
from paceline.storage.database import Database
from tests.docs.examples import ROOT
from tests.docs.tree import DOCUMENTS, every_document

DOCS = ROOT / "docs"
STATES = DOCS / "states.md"
COMMANDS = DOCS / "commands.md"

Arrow = tuple[str, str, str]
"""(from, to, what causes it or "")."""

CODE_ARROWS: dict[str, set[Arrow]] = {
    "Campaign": {
        (start, target, verb) for verb, (starts, target) in CAMPAIGN.items() for start in starts
    },
    "Batch": {(start, target, "") for start, targets in BATCH.items() for target in targets},
    "Message": {(start, target, cause) for (start, cause), target in MESSAGE.items()},
}


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
    rows = table(section(DOCS / "glossary.md", "Outcomes"))
    assert [row["Word"][0] for row in rows] == list(OutcomeKind)


def test_the_table_of_the_api_has_every_call(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/paceline.db")
    described = create_app(database, load({}), wake=lambda: None).openapi()["paths"]
    database.close()
    calls = {
        f"{method.upper()} {path}" for path, methods in described.items() for method in methods
    }
    text = (DOCS / "api.md").read_text()
    listed = re.findall(r"^\| `([A-Z]+ [^`]+)` \|", text, re.MULTILINE)
    assert sorted(listed) == sorted(calls)


def test_the_page_of_commands_is_that_of_the_command_line():
    written = subprocess.run(
        [sys.executable, ROOT / "scripts" / "command-reference"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert COMMANDS.read_text() == written.stdout, (
        "run: .venv/bin/python scripts/command-reference >docs/commands.md"
    )


@pytest.mark.parametrize(
    ("where", "line"),
    [
        (document.relative_to(ROOT), line)
        for document in DOCUMENTS
        if document != COMMANDS
        for line in re.findall(
            r"(?:^|`|\(|[;&|] |bin/)paceline ([a-z][^`#)\n]*)", document.read_text(), re.MULTILINE
        )
    ],
    ids=str,
)
def test_every_command_and_option_that_a_document_names_exists(where, line):
    words = line.split()
    verb = [words[0], *words[1:2]] if has_verbs(words[0]) else words[:1]
    shown = help_of(verb)
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert option in shown, (where, line)


def has_verbs(command: str) -> bool:
    return " COMMAND " in help_of([command])


def help_of(words: list[str]) -> str:
    asked = [*words, "--help"]
    shown = CliRunner().invoke(program(asked), asked, prog_name="paceline", env={"COLUMNS": "200"})
    assert shown.exit_code == 0, (words, shown.output)
    assert f"paceline {words[0]} " in shown.output, (words, "is no command")
    return shown.output


@every_document
def test_documents_name_only_variables_that_exist(document):
    known = {name for each in VARIABLES.values() for name in each.spellings}
    known |= {f"{name}_FILE" for name in known}
    prefixes = {name.split("_")[0] for name in known}
    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", document.read_text()))
    unknown = {name for name in named - known if name.split("_")[0] in prefixes}
    assert unknown <= {"NAME_FILE"}
