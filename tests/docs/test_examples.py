"""The examples of the documents are followed, and what happens is what the documents show."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash import provider
from tests.docs.examples import (
    ROOT,
    Example,
    Reader,
    WrongExampleError,
    begins_like,
    examples_of,
    looks_like,
    reader,
)

ALONE = ["README.md", "docs/tutorial.md"]
"""These begin with nothing; the guides with a Paceline that runs and with what their index says."""
GUIDES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "docs" / "how-to").glob("*.md")
    if path.name != "index.md" and any(not each.not_run for each in examples_of(path))
)
SERVER = """\
export MITTO_API_KEY=anything SMS_TRAFFIC_ACCOUNT_ID=tutorial MITTO_SENDER=MyShop
.venv/bin/paceline serve
"""
SERVING = "…\npaceline: serving at http://127.0.0.1:8080 …\n"


@pytest.mark.parametrize("name", [*ALONE, *GUIDES])
def test_whoever_follows_the_examples_sees_what_is_shown(name: str, tmp_path: Path) -> None:
    examples = examples_of(ROOT / name)
    with (
        provider({}) as provider_url,
        reader(tmp_path / "checkout", MITTO_API_BASE=provider_url) as somebody,
    ):
        if name in GUIDES:
            begin_a_guide(somebody)
        for example in examples:
            if not example.not_run:
                somebody.follow(example)


def begin_a_guide(somebody: Reader) -> None:
    somebody.follow(Example("before a guide", SERVER, SERVING, stays=True))
    somebody.follow(Example("before a guide", ". .venv/bin/activate\n", None))
    for example in examples_of(ROOT / "docs" / "how-to" / "index.md"):
        somebody.follow(example)


def test_every_shell_block_of_the_documents_is_followed_or_says_why_not() -> None:
    followed = {ROOT / name for name in [*ALONE, *GUIDES, "docs/how-to/index.md"]}
    others = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    blocks = [each for path in others if path not in followed for each in examples_of(path)]
    assert [each.where for each in blocks if not each.not_run] == []


@pytest.mark.parametrize(
    "wrong",
    [
        Example("status", "false\n", None),
        Example("a command in the middle", "false\ntrue\n", None),
        Example("another status", "(exit 5)\n", None, status=6),
        Example("other words", "echo sent 3\n", "sent 4\n"),
        Example("a line too few", "echo a; echo b\n", "a\n"),
        Example("a line too many", "echo a\n", "a\nb\n"),
        Example("never ready", "echo busy\n", "ready\n", stays=True),
    ],
    ids=lambda each: each.where,
)
def test_a_wrong_example_is_noticed(wrong: Example, tmp_path: Path) -> None:
    with reader(tmp_path / "checkout") as somebody, pytest.raises(WrongExampleError):
        somebody.follow(wrong)


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a … c\n", "a b c\n", True),
        ("a … c\n", "a b\nc\n", False),
        ("…\nc\n", "a\nb\nc\n", True),
        ("a\n…\n", "a\n", True),
        ("a.c\n", "abc\n", False),
        ("", "a\n", False),
    ],
)
def test_an_ellipsis_stands_for_a_part_of_a_line_or_for_lines(
    shown: str, printed: str, *, same: bool
) -> None:
    assert looks_like(shown, printed) is same


def test_what_stays_running_need_not_have_ended() -> None:
    assert begins_like("ready\n", "ready\nand more\n")
    assert not begins_like("ready\n", "read")
