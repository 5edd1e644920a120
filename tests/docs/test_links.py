"""What the documents point at is there, on a code host and on the site."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.examples import ROOT
from tests.docs.tree import DOCUMENTS, every_document

ADRS = sorted((ROOT / "docs" / "adr").glob("*.md"))
DEPLOY = sorted(path for path in (ROOT / "deploy").rglob("*") if path.is_file())
SITE = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet", "--conf-dir", "docs", "."]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as scripts/docs builds it: every link and anchor that it cannot follow is a
    warning, and every warning an error.
    """
    built = tmp_path_factory.mktemp("site")
    done = subprocess.run([*SITE, built], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return built


def test_the_site_has_a_page_for_every_document(site: Path) -> None:
    pages = {path.relative_to(site).with_suffix(".md") for path in site.rglob("*.html")}
    assert {path.relative_to(ROOT) for path in DOCUMENTS} <= pages


def test_the_site_needs_nothing_from_elsewhere(site: Path) -> None:
    fetched = re.compile(r"""(?:src="|<link[^>]*href="|url\()["']?(https?://[^"')]+)""")
    pages = [*site.rglob("*.html"), *site.rglob("*.css"), *site.rglob("*.svg")]
    assert {address for page in pages for address in fetched.findall(page.read_text())} == set()


def test_the_site_is_built_by_its_script() -> None:
    words = " ".join(SITE[1:])
    assert f".venv/bin/python {words} build/docs" in (ROOT / "scripts" / "docs").read_text()


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


@pytest.mark.parametrize("path", DEPLOY, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_deploy_name_only_documents_that_exist(path):
    named = re.findall(r"\b(?:docs|deploy)/[\w./@-]*\w", path.read_text())
    assert [each for each in named if not (ROOT / each).exists()] == []


@every_document
def test_no_document_mentions_a_path_of_a_machine(document):
    assert paths_of_a_machine(document.read_text()) == []


def test_the_picture_mentions_no_path_of_a_machine_and_is_small():
    picture = ROOT / "docs" / "demo.svg"
    assert paths_of_a_machine(picture.read_text()) == []
    assert picture.stat().st_size < 150_000


def paths_of_a_machine(text: str) -> list[str]:
    machine = r"(?<![\w.}])/(?:work|home|root|tmp|Users|private|mnt|opt|var)/\w|[A-Z]:\\"
    return re.findall(machine, text) + [str(ROOT)] * (str(ROOT) in text)


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
