"""What goes wrong, and how a command ends then: in time, with one line, never with a traceback."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from paceline.cli import failures
from paceline.cli.databases import _finish_launches
from paceline.engine.imports import import_contacts
from paceline.settings import sqlalchemy_url
from paceline.storage import accounts, audit, campaigns, launches, migrate, restart, tenants
from paceline.storage.database import Database
from tests import command_line
from tests.api.serving import ACCOUNT
from tests.crash import Installation, environ_of, provider
from tests.postgres import PostgresServer


def paceline(home: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return command_line.paceline(
        words, {"PACELINE_DATA_DIR": str(home / "data")} | environ, cwd=home
    )


def test_a_file_that_is_not_there_is_one_line_and_a_traceback_only_for_who_asks(
    tmp_path: Path,
) -> None:
    words = ("campaign", "create", "--name", "n", "--text", "@nowhere.txt")
    done = paceline(tmp_path, *words)
    assert done.returncode == 1
    assert done.stderr == "paceline: nowhere.txt: No such file or directory\n"
    assert "Traceback" in paceline(tmp_path, *words, PACELINE_LOG_LEVEL="debug").stderr


def test_a_folder_that_cannot_be_made_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file is in the way")
    done = paceline(tmp_path, "audit")
    assert done.returncode == 4
    assert "PACELINE_DATA_DIR" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_bug_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    def buggy() -> None:
        raise KeyError("surprise")

    assert failures.run(buggy) == 1
    told = capsys.readouterr().err
    assert "internal error: KeyError" in told
    assert "Traceback" not in told


def test_the_demo_runs_in_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "50% off? #1"
    words = ("demo", "--fast", "--exit", "--json")
    done = paceline(tmp_path, *words, PACELINE_DATA_DIR=str(folder), PACELINE_PORT="0")
    assert done.returncode == 0, done.stderr
    assert (folder / "demo.db").exists()


def test_the_demo_never_uses_the_account_of_the_environment(tmp_path: Path) -> None:
    done = paceline(
        tmp_path,
        *("demo", "--fast", "--exit", "--json"),
        PACELINE_PORT="0",
        DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
        MITTO_API_BASE="http://127.0.0.1:1",
        MITTO_API_KEY="real",
        SMS_TRAFFIC_ACCOUNT_ID="real",
        MITTO_SENDER="Real",
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["provider"]["accepted"] == document["metrics"]["sent"] > 0
    listed = paceline(
        tmp_path, "account", "list", "--json", DATABASE_URL=f"sqlite:///{tmp_path}/data/demo.db"
    )
    assert [each["name"] for each in json.loads(listed.stdout)] == ["demo"]


def test_watching_ends_with_1_when_a_campaign_is_not_completed(tmp_path: Path) -> None:
    with provider({}) as provider_url:
        installation = Installation(tmp_path, f"sqlite:///{tmp_path}/paceline.db", provider_url)
        installation.paceline("key", "create", "--tenant", "acme")
        create = ("campaign", "create", "--name", "n", "--text", "Hi")
        installation.paceline(*create)
        installation.paceline("campaign", "cancel", "1")
        last = installation.paceline("campaign", "watch", "1", "--json", expect=1)
        assert json.loads(last)["campaign"]["status"] == "cancelled"


def test_a_worker_that_lost_its_database_still_ends_in_time(
    create_database: Callable[..., str], postgres_server: PostgresServer, tmp_path: Path
) -> None:
    url = create_database()
    with provider({"latency_ms": 400}) as provider_url:
        environ = environ_of(batch_size=1) | {"PROVIDER_TIMEOUT_MS": "1000"}
        installation = Installation(tmp_path, url, provider_url, **environ)
        made = installation.paceline("key", "create", "--tenant", "acme", "--json")
        installation.key = json.loads(made)["key"]
        installation.serve()
        assert installation.server is not None
        try:
            send_200(installation)
            while json.loads(installation.provider("/log/summary"))["calls"] < 5:
                time.sleep(0.01)
            postgres_server.drop_database(url)
            installation.server.send_signal(signal.SIGTERM)
            installation.server.wait(timeout=1 + 10)
        finally:
            installation.server.kill()
            installation.server.wait()


def send_200(installation: Installation) -> None:
    people = "phone\n" + "".join(f"+3069{10_000_000 + n}\n" for n in range(200))
    installation.ask("POST", "/api/contacts/import", people.encode())
    installation.ask("POST", "/api/campaigns", {"name": "n", "text": "Hi"})
    installation.ask("POST", "/api/campaigns/1/enqueue")


@pytest.mark.parametrize("finished", [True, False])
def test_after_a_restore_nobody_of_an_unfinished_launch_is_forgotten(
    database_url: str, monkeypatch: pytest.MonkeyPatch, *, finished: bool
) -> None:
    monkeypatch.setattr(launches, "CHUNK", 100 if finished else 3)
    database = Database(sqlalchemy_url(database_url))
    migrate.upgrade(database)
    tenant = database.write_now(tenants.keep, "acme")
    account = database.write_now(accounts.keep, name="main", values=ACCOUNT)
    people = "phone\n" + "".join(f"+3069{10_000_000 + n}\n" for n in range(10))
    asyncio.run(import_contacts(database, tenant.id, [people.encode()]))
    campaign = database.write_now(
        campaigns.create, tenant.id, account_id=account.id, name="n", text="Hi", sender="Paceline"
    )
    database.write_now(launches.start, tenant.id, campaign.id, batch_size=2)
    _finish_launches(database)
    told = database.write_now(restart.after_restore)
    after = database.read_now(campaigns.get, tenant.id, campaign.id)
    assert (after.total, after.queued, after.unconfirmed) == (10, 10, 10)
    assert told["unconfirmed"] == 10
    assert after.status == "paused"
    assert database.read_now(audit.differences) == []
    database.close()
