"""The help: whoever asks is told what each verb does and what each option takes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

import pytest
import typer
from typer.main import get_command

from paceline.cli.failures import ExitCode
from paceline.cli.program import VERBS, program
from tests import command_line

WIDTH = 78
"""Of a terminal of 80 columns, what help may fill: a longer line would wrap after a word or two."""
COMPLETES = {"_PACELINE_COMPLETE": "complete_bash"}


def commands_of(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """A command and its verbs, each with the words that call it."""
    yield name, command
    for verb, each in getattr(command, "commands", {}).items():
        yield from commands_of(f"{name} {verb}", each)


def everything() -> Iterator[tuple[str, Any]]:
    """The program and every command, each built as if it had been called."""
    yield "paceline", get_command(program([]))
    for name in VERBS:
        whole: Any = get_command(program([name]))
        yield from commands_of(name, whole.commands[name])


ALL = dict(everything())


@pytest.mark.parametrize("words", ALL)
def test_a_command_says_what_it_does_in_a_sentence_and_in_lines_that_fit(words: str) -> None:
    text = cleandoc(ALL[words].help or "")
    summary, *rest = text.split("\n\n")
    assert summary.endswith("."), f"{words}: its help begins with a sentence"
    assert summary.count("\n") == 0
    assert all(len(line) <= WIDTH for paragraph in rest for line in paragraph.splitlines())


@pytest.mark.parametrize("words", ALL)
def test_every_argument_and_option_has_help(words: str) -> None:
    command = ALL[words]
    untold = [
        parameter.name
        for parameter in command.get_params(typer.Context(command))
        if not getattr(parameter, "help", "")
    ]
    assert untold == []


@pytest.mark.parametrize("name", VERBS)
def test_the_list_of_commands_and_the_help_of_each_say_the_same(name: str) -> None:
    assert cleandoc(ALL[name].help).split("\n\n")[0] == VERBS[name].purpose


def paceline(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return command_line.paceline(words, {"COLUMNS": "80"} | environ)


def test_the_main_help_names_the_exit_statuses_and_where_settings_are_found() -> None:
    shown = paceline("--help").stdout
    named = shown[shown.index("Exit status:") :]
    assert all(f"{code:d} " in named for code in ExitCode)
    assert "paceline config show" in shown
    assert "docs/settings.md" in shown


def test_without_words_the_help_is_shown_as_for_wrong_usage() -> None:
    done = paceline()
    assert done.returncode == ExitCode.USAGE
    assert "Usage: paceline" in done.stdout + done.stderr


def test_a_flag_is_not_shown_as_if_it_took_a_value() -> None:
    assert "<bool>" not in paceline("campaign", "unconfirmed", "--help").stdout


def test_the_main_help_loads_nothing_that_is_slow_to_load() -> None:
    script = "import sys; from paceline.cli import main; sys.argv[1:] = ['--help']; main()"
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = {
        line.rpartition("|")[2].strip().partition(".")[0] for line in shown.stderr.split("\n")
    }
    assert "typer" in loaded
    assert loaded.isdisjoint({"sqlalchemy", "pydantic", "fastapi", "aiohttp", "structlog"})


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("campain",), "campaign"),
        (("campaign", "shwo", "1"), "show"),
        (("campaign", "show"), "paceline campaign show --help"),
        (("campaign", "create", "--nam", "x"), "--name"),
    ],
)
def test_wrong_usage_is_exit_status_2_with_a_hint(words: tuple[str, ...], hint: str) -> None:
    done = paceline(*words)
    assert done.returncode == ExitCode.USAGE
    assert hint in done.stderr


@pytest.mark.parametrize(
    ("line", "cursor", "expected"),
    [
        ("paceline camp", 1, {"campaign"}),
        ("paceline campaign re", 2, {"report", "resend", "resume"}),
        ("paceline campaign show --ten", 3, {"--tenant"}),
    ],
)
def test_a_shell_can_complete_commands_verbs_and_options(
    line: str, cursor: int, expected: set[str]
) -> None:
    done = paceline(**COMPLETES, COMP_WORDS=line, COMP_CWORD=str(cursor))
    assert set(done.stdout.split()) == expected
