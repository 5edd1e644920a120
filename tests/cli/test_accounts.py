"""Traffic accounts and the secret that their keys are sealed with, from the command line."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from paceline.storage.sealing import KEY_FILE, Sealer
from tests.command_line import Run, data_of
from tests.crash import Installation, provider

KEY = "the-providers-key"
ADD = (
    *("account", "add", "main", "--provider", "mitto", "--base-url", "http://127.0.0.1:9"),
    *("--external-id", "acc-1", "--sender", "Shop"),
)
FIRST, SECOND = "the first secret", "the second secret"


def stored(home: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(home / "data" / "paceline.db")) as connection:
        return [row[0] for row in connection.execute(query)]


def keys(home: Path) -> list[str]:
    return stored(home, "SELECT api_key FROM traffic_accounts ORDER BY id")


def test_a_key_from_stdin_or_the_environment_is_sealed_with_a_key_that_needs_no_set_up(
    run: Run, tmp_path: Path
) -> None:
    added = run(*ADD, "--api-key", "-", "--json", stdin=f"{KEY}\n")
    assert data_of(added)["name"] == "main"
    secret = (tmp_path / "data" / KEY_FILE).read_text().strip()
    (first,) = keys(tmp_path)
    assert Sealer(secret).open(first) == KEY
    replaced = run(*ADD, "--json", ACCOUNT_API_KEY="another-key")
    assert data_of(replaced)["id"] == 1
    (second,) = keys(tmp_path)
    assert Sealer(secret).open(second) == "another-key"
    shown = run("account", "show", "1", "--json", PACELINE_PUBLIC_URL="https://sms.example.com")
    for done in (added, replaced, shown, run("account", "list", "--json")):
        assert KEY not in done.stdout + done.stderr
        assert "sealed:" not in done.stdout
    logged = stored(tmp_path, "SELECT actor || ' ' || action FROM audit_log ORDER BY id")
    assert [re.sub(r"\S+@\S+", "me@here", line) for line in logged] == [
        "cli me@here account.add",
        "cli me@here account.change",
    ]


def test_an_account_brought_up_to_date_keeps_what_was_not_said_again(run: Run) -> None:
    simulated = (*ADD, "--provider", "simulator", "--api-key", KEY, "--json")
    said = ("--server-error", "hold", "--option", "looks_up=true")
    first = data_of(run(*simulated, *said))
    second = data_of(run(*simulated, "--sender", "NewShop"))
    assert second == {**first, "sender": "NewShop"}


def test_show_tells_where_receipts_and_replies_are_posted(run: Run) -> None:
    run(*ADD, ACCOUNT_API_KEY=KEY)
    shown = data_of(
        run("account", "show", "1", "--json", PACELINE_PUBLIC_URL="https://sms.example.com")
    )
    start = r"https://sms\.example\.com/webhooks/mitto/[\w-]{43}"
    assert re.fullmatch(f"{start}/dlr", shown["webhook_url"])
    assert re.fullmatch(f"{start}/inbound", shown["inbound_url"])
    assert "PACELINE_PUBLIC_URL" in run("account", "show", "1").stderr
    assert run("account", "show", "2").returncode == 5


def test_options_are_the_providers_and_every_fault_is_named(run: Run, tmp_path: Path) -> None:
    simulated = ("--provider", "simulator", "--api-key", KEY)
    options = ("--option", "deduplicates=true", "--option", "max_look_ups=7")
    added = data_of(run(*ADD, *simulated, *options, "--json"))
    assert added["options"] == {"deduplicates": True, "max_look_ups": 7}
    bad = run(
        *ADD, *simulated, "--option", "nonsense=1", "--sender", "much too long", "--base-url", "x"
    )
    assert bad.returncode == 1
    assert "sender" in bad.stderr
    assert "base_url" in bad.stderr or "options" in bad.stderr
    assert "NAME=VALUE" in run(*ADD, *simulated, "--option", "nonsense").stderr
    assert run(*ADD, *simulated, "--server-error", "perhaps").returncode == 2
    assert run(*ADD, *simulated, "--tenant", "nobody").returncode == 5
    (options_kept,) = stored(tmp_path, "SELECT options FROM traffic_accounts")
    assert json.loads(options_kept) == added["options"]


def test_a_test_connects_with_the_opened_key_and_explains_what_is_done_in_doubt(
    run: Run,
) -> None:
    with provider({}) as provider_url:
        run(*ADD, "--base-url", provider_url, ACCOUNT_API_KEY=KEY)
        plain = run("account", "test", "1")
        explained = run("account", "test", "1", "--explain")
    assert plain.returncode == 0, plain.stderr
    assert "can be made" in plain.stdout
    assert explained.returncode == 0, explained.stderr
    assert len(explained.stdout.splitlines()) > len(plain.stdout.splitlines())
    assert run("account", "test", "1").returncode == 4


def test_a_wrong_secret_is_found_at_start_and_named_with_what_to_do(run: Run) -> None:
    assert run(*ADD, ACCOUNT_API_KEY=KEY, PACELINE_SECRET=FIRST).returncode == 0
    for words in (("serve",), ("api",), ("worker",), ("account", "test", "1")):
        refused = run(*words, PACELINE_SECRET=SECOND)
        assert refused.returncode == 3, words
        assert "PACELINE_SECRET" in refused.stderr
        assert "on every machine" in refused.stderr
        assert SECOND not in refused.stderr
    assert run("account", "list", PACELINE_SECRET=SECOND).returncode == 0


def test_the_secret_is_changed_by_giving_both_and_resealing(run: Run, tmp_path: Path) -> None:
    run(*ADD, ACCOUNT_API_KEY=KEY, PACELINE_SECRET=FIRST)
    both = {"PACELINE_SECRET": SECOND, "PACELINE_SECRET_OLD": FIRST}
    alone = run("account", "reseal", PACELINE_SECRET=SECOND)
    assert alone.returncode == 3
    resealed = data_of(run("account", "reseal", "--json", **both))
    assert resealed == {"sealed": 1, "lost_accounts": [], "lost_endpoints": []}
    assert [Sealer(SECOND).open(key) for key in keys(tmp_path)] == [KEY]
    assert run("account", "test", "1", PACELINE_SECRET=FIRST).returncode == 3
    assert run("account", "test", "1", PACELINE_SECRET=SECOND).returncode == 4, "nobody is there"


def test_a_lost_secret_costs_its_keys_and_nothing_else(run: Run) -> None:
    mitto = {
        "MITTO_API_BASE": "http://127.0.0.1:9",
        "MITTO_API_KEY": KEY,
        "SMS_TRAFFIC_ACCOUNT_ID": "acc-1",
        "MITTO_SENDER": "Shop",
    }
    assert run("account", "list", PACELINE_SECRET=FIRST, **mitto).returncode == 0
    lost = run("account", "reseal", "--lost", "--json", PACELINE_SECRET=SECOND, **mitto)
    assert lost.returncode == 6
    assert json.loads(lost.stdout)["lost_accounts"] == [1]
    (listed,) = data_of(run("account", "list", "--json", PACELINE_SECRET=SECOND, **mitto))
    assert "lost" in listed["held_why"]
    released = data_of(run("account", "release", "1", "--json", PACELINE_SECRET=SECOND))
    assert released["held_why"] is None


def test_the_account_of_the_environment_is_sealed_and_not_sealed_again_at_each_start(
    run: Run, tmp_path: Path
) -> None:
    mitto = {"MITTO_API_KEY": KEY, "SMS_TRAFFIC_ACCOUNT_ID": "acc-1", "MITTO_SENDER": "Shop"}
    run("account", "list", **mitto)
    before = keys(tmp_path)
    assert KEY not in before[0]
    run("account", "list", **mitto)
    assert keys(tmp_path) == before
    run("account", "list", **{**mitto, "MITTO_API_KEY": "another-key"})
    assert keys(tmp_path) != before
    logged = stored(tmp_path, "SELECT actor || ' ' || action FROM audit_log ORDER BY id")
    assert logged == [
        "paceline account.add",
        "paceline account.default",
        "paceline account.change",
    ]


def test_a_campaign_is_sent_with_a_sealed_key_and_plain_ones_are_sealed_at_start(
    tmp_path: Path,
) -> None:
    file = tmp_path / "paceline.db"
    with provider({"api_keys": ["provider-secret"]}) as provider_url:
        installation = Installation(tmp_path, f"sqlite:///{file}", provider_url)
        made = installation.paceline("key", "create", "--tenant", "acme", "--json")
        installation.key = json.loads(made)["key"]
        with closing(sqlite3.connect(file)) as connection, connection:
            # As a version before seals left it, without the variables that would renew it.
            connection.execute("UPDATE traffic_accounts SET api_key = 'provider-secret'")
            connection.execute("UPDATE installation SET key_check = NULL")
        for name in ("MITTO_API_KEY", "SMS_TRAFFIC_ACCOUNT_ID", "MITTO_SENDER"):
            del installation.environ[name]
        installation.serve()
        try:
            with closing(sqlite3.connect(file)) as connection:
                (key,) = connection.execute("SELECT api_key FROM traffic_accounts").fetchone()
            assert key.startswith("sealed:")
            installation.ask("POST", "/api/contacts/import", b"phone\n+306912345678\n")
            installation.ask("POST", "/api/campaigns", {"name": "n", "text": "Hi"})
            installation.ask("POST", "/api/campaigns/1/enqueue")
            lines = installation.paceline("campaign", "watch", "1", "--json").splitlines()
        finally:
            assert installation.server is not None
            installation.server.send_signal(signal.SIGTERM)
            installation.server.wait(timeout=30)
    changes = [json.loads(line) for line in lines]  # one, if all was over as it began to look
    assert changes[-1]["metrics"]["sent"] == 1


def test_whose_the_replies_to_a_number_are(run: Run) -> None:
    run(*ADD, ACCOUNT_API_KEY=KEY)
    run("key", "create", "--tenant", "acme")
    number = ("account", "number")
    given = data_of(run(*number, "add", "1", "+44 7700 1", "--tenant", "acme", "--json"))
    assert given == {"number": "4477001", "tenant": "acme"}
    assert data_of(run(*number, "list", "1", "--json")) == [given]
    assert "acme" in run(*number, "list", "1").stdout
    assert run(*number, "remove", "1", "+4477001").returncode == 0
    assert run(*number, "remove", "1", "+4477001").returncode == 5
    assert data_of(run(*number, "list", "1", "--json")) == []
    assert run(*number, "add", "1", "1", "--tenant", "nobody").returncode == 5


def test_a_tenants_limit_is_changed_by_somebody(run: Run, tmp_path: Path) -> None:
    run("key", "create", "--tenant", "acme")
    assert run("tenant", "limit", "acme", "--max", "5").returncode == 0
    (detail,) = stored(tmp_path, "SELECT detail FROM audit_log WHERE action = 'tenant.change'")
    assert json.loads(detail) == {"rate_max": 5, "rate_window_ms": None}


def test_a_release_wakes_the_workers_of_other_processes(run: Run, postgres_url: str) -> None:
    environ = {"DATABASE_URL": postgres_url}
    run(*ADD, ACCOUNT_API_KEY=KEY, **environ)
    with psycopg.connect(postgres_url, autocommit=True) as listener:
        listener.execute("LISTEN paceline_work")
        assert run("account", "release", "1", **environ).returncode == 0
        heard = next(iter(listener.notifies(timeout=10, stop_after=1)), None)
    assert heard is not None


def test_on_postgresql_a_machine_without_the_secret_is_refused(
    run: Run, postgres_url: str, tmp_path: Path
) -> None:
    environ = {"DATABASE_URL": postgres_url}
    assert run(*ADD, ACCOUNT_API_KEY=KEY, **environ).returncode == 0
    elsewhere = {**environ, "PACELINE_DATA_DIR": str(tmp_path / "another-machine")}
    refused = run("worker", **elsewhere)
    assert refused.returncode == 3
    assert "PACELINE_SECRET" in refused.stderr
    secret = (tmp_path / "data" / KEY_FILE).read_text().strip()
    assert run("account", "test", "1", PACELINE_SECRET=secret, **elsewhere).returncode == 4
