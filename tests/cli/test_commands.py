"""The command line as scripts use it: exit status, JSON on stdout, one clear line on stderr."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.command_line import Run, data_of


def test_a_first_key_makes_the_database_and_the_tenant(run: Run) -> None:
    made = data_of(run("key", "create", "--tenant", "acme", "--json"))
    assert made["tenant"] == "acme"
    assert made["key"].startswith("pl_")
    (listed,) = data_of(run("key", "list", "--json"))
    assert listed["hint"] == made["key"][:11]
    assert made["key"] not in run("key", "list").stdout
    assert run("key", "revoke", str(listed["id"])).returncode == 0
    assert run("key", "revoke", str(listed["id"])).returncode == 5


def test_key_create_works_on_postgresql_too(run: Run, postgres_url: str) -> None:
    made = data_of(run("key", "create", "--tenant", "acme", "--json", DATABASE_URL=postgres_url))
    assert made["tenant"] == "acme"
    assert run("audit", DATABASE_URL=postgres_url).returncode == 0


def test_contacts_go_in_and_come_out_and_bad_rows_are_partial_success(
    run: Run, tmp_path: Path
) -> None:
    run("key", "create", "--tenant", "acme")
    file = tmp_path / "people.csv"
    file.write_text("phone,first_name,note\n+306912345678,Ana,=1+1\n12,Bo,x\n")
    done = run("contact", "import", str(file), "--json")
    assert done.returncode == 6
    report = json.loads(done.stdout)
    assert (report["imported"], report["invalid"]) == (1, 1)
    assert report["errors"][0]["row"] == 3
    assert report["errors"][0]["column"] == "phone"
    exported = run("contact", "export")
    assert exported.stdout == "phone,first_name,last_name,note\n+306912345678,Ana,,'=1+1\n"
    strict = run("contact", "import", str(file), "--strict")
    assert strict.returncode == 1
    assert "row 3" in strict.stderr
    missing = run("contact", "import", "nowhere.csv")
    assert missing.returncode == 1
    assert "nowhere.csv" in missing.stderr


def test_a_campaign_is_made_started_paused_and_cancelled(run: Run, tmp_path: Path) -> None:
    provider = {
        "MITTO_API_KEY": "k",
        "SMS_TRAFFIC_ACCOUNT_ID": "t",
        "MITTO_SENDER": "Shop",
        "MITTO_API_BASE": "http://127.0.0.1:9",
    }
    run("key", "create", "--tenant", "acme", **provider)
    create = ("campaign", "create", "--name", "n", "--json")
    unknown = run(*create, "--text", "Hi {{nickname}}", **provider)
    assert unknown.returncode == 1
    assert "nickname" in unknown.stderr
    made = data_of(run(*create, "--text", "Hi {{first_name}}", **provider))
    assert made["status"] == "draft"
    number = str(made["id"])
    empty = run("campaign", "start", number, **provider)
    assert empty.returncode == 1
    assert "nobody" in empty.stderr
    file = tmp_path / "people.csv"
    file.write_text("phone\n+306912345678\n")
    run("contact", "import", str(file), **provider)
    started = data_of(run("campaign", "start", number, "--json", **provider))
    assert (started["created"], started["batches"]) == (1, 1)
    again = run("campaign", "resume", number, **provider)
    assert again.returncode == 5
    assert "sending" in again.stderr
    assert data_of(run("campaign", "pause", number, "--json", **provider))["status"] == "paused"
    assert data_of(run("campaign", "cancel", number, "--json", **provider))["failed"] == 1
    (message,) = data_of(run("message", "list", "--campaign", number, "--json", **provider))
    assert (message["to"], message["reason"]) == ("+306912345678", "cancelled")
    assert run("campaign", "show", "999", **provider).returncode == 5
    (listed,) = data_of(run("campaign", "list", "--json", **provider))
    assert listed["id"] == made["id"]


def test_several_tenants_have_to_be_told_apart(run: Run) -> None:
    run("key", "create", "--tenant", "acme")
    run("key", "create", "--tenant", "bravo")
    done = run("campaign", "list")
    assert done.returncode == 1
    assert "acme, bravo" in done.stderr
    assert run("campaign", "list", "--tenant", "bravo").returncode == 0
    assert run("campaign", "list", "--tenant", "nobody").returncode == 5


def test_config_check_names_what_is_wrong_and_what_is_misspelt(run: Run) -> None:
    done = run("config", "check", QUEUE_ATTEMPTS="99", RATE_LIMIT_TENNANT_MAX="4")
    assert done.returncode == 3
    assert "QUEUE_ATTEMPTS" in done.stderr
    assert "from 1 to 20" in done.stderr
    assert "RATE_LIMIT_TENANT_MAX" in done.stderr
    misspelt = run("serve", PACELINE_PROT="1")
    assert misspelt.returncode == 3
    assert "PACELINE_PORT" in misspelt.stderr
    assert run("config", "check").returncode == 0


def test_an_unreachable_database_is_exit_status_4(run: Run) -> None:
    done = run("audit", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert done.returncode == 4
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("revision", "hint"), [("0001", "paceline db upgrade"), ("9999", "newer")])
def test_an_older_or_newer_schema_is_refused_with_what_to_do(
    run: Run, tmp_path: Path, revision: str, hint: str
) -> None:
    run("key", "create", "--tenant", "acme")
    with sqlite3.connect(tmp_path / "data" / "paceline.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()
    for verb in (("serve",), ("db", "check"), ("audit",)):
        done = run(*verb)
        assert done.returncode == 3
        assert hint in done.stderr


def test_usage_faults_are_exit_status_2(run: Run) -> None:
    assert run("campaign", "unconfirmed", "1").returncode == 2
    assert run("nonsense").returncode == 2
    assert run("simulator", "--controls", '{"nope": 1}').returncode == 2


def test_help_names_every_command_and_each_has_help_of_its_own(run: Run) -> None:
    whole = run("--help")
    assert whole.returncode == 0
    for name in ("demo", "serve", "campaign", "contact", "account", "db", "audit", "doctor"):
        assert name in whole.stdout
        assert run(name, "--help").returncode == 0


def test_audit_finds_a_difference_and_ends_with_1(run: Run, tmp_path: Path) -> None:
    run("key", "create", "--tenant", "acme")
    with sqlite3.connect(tmp_path / "data" / "paceline.db") as connection:
        connection.execute(
            "INSERT INTO messages (tenant_id, batch_id, phone, status, created_at)"
            " VALUES (1, 1, '+306912345678', 'failed', 0)"
        )
    connection.close()
    done = run("audit", "--json")
    assert done.returncode == 1
    found = {each["what"] for each in json.loads(done.stdout)["differences"]}
    assert "failed messages without a reason" in found


def test_doctor_says_what_is_missing_and_how_to_mend_it(run: Run) -> None:
    done = run("doctor", "--json")
    assert done.returncode == 1
    bad = {each["code"]: each["mend"] for each in json.loads(done.stdout)}
    assert "paceline key create" in bad["no_api_key"]
    assert "MITTO_API_KEY" in bad["no_account"]


def test_parts_counts_and_names_what_makes_it_unicode(run: Run) -> None:
    counted = data_of(run("parts", "Καλημέρα", "--json"))
    assert counted["encoding"] == "ucs-2"
    assert counted["unicode_characters"]


def test_demo_prints_one_document_and_nothing_else(run: Run) -> None:
    document = data_of(run("demo", "--fast", "--exit", "--json", PACELINE_PORT="0"))
    assert set(document) == {"campaign", "metrics", "provider", "messages_per_s"}
    assert document["campaign"]["status"] == "completed"
    assert document["metrics"]["processed"] == 10_000
    assert document["provider"]["accepted"] == document["metrics"]["sent"]
    assert document["provider"]["duplicates"] == 0
    second = data_of(run("demo", "--fast", "--exit", "--json", PACELINE_PORT="0"))
    assert second["campaign"]["id"] == document["campaign"]["id"] + 1
    assert second["provider"]["accepted"] == second["metrics"]["sent"]
