"""The files under deploy/ name only what exists: variables, commands, metrics, addresses."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from typer.testing import CliRunner

from paceline.cli.program import program
from paceline.settings import VARIABLES, load
from tests.api.scraping import scrape
from tests.api.serving import serving

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OPERATIONS = ROOT / "docs" / "operations.md"
KNOWN = {spelling for each in VARIABLES.values() for spelling in each.spellings}
SHORTEST_STOP_S = load({}).provider_timeout_ms / 1000 + 10
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
YAMLS = sorted(DEPLOY.rglob("*.yaml"))
ALERTS = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
PANELS = json.loads((DEPLOY / "grafana" / "paceline.json").read_text())["panels"]
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


def manifests(kind: str) -> list[dict[str, Any]]:
    paths = sorted(DEPLOY.glob("kubernetes/*.yaml"))
    return [each for path in paths for each in documents(path) if each["kind"] == kind]


def unit(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(path)
    return parser


def variables() -> Iterator[tuple[str, str]]:
    """(where, name) of every environment variable that a file sets for Paceline."""
    for name, service in COMPOSE.items():
        if name != "database":
            yield from (("compose", each) for each in service.get("environment", {}))
    for secret in manifests("Secret"):
        yield from (("secret", each) for each in secret["stringData"])
    example = (DEPLOY / "systemd" / "paceline.env.example").read_text()
    for line in example.splitlines():
        yield "env", line.partition("=")[0]
    for path in UNITS:
        for line in re.findall(r"^Environment=(\w+)=", path.read_text(), re.MULTILINE):
            yield path.name, line
    for name in re.findall(r"\b(PACELINE_\w+)=", (DEPLOY / "Dockerfile").read_text()):
        yield "Dockerfile", name


def commands() -> Iterator[tuple[str, list[str]]]:
    """(where, words) of every call of Paceline."""
    for name, service in COMPOSE.items():
        if "command" in service:
            yield f"compose {name}", service["command"]
    for each in manifests("Job") + manifests("Deployment"):
        for container in each["spec"]["template"]["spec"]["containers"]:
            yield each["metadata"]["name"], container["args"]
    for path in UNITS:
        words = shlex.split(unit(path)["Service"]["ExecStart"])
        assert words[0].endswith("/paceline")
        yield path.name, words[1:]
    for command in re.findall(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE):
        yield "Dockerfile", json.loads(command)


def verbs_of_the_handbook() -> Iterator[tuple[str, list[str]]]:
    """Every `paceline …` in the handbook, without what stands for an id."""
    text = OPERATIONS.read_text()
    blocks = re.findall(r"^paceline ([^#\n]+)", text, re.MULTILINE)
    inline = re.findall(r"`paceline ([^`]+)`", text)
    for line in blocks + inline:
        yield "operations.md", [word for word in line.split() if word != "ID"]


def expressions() -> list[str]:
    shown = [target["expr"] for panel in PANELS for target in panel["targets"]]
    return shown + [rule["expr"] for rule in ALERTS]


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.name)
def test_every_yaml_file_can_be_read(path):
    assert all(isinstance(each, dict) for each in documents(path))


def test_every_variable_is_a_setting():
    found = list(variables())
    assert {where for where, _ in found} >= {"compose", "secret", "env", "Dockerfile"}
    assert [(where, name) for where, name in found if name not in KNOWN] == []


def test_the_example_of_a_secret_is_a_valid_environment():
    (secret,) = manifests("Secret")
    assert load(secret["stringData"]).warnings == ()


def test_every_command_and_option_exists():
    calls = [*commands(), *verbs_of_the_handbook()]
    verbs = {tuple(each for each in words if re.fullmatch("[a-z]+", each)) for _, words in calls}
    helps = {verb: help_of(verb) for verb in verbs}
    for where, words in calls:
        verb = tuple(each for each in words if re.fullmatch("[a-z]+", each))
        for option in (each for each in words if each.startswith("--")):
            assert option in helps[verb], (where, words)


def help_of(verb: tuple[str, ...]) -> str:
    words = [*verb, "--help"]
    shown = CliRunner().invoke(program(words), words, prog_name="paceline", env={"COLUMNS": "200"})
    assert shown.exit_code == 0, (verb, shown.output)
    assert f"paceline {' '.join(verb)} " in shown.output, (verb, shown.output)
    return shown.output


async def test_every_metric_of_dashboard_and_alerts_is_exposed(tmp_path):
    async with serving(f"sqlite:///{tmp_path}/paceline.db") as api:
        await scrape(api.nobody)  # the first request is counted only when it has been answered
        exposed = (await scrape(api.nobody)).names()
    named = {
        name for each in expressions() for name in re.findall(r"\b(?:paceline|process)_\w+", each)
    }
    assert len(named) > 15
    assert named - exposed == set()


async def test_every_label_value_of_the_rules_can_occur(tmp_path):
    async with serving(f"sqlite:///{tmp_path}/paceline.db") as api:
        await scrape(api.nobody)
        shown = await scrape(api.nobody)
    labels = {label for family in shown.families for label in shown.labels(family)}
    used = {
        label.strip()
        for each in expressions()
        for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", each)
        for label in group.split(",")
        if label.strip()
    }
    assert used - labels - {"le", "instance"} == set()


def test_every_alert_says_what_to_do_in_the_handbook():
    headings = re.findall(r"^### (Paceline\w+)$", OPERATIONS.read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in ALERTS]
    assert all(rule["annotations"]["summary"] for rule in ALERTS)


def test_gauges_of_the_database_are_never_added_up_over_processes():
    gauges = r"paceline_(?:messages_unconfirmed|oldest_queued|receipts_waiting|batches|campaigns"
    gauges += r"|tenant_limit\w+|account_\w+)"
    for each in expressions():
        for found in re.finditer(gauges, each):
            before = each[: found.start()]
            assert re.search(r"max(?: by \(\w+\) )?\s*\($", before), each


def test_every_process_that_sends_may_finish_its_calls_before_it_is_killed():
    stops = [COMPOSE[name]["stop_grace_period"] for name in ("worker", "api")]
    allowed = [float(each.removesuffix("s")) for each in stops]
    allowed += [float(unit(path)["Service"]["TimeoutStopSec"]) for path in UNITS]
    (worker,) = (m for m in manifests("Deployment") if m["metadata"]["name"].endswith("worker"))
    allowed.append(worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"])
    assert min(allowed) > SHORTEST_STOP_S


async def test_every_probe_asks_an_address_that_answers(tmp_path):
    containers = [
        container
        for each in manifests("Deployment")
        for container in each["spec"]["template"]["spec"]["containers"]
    ]
    paths = {
        c[p]["httpGet"]["path"] for c in containers for p in ("livenessProbe", "readinessProbe")
    }
    text = (DEPLOY / "compose.yaml").read_text() + (DEPLOY / "Dockerfile").read_text()
    paths |= set(re.findall(r"127\.0\.0\.1:8080(/\w+)", text))
    assert paths == {"/healthz", "/readyz"}
    async with serving(f"sqlite:///{tmp_path}/paceline.db") as api:
        for path in paths:
            assert (await api.nobody("GET", path)).status == 200


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_run_without_rights(path):
    service = unit(path)["Service"]
    wanted = {"DynamicUser": "yes", "ProtectSystem": "strict", "KillSignal": "SIGTERM"}
    assert {key: service[key] for key in wanted} == wanted


def test_containers_run_without_rights():
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.search(r"^USER [1-9]\d*$", text, re.MULTILINE)
    assert "--require-hashes --no-deps -r requirements.lock" in text
    for each in manifests("Job") + manifests("Deployment"):
        pod = each["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_what_the_image_copies_is_in_its_context():
    text = (DEPLOY / "Dockerfile").read_text()
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for word in line.split()[:-1]
    }
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert copied == {line[1:] for line in ignored if line.startswith("!")}
    assert all((ROOT / each).exists() for each in copied)
