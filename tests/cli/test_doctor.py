"""Each fault that the doctor knows is made for real; it has to name it and say what mends it."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from paceline.cli.diagnosis import Finding, Level, database, diagnose, machine
from paceline.cli.failures import ExitCode
from paceline.cli.session import Session
from paceline.clock import VirtualClock
from paceline.domain.outcome import NotSent, Refused
from paceline.settings import load, sqlalchemy_url
from paceline.storage import accounts, credentials, inbox, migrate, row_security, tenants
from paceline.storage.database import Database
from paceline.storage.inbox import InboxRow
from paceline.storage.sealing import KEY_FILE, Sealer
from tests import command_line
from tests.crash import Installation, provider
from tests.storage.world import World

REACHABLE = {
    "PACELINE_PUBLIC_URL": "https://sms.example.com",
    "WEBHOOK_SECRET": "s",
    "PACELINE_PORT": "0",
    "PACELINE_SECRET": "the doctor's own secret",
}
"""With these there is nothing to say about receipts, the port and the secret."""


@pytest.fixture
def environ(database_url: str) -> dict[str, str]:
    return {"DATABASE_URL": database_url, **REACHABLE}


@pytest.fixture
def long_ago(database_url: str) -> Iterator[World]:
    """The same database, to whose rows things happened a year ago."""
    clock = VirtualClock()
    with closing(Database(sqlalchemy_url(database_url), clock=clock)) as made:
        migrate.upgrade(made)
        yield World(made, clock)


def wrong(environ: dict[str, str], *, connect: bool = False) -> dict[str, Finding]:
    """What the doctor has to say, by code."""
    return {f.code: f for f in diagnose(environ, connect=connect) if f.level is not Level.OK}


def change(here: Database, statement: str) -> None:
    def change_it(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    here.write_now(change_it)


def opened(url: str) -> closing[Database]:
    return closing(Database(sqlalchemy_url(url)))


# --- the machine


def test_a_value_out_of_range_and_a_misspelt_name_are_wrong_settings() -> None:
    findings = diagnose({"QUEUE_ATTEMPTS": "99", "PACELINE_PROT": "1"}, connect=False)
    assert {(f.code, f.level, f.exit_code) for f in findings} == {
        ("setting_wrong", Level.FAULT, ExitCode.CONFIGURATION)
    }
    told = " ".join(f.found + f.mend for f in findings)
    assert "from 1 to 20" in told
    assert "did you mean PACELINE_PORT" in told
    assert "unset PACELINE_PROT" in told


def test_a_variable_that_nobody_reads_is_a_warning(environ: dict[str, str]) -> None:
    found = wrong({**environ, "RATE_LIMIT_TENNANT_MAX": "4"})["setting_odd"]
    assert found.level is Level.WARNING
    assert "RATE_LIMIT_TENANT_MAX" in found.found


def test_a_secret_that_everybody_can_read_is_exposed(
    environ: dict[str, str], tmp_path: Path
) -> None:
    secret = tmp_path / "webhook-secret"
    secret.write_text("s")
    secret.chmod(0o644)
    given = {**environ, "WEBHOOK_SECRET": "", "WEBHOOK_SECRET_FILE": str(secret)}
    assert wrong(given)["secret_exposed"].mend == f"chmod 600 {secret}"
    secret.chmod(0o600)
    assert "secret_exposed" not in wrong(given)


def test_a_key_file_that_everybody_can_read_is_exposed(tmp_path: Path) -> None:
    given = {**REACHABLE, "PACELINE_SECRET": "", "PACELINE_DATA_DIR": str(tmp_path)}
    assert "secret_exposed" not in wrong(given)
    file = tmp_path / KEY_FILE
    file.chmod(0o644)
    assert wrong(given)["secret_exposed"].mend == f"chmod 600 {file}"


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file is in the way")
    found = wrong({**REACHABLE, "PACELINE_DATA_DIR": str(tmp_path / "data")})
    assert set(found) == {"folder_not_writable"}
    assert "PACELINE_DATA_DIR" in found["folder_not_writable"].mend


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_LEAST_FREE_BYTES", 2**62)
    found = wrong({**REACHABLE, "PACELINE_DATA_DIR": str(tmp_path)})["disk_full"]
    assert "MB free" in found.found
    assert "-wal" in found.mend


def test_sqlite_on_a_network_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/export {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(machine, "_MOUNTS", mounts)
    found = wrong({**REACHABLE, "PACELINE_DATA_DIR": str(tmp_path / "data")})
    assert "nfs4" in found["network_file_system"].found
    assert "PostgreSQL" in found["network_file_system"].mend


def test_a_port_that_another_program_has(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_ANSWER_WITHIN_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = str(other.getsockname()[1])
        found = wrong({**environ, "PACELINE_PORT": number})["port_taken"]
    assert number in found.found
    assert "PACELINE_PORT" in found.mend


def test_an_address_that_is_not_of_this_machine(environ: dict[str, str]) -> None:
    found = wrong({**environ, "PACELINE_HOST": "192.0.2.1"})["address_unusable"]
    assert "PACELINE_HOST" in found.mend


def test_a_port_that_paceline_itself_has_is_fine_while_it_is_ready(tmp_path: Path) -> None:
    file = tmp_path / "paceline.db"
    with provider({}) as provider_url:
        installation = Installation(tmp_path, f"sqlite:///{file}", provider_url)
        installation.serve()
        try:
            number = int(installation.environ["PACELINE_PORT"])
            settings = load({"PACELINE_PORT": str(number)})
            (served,) = machine.port(settings)
            with closing(sqlite3.connect(file)) as connection, connection:
                connection.execute("UPDATE alembic_version SET version_num = '9999'")
            (unwell,) = machine.port(settings)
        finally:
            installation.end()
    assert (served.level, served.found) == (Level.OK, f"Paceline serves at 127.0.0.1:{number}")
    assert unwell.code == "process_not_ready"
    assert "schema" in unwell.found


# --- the database


def test_a_database_that_does_not_answer() -> None:
    found = wrong({**REACHABLE, "DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/none"})
    assert set(found) == {"database_unreachable"}
    assert found["database_unreachable"].exit_code == ExitCode.UNREACHABLE
    assert "DATABASE_URL" in found["database_unreachable"].mend
    assert "secret" not in str(found)


@contextmanager
def asked_for_passwords(url: str, role: str) -> Iterator[None]:
    """Let the server ask this role for its password."""
    with psycopg.connect(url, autocommit=True) as admin:
        row = admin.execute("SHOW hba_file").fetchone()
        assert row is not None
        rules = Path(row[0])
        before = rules.read_text()
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'right'")
        rules.write_text(f"local all {role} scram-sha-256\n{before}")
        admin.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            rules.write_text(before)
            admin.execute("SELECT pg_reload_conf()")
            admin.execute(f"DROP ROLE {role}")


def test_a_wrong_password_and_a_database_that_is_not_there(postgres_url: str) -> None:
    absent = postgres_url.replace("/test_", "/absent_")
    assert set(wrong({**REACHABLE, "DATABASE_URL": absent})) == {"database_refuses"}
    with asked_for_passwords(postgres_url, "clerk"):
        stranger = postgres_url.replace("postgres:@", "clerk:wrong-secret@")
        found = wrong({**REACHABLE, "DATABASE_URL": stranger})
    assert set(found) == {"database_refuses"}
    assert "password" in found["database_refuses"].mend
    assert "wrong-secret" not in str(found)


@pytest.mark.parametrize(
    ("statement", "code", "mend"),
    [
        ("UPDATE alembic_version SET version_num = '0001'", "schema_older", "paceline db upgrade"),
        ("UPDATE alembic_version SET version_num = '9999'", "schema_newer", "version"),
    ],
)
def test_a_schema_of_another_version(
    environ: dict[str, str], long_ago: World, statement: str, code: str, mend: str
) -> None:
    change(long_ago.database, statement)
    found = wrong(environ)
    assert set(found) == {code}
    assert mend in found[code].mend
    assert found[code].exit_code == ExitCode.CONFIGURATION


def test_a_database_that_belongs_to_other_software(empty_database_url: str) -> None:
    with opened(empty_database_url) as theirs:
        change(theirs, "CREATE TABLE songs (id INTEGER)")
    found = wrong({"DATABASE_URL": empty_database_url, **REACHABLE})
    assert set(found) == {"schema_foreign"}
    assert "DATABASE_URL" in found["schema_foreign"].mend


def test_clocks_that_disagree(postgres_url: str) -> None:
    with opened(postgres_url) as here:
        session = Session(load({"DATABASE_URL": postgres_url}), here)
        (found,) = database.clock(session, VirtualClock())
        (agree,) = database.clock(session)
    assert found.code == "clock_skew"
    assert "ahead" in found.found
    assert "NTP" in found.mend
    assert agree.level is Level.OK


def test_tenants_that_postgresql_does_not_keep_apart(postgres_url: str) -> None:
    environ = {**REACHABLE, "DATABASE_URL": postgres_url}
    assert "row_security_off" not in wrong(environ)
    with closing(Database(sqlalchemy_url(postgres_url))) as opened:
        opened.write_now(row_security.remove)
    found = wrong(environ)["row_security_off"]
    assert "policies" in found.found
    assert "paceline db upgrade" in found.mend


def test_too_few_connections(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 5")
        found = wrong({**REACHABLE, "DATABASE_URL": postgres_url})["connections_few"]
    assert "takes up to 17" in found.found
    assert "max_connections" in found.mend


SLOW_COMMITS = """
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_sleep(0.01); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON import_rows DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION dawdle();
"""


def test_a_margin_smaller_than_a_commit(postgres_url: str) -> None:
    with opened(postgres_url) as here:
        migrate.upgrade(here)
        change(here, SLOW_COMMITS)
    environ = {**REACHABLE, "DATABASE_URL": postgres_url, "RATE_LIMIT_MARGIN_MS": "10"}
    found = wrong(environ)["margin_too_small"]
    assert "void after 5 ms" in found.found
    assert "RATE_LIMIT_MARGIN_MS=" in found.mend


# --- the secret


def test_a_secret_that_credentials_were_not_sealed_with(environ: dict[str, str]) -> None:
    assert "secret_wrong" not in wrong(environ)
    found = wrong({**environ, "PACELINE_SECRET": "a secret of somebody else"})
    assert set(found) == {"secret_wrong"}
    assert found["secret_wrong"].exit_code == ExitCode.CONFIGURATION
    assert "PACELINE_SECRET" in found["secret_wrong"].found
    assert "every machine" in found["secret_wrong"].mend
    assert "somebody else" not in str(found)


def test_a_secret_that_is_being_changed(environ: dict[str, str]) -> None:
    wrong(environ)
    old = environ["PACELINE_SECRET"]
    changing = {**environ, "PACELINE_SECRET": "the secret after it", "PACELINE_SECRET_OLD": old}
    assert "paceline account reseal" in wrong(changing)["secret_not_resealed"].mend
    with opened(environ["DATABASE_URL"]) as here:
        sealer = Sealer(changing["PACELINE_SECRET"], old)
        here.write_now(credentials.reseal, sealer, lost=False, actor="test")
    assert "PACELINE_SECRET_OLD" in wrong(changing)["secret_old_left"].mend
    del changing["PACELINE_SECRET_OLD"]
    assert set(wrong(changing)) == {"no_api_key", "no_account"}


def test_a_key_file_on_one_of_several_machines(postgres_url: str, tmp_path: Path) -> None:
    given = {**REACHABLE, "DATABASE_URL": postgres_url, "PACELINE_DATA_DIR": str(tmp_path)}
    found = wrong({**given, "PACELINE_SECRET": ""})["secret_not_shared"]
    assert found.level is Level.WARNING
    assert str(tmp_path / KEY_FILE) in found.found
    secret = (tmp_path / KEY_FILE).read_text().strip()
    assert not {code for code in wrong({**given, "PACELINE_SECRET": secret}) if "secret" in code}


# --- accounts


def test_nobody_has_a_key_and_there_is_no_account(environ: dict[str, str]) -> None:
    found = wrong(environ)
    assert set(found) == {"no_api_key", "no_account"}
    assert found["no_api_key"].mend == "paceline key create --tenant NAME"
    assert "MITTO_API_KEY" in found["no_account"].mend


def mitto(base_url: str, **others: str) -> dict[str, str]:
    return {
        "MITTO_API_BASE": base_url,
        "MITTO_API_KEY": "k",
        "SMS_TRAFFIC_ACCOUNT_ID": "t",
        "MITTO_SENDER": "Shop",
        **others,
    }


def test_a_provider_that_cannot_be_reached(environ: dict[str, str]) -> None:
    found = wrong({**environ, **mitto("http://127.0.0.1:9")}, connect=True)["provider_unreachable"]
    assert found.exit_code == ExitCode.UNREACHABLE
    assert "http://127.0.0.1:9" in found.found
    assert "paceline account test 1" in found.mend


def test_an_account_without_a_sender(environ: dict[str, str]) -> None:
    given = {**environ, **mitto("http://127.0.0.1:9", MITTO_SENDER="")}
    assert "MITTO_SENDER" in wrong(given)["sender_wrong"].mend


def test_an_account_of_an_unknown_provider(environ: dict[str, str], long_ago: World) -> None:
    assert long_ago.account_row().provider == "simulated"
    found = wrong(environ)["account_unusable"]
    assert "must be one of" in found.found


def test_an_account_that_the_provider_refused(environ: dict[str, str], long_ago: World) -> None:
    long_ago.sending()
    long_ago.record(long_ago.call(), Refused("401: unknown key", 401))
    found = wrong(environ)["account_held"]
    assert "unknown key" in found.found
    assert found.mend.endswith("paceline account release 1")


def test_an_account_whose_calls_fail(environ: dict[str, str], long_ago: World) -> None:
    long_ago.write(accounts.change, long_ago.main, {"provider": "mitto"})
    long_ago.sending()
    long_ago.record(long_ago.call(), NotSent("connection refused"))
    found = wrong(environ)["account_failing"]
    assert found.level is Level.WARNING
    assert "connection refused" in found.found


@pytest.mark.parametrize(
    ("given", "code", "variable"),
    [
        ({"PACELINE_PUBLIC_URL": ""}, "public_url_missing", "PACELINE_PUBLIC_URL"),
        ({"PACELINE_PUBLIC_URL": "http://localhost:8080"}, "public_url_local", "webhook_url"),
        ({"WEBHOOK_SECRET": ""}, "webhook_secret_missing", "WEBHOOK_SECRET"),
    ],
)
def test_receipts_that_cannot_come_or_be_trusted(
    environ: dict[str, str], given: dict[str, str], code: str, variable: str
) -> None:
    found = wrong({**environ, **given})[code]
    assert found.level is Level.WARNING
    assert variable in found.mend


# --- the work


def test_work_that_nobody_takes_up(environ: dict[str, str], long_ago: World) -> None:
    assert "no_worker" not in wrong(environ)
    long_ago.sending()
    found = wrong(environ)["no_worker"]
    assert "paceline worker" in found.mend
    change(long_ago.database, "UPDATE campaigns SET status = 'paused'")
    assert "no_worker" not in wrong(environ), "what is paused waits for no worker"


def test_a_scheduled_campaign_whose_time_has_passed(
    environ: dict[str, str], long_ago: World
) -> None:
    long_ago.draft(scheduled_at=long_ago.now + 1000)
    assert "no_worker" in wrong(environ)


def test_batches_of_a_worker_that_fell_silent(environ: dict[str, str], long_ago: World) -> None:
    long_ago.sending()
    long_ago.call()
    assert "paceline worker" in wrong(environ)["lease_expired"].mend


def test_messages_that_wait_for_a_decision(environ: dict[str, str], long_ago: World) -> None:
    campaign = long_ago.sending()
    long_ago.expired_call()
    long_ago.single()
    long_ago.expired_call()
    told = [f for f in diagnose(environ, connect=False) if f.code == "decision_needed"]
    assert [f.level for f in told] == [Level.WARNING, Level.WARNING]
    assert f"paceline campaign unconfirmed {campaign} --tenant acme" in told[0].mend
    assert "single messages" in told[1].found


def test_receipts_that_nobody_counts(environ: dict[str, str], long_ago: World) -> None:
    row = InboxRow("p1", "", "delivered", "", None)
    long_ago.write(inbox.put, long_ago.main, [row])
    assert "paceline worker" in wrong(environ)["receipts_late"].mend


def test_counters_that_do_not_agree(environ: dict[str, str], long_ago: World) -> None:
    change(
        long_ago.database,
        "INSERT INTO messages (tenant_id, batch_id, phone, status, created_at)"
        " VALUES (1, 1, '+306912345678', 'failed', 0)",
    )
    assert "paceline audit" in wrong(environ)["counters_differ"].mend


# --- what it prints and ends with


@pytest.fixture
def doctor(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def doctor(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        home = {"PACELINE_DATA_DIR": str(tmp_path)}
        return command_line.paceline(("doctor", *words), home | environ)

    return doctor


def test_an_installation_in_order_ends_with_0_and_nothing_to_mend(
    doctor: Any, database_url: str
) -> None:
    with opened(database_url) as here:
        migrate.upgrade(here)
        tenant = here.write_now(tenants.keep, "acme")
        here.write_now(tenants.create_key, tenant.id, name="test")
    with provider({}) as provider_url:
        given = {"DATABASE_URL": database_url, **REACHABLE, **mitto(provider_url)}
        done = doctor("--json", **given, RATE_LIMIT_MARGIN_MS="1000")
    documents = json.loads(done.stdout)
    assert done.returncode == 0, documents
    assert {each["level"] for each in documents} == {"ok"}
    assert {each["code"] for each in documents} == {None}


def test_people_read_the_fault_its_remedy_and_its_code_and_scripts_the_exit_status(
    doctor: Any,
) -> None:
    done = doctor("--offline", **REACHABLE)
    assert done.returncode == ExitCode.FAILED
    assert "FAULT   API keys" in done.stdout
    assert "paceline key create --tenant NAME" in done.stdout
    assert "[no_api_key]" in done.stdout
    assert doctor(QUEUE_ATTEMPTS="99").returncode == ExitCode.CONFIGURATION
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    assert doctor(DATABASE_URL=nowhere).returncode == ExitCode.UNREACHABLE
