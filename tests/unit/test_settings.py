from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from hypothesis import example, given
from hypothesis import strategies as st

from paceline.settings import (
    VARIABLES,
    Problem,
    SettingsError,
    check,
    describe,
    load,
    markdown_table,
    masked_database_url,
    sqlalchemy_url,
)

REFERENCE = Path(__file__).parents[2] / "docs" / "settings.md"
MITTO = {"MITTO_API_KEY": "k-1", "SMS_TRAFFIC_ACCOUNT_ID": "acc-1"}
PRISMA = (
    "connection_limit=5&pool_timeout=2&pgbouncer=true&statement_cache_size=0&socket_timeout=3"
    "&sslaccept=strict&sslidentity=x"
)
PASSWORDS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1)


def problem(environ: dict[str, str]) -> Problem:
    """The one problem that `environ` has."""
    (only,) = check(environ).problems
    return only


class TestDefaults:
    def test_an_empty_environment_is_enough(self):
        settings = load({})
        assert settings.warnings == ()
        assert settings.database_url == "sqlite:///data/paceline.db"
        assert (settings.host, settings.port, settings.data_dir) == (
            "127.0.0.1",
            8080,
            Path("data"),
        )
        assert (settings.queue_attempts, settings.queue_backoff_ms) == (5, 3000)
        assert (settings.sms_batch_size, settings.worker_concurrency) == (500, 5)
        assert (settings.provider_timeout_ms, settings.lease_slack_ms) == (30_000, 10_000)
        assert (settings.rate_limit_tenant_max, settings.rate_limit_tenant_window_ms) == (50, 1000)
        assert settings.rate_limit_traffic_account_max == 100
        assert settings.rate_limit_traffic_account_window_ms == 1000
        assert settings.rate_limit_margin_ms == 50
        assert (settings.rate_limit_strategy, settings.rate_limit_retry_enabled) == ("pace", True)
        assert (settings.unconfirmed_policy, settings.confirm_window_ms) == ("hold", 60_000)
        assert settings.mitto_api_base == "https://messaging.mittoapi.com"
        assert settings.mitto_api_key is None
        assert (settings.default_country, settings.max_parts) == (None, 10)
        assert (settings.log_level, settings.log_format) == ("info", "auto")

    def test_the_default_database_is_in_the_data_directory(self, tmp_path):
        directory = tmp_path / "100% mine?"
        url = load({"PACELINE_DATA_DIR": str(directory)}).database_url
        opened = sqlalchemy.make_url(sqlalchemy_url(url)).database
        assert opened == f"{directory}/paceline.db"

    @pytest.mark.parametrize("variable", VARIABLES.values(), ids=lambda each: each.name)
    def test_a_blank_variable_counts_as_not_set(self, variable):
        assert load({variable.name: " ", f"{variable.name}_FILE": ""}) == load({})

    def test_a_tilde_is_the_home_directory(self):
        assert load({"PACELINE_DATA_DIR": "~/sms"}).data_dir == Path.home() / "sms"


class TestValues:
    @pytest.mark.parametrize(
        ("name", "text", "field", "value"),
        [
            ("QUEUE_ATTEMPTS", " 7 ", "queue_attempts", 7),
            ("RATE_LIMIT_TENANT_WINDOW_MS", "86400000", "rate_limit_tenant_window_ms", 86_400_000),
            ("RATE_LIMIT_STRATEGY", "Backoff", "rate_limit_strategy", "backoff"),
            ("RATE_LIMIT_RETRY_ENABLED", "0", "rate_limit_retry_enabled", False),
            ("RATE_LIMIT_RETRY_ENABLED", "Yes", "rate_limit_retry_enabled", True),
            ("UNCONFIRMED_POLICY", "resend", "unconfirmed_policy", "resend"),
            ("PACELINE_DEFAULT_COUNTRY", "gr", "default_country", "GR"),
            (
                "PACELINE_PUBLIC_URL",
                "https://sms.example/x/",
                "public_url",
                "https://sms.example/x",
            ),
            ("PACELINE_HOST", "::1", "host", "::1"),
            ("PACELINE_PORT", "0", "port", 0),
            ("MITTO_SENDER", "My Shop", "mitto_sender", "My Shop"),
            ("MITTO_SENDER", "+306900000000", "mitto_sender", "+306900000000"),
            ("PACELINE_SECRET", "s" * 16, "secret", "s" * 16),
        ],
    )
    def test_a_good_value_is_taken(self, name, text, field, value):
        assert getattr(load({name: text}), field) == value

    @pytest.mark.parametrize(
        ("name", "text", "wrong"),
        [
            ("QUEUE_ATTEMPTS", "five", '"five" is not a whole number'),
            ("QUEUE_ATTEMPTS", "1_0", '"1_0" is not a whole number'),
            ("QUEUE_ATTEMPTS", "0", "0 is too small"),
            ("SMS_BATCH_SIZE", "5001", "5001 is too large"),
            ("RATE_LIMIT_TENANT_WINDOW_MS", "0", "0 is too small"),
            ("RATE_LIMIT_TRAFFIC_ACCOUNT_WINDOW_MS", "86400001", "86400001 is too large"),
            ("RATE_LIMIT_STRATEGY", "fast", '"fast" is unknown'),
            ("RATE_LIMIT_RETRY_ENABLED", "maybe", '"maybe" is neither true nor false'),
            ("PACELINE_DEFAULT_COUNTRY", "UK", '"UK" is not the code of a country'),
            ("PACELINE_PUBLIC_URL", "sms.example.com", "is not a web address"),
            ("PACELINE_PUBLIC_URL", "http://h:99999", "is not a web address"),
            ("PACELINE_PUBLIC_URL", "https://h/?a=1", "has a user, a query or a fragment"),
            ("MITTO_SENDER", "A name that is too long", "does not look like that"),
            ("PACELINE_DATA_DIR", "a\nb", "unprintable"),
            ("PACELINE_SECRET", "short", "is only 5 characters long"),
        ],
    )
    def test_a_bad_value_is_named_with_what_is_wrong_and_what_is_allowed(self, name, text, wrong):
        found = problem({name: text})
        assert found.name == name
        assert wrong in found.wrong
        (variable,) = (each for each in VARIABLES.values() if each.name == name)
        assert found.allowed == variable.kind.allowed
        assert str(found) == f"{name}: {found.wrong}; allowed: {found.allowed}"

    def test_all_problems_are_reported_at_once(self):
        with pytest.raises(SettingsError) as raised:
            load({"QUEUE_ATTEMPTS": "x", "PACELINE_PORT": "y", "PACELINE_PROT": "1"})
        assert [each.name for each in raised.value.problems] == [
            "PACELINE_PORT",
            "QUEUE_ATTEMPTS",
            "PACELINE_PROT",
        ]
        assert len(str(raised.value).splitlines()) == 3

    @given(st.sampled_from(list(VARIABLES.values())), st.text(min_size=1))
    def test_any_text_gives_a_value_or_a_problem(self, variable, text):
        for found in check({variable.name: text}).problems:
            assert variable.name in str(found) or "MITTO" in found.name


class TestFiles:
    def test_a_value_may_come_from_a_file(self, tmp_path):
        file = tmp_path / "key"
        file.write_text("k-1\n")
        environ = {"MITTO_API_KEY_FILE": str(file), "SMS_TRAFFIC_ACCOUNT_ID": "a"}
        assert load(environ).mitto_api_key == "k-1"

    def test_a_value_and_a_file_together_are_refused_by_both_names(self, tmp_path):
        file = tmp_path / "port"
        file.write_text("1")
        found = problem({"PACELINE_PORT": "1", "PACELINE_PORT_FILE": str(file)})
        assert found.name == "PACELINE_PORT and PACELINE_PORT_FILE"

    def test_a_bad_value_in_a_file_is_reported_under_the_name_that_was_set(self, tmp_path):
        file = tmp_path / "port"
        file.write_text("x")
        assert problem({"PACELINE_PORT_FILE": str(file)}).name == "PACELINE_PORT_FILE"

    @pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
    def test_a_file_without_text_is_refused(self, tmp_path, content):
        file = tmp_path / "port"
        file.write_bytes(content)
        assert problem({"PACELINE_PORT_FILE": str(file)}).name == "PACELINE_PORT_FILE"

    def test_a_secret_given_as_a_file_name_by_mistake_is_not_repeated(self):
        found = problem({"WEBHOOK_SECRET_FILE": "hunter2"})
        assert "cannot be read" in found.wrong
        assert "hunter2" not in str(found)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("PACELINE_PROT", "PACELINE_PORT"),
            ("paceline_port", "PACELINE_PORT"),
            ("PACELINE_QUEUE_ATTEMPTS", "QUEUE_ATTEMPTS"),
        ],
    )
    def test_a_misspelt_name_of_ours_stops_the_start(self, name, meant):
        assert problem({name: "1"}).wrong == f"is not a setting; did you mean {meant}?"

    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("RATE_LIMIT_TENANT_MX", "RATE_LIMIT_TENANT_MAX"),
            ("SMS_BATCHSIZE", "SMS_BATCH_SIZE"),
            ("MITTO_KEY", "MITTO_API_KEY"),
            ("DATABSE_URL", "DATABASE_URL"),
            ("WEBHOOK_SECRETS", "WEBHOOK_SECRET"),
        ],
    )
    def test_a_name_that_may_be_another_programs_is_only_a_warning(self, name, meant):
        settings = load({name: "1"})
        assert settings.warnings == (Problem(name, f"is not a setting; did you mean {meant}?"),)

    def test_a_name_like_none_of_ours_is_left_alone_unless_it_has_our_prefix(self):
        assert check({"PATH": "/bin", "HOME": "/", "REDIS_URL": "redis://x"}) == ((), ())
        assert check({"SMS_GATEWAY_COLOUR": "1"}).warnings == (
            Problem("SMS_GATEWAY_COLOUR", "is not a setting of Paceline"),
        )

    def test_both_spellings_of_the_traffic_account_are_understood(self):
        key = {"MITTO_API_KEY": "k-1"}
        assert load(key | {"SMS_TRAFFIC_ACCOUNT_ID": "a"}).mitto_traffic_account_id == "a"
        assert load(key | {"MITTO_TRAFFIC_ACCOUNT_ID": "a"}).mitto_traffic_account_id == "a"
        both = key | {"SMS_TRAFFIC_ACCOUNT_ID": "a", "MITTO_TRAFFIC_ACCOUNT_ID": "a"}
        assert load(both).mitto_traffic_account_id == "a"

    def test_spellings_that_contradict_each_other_are_refused(self):
        found = problem(MITTO | {"MITTO_TRAFFIC_ACCOUNT_ID": "another"})
        assert found.name == "SMS_TRAFFIC_ACCOUNT_ID and MITTO_TRAFFIC_ACCOUNT_ID"


class TestValuesTogether:
    def test_a_key_without_an_account_is_refused_by_what_is_missing(self):
        found = problem({"MITTO_API_KEY": "k-1"})
        assert found.name == "SMS_TRAFFIC_ACCOUNT_ID or MITTO_TRAFFIC_ACCOUNT_ID"
        assert "MITTO_API_KEY is" in found.wrong

    def test_an_account_without_a_key_is_refused_by_what_is_missing(self):
        found = problem({"MITTO_TRAFFIC_ACCOUNT_ID": "a"})
        assert found.name == "MITTO_API_KEY"
        assert "MITTO_TRAFFIC_ACCOUNT_ID is" in found.wrong

    def test_a_retry_flag_under_pace_is_pointed_out(self):
        off = {"RATE_LIMIT_RETRY_ENABLED": "false"}
        assert [each.name for each in load(off).warnings] == ["RATE_LIMIT_RETRY_ENABLED"]
        assert load(off | {"RATE_LIMIT_STRATEGY": "backoff"}).warnings == ()

    def test_a_sender_without_an_account_is_pointed_out(self):
        assert [each.name for each in load({"MITTO_SENDER": "Shop"}).warnings] == ["MITTO_SENDER"]
        assert load(MITTO | {"MITTO_SENDER": "Shop"}).warnings == ()

    def test_a_margin_wider_than_the_window_is_fine(self):
        assert check({"RATE_LIMIT_TENANT_WINDOW_MS": "1", "RATE_LIMIT_MARGIN_MS": "50"}) == ((), ())


class TestSecrets:
    @pytest.mark.parametrize(
        "name",
        ["MITTO_API_KEY", "WEBHOOK_SECRET", "PACELINE_SECRET", "PACELINE_SECRET_OLD"],
        ids=str,
    )
    @pytest.mark.parametrize("text", ["hunter2-hunter2-hunter2", "hunter2\nhunter2-hunter2"])
    def test_a_secret_is_never_shown(self, name, text):
        environ = MITTO | {name: text}
        seen = str(check(environ))
        if not check(environ).problems:
            settings = load(environ)
            seen += repr(settings) + str(describe(settings))
        assert "hunter2" not in seen

    @given(PASSWORDS, st.sampled_from(["", "?sslmode=require", "?schema=a&password=hunter2"]))
    def test_a_password_in_the_database_url_is_never_shown(self, raw, query):
        password = f"hunter2{raw}"
        environ = {"DATABASE_URL": f"postgres://me:{password}@db.example/sms{query}"}
        found = check(environ)
        seen = str(found) + masked_database_url(environ["DATABASE_URL"])
        if not found.problems:
            seen += repr(load(environ)) + str(describe(load(environ)))
        assert "hunter2" not in seen


class TestDatabaseUrl:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("sqlite:///x.db", "sqlite:///x.db"),
            ("sqlite:////var/lib/x.db", "sqlite:////var/lib/x.db"),
            ("postgres://h/db", "postgresql+psycopg://h/db"),
            ("postgresql://u:p@h:5433/db", "postgresql+psycopg://u:p@h:5433/db"),
            ("postgresql://u:p@[::1]:5433/db", "postgresql+psycopg://u:p@[::1]:5433/db"),
            ("postgresql://u:a%40b@h/db", "postgresql+psycopg://u:a%40b@h/db"),
            ("postgresql://u:a@b:c@h/db", "postgresql+psycopg://u:a%40b%3Ac@h/db"),
            ("postgres://u@h/db?schema=public", "postgresql+psycopg://u@h/db"),
            ("postgres://u@h/db?sslmode=require", "postgresql+psycopg://u@h/db?sslmode=require"),
            ("postgres://u@h/db?sslmode=no-verify", "postgresql+psycopg://u@h/db?sslmode=require"),
            ("postgres://u@h/db?ssl=true", "postgresql+psycopg://u@h/db?sslmode=require"),
            (
                f"postgres://u@h/db?{PRISMA}",
                "postgresql+psycopg://u@h/db",
            ),
            (
                "postgresql://postgres:@/postgres?host=/run/pg",
                "postgresql+psycopg://postgres:@/postgres?host=%2Frun%2Fpg",
            ),
            (
                "postgresql://u@a:1,b:2/db?target_session_attrs=read-write",
                "postgresql+psycopg://u@/db?host=a%3A1&host=b%3A2&target_session_attrs=read-write",
            ),
        ],
    )
    def test_it_becomes_what_sqlalchemy_needs(self, url, expected):
        assert sqlalchemy_url(url) == expected

    @pytest.mark.parametrize(
        "url",
        [
            "mysql://h/db",
            "postgresql:/h/db",
            "postgresql://h:99999/db",
            "postgresql://h:port/db",
            "postgresql://[::1/db",
            "postgresql://u@a:1,[::1]:5433/db",
            "postgresql://u:a/b@h/db",
            "postgresql://u:1/b@h/db",
            "postgresql://u:a?b@h/db",
            "postgresql://u:a#b@h/db",
            "postgresql://u@h/db?sslmod=require",
            "sqlite://",
            "sqlite:///",
            "sqlite:///:memory:",
            "sqlite:///directory/",
            "sqlite:///x.db?mode=ro",
            "sqlite:x.db",
            "x",
        ],
    )
    def test_what_cannot_be_a_database_is_refused(self, url):
        assert problem({"DATABASE_URL": url}).name == "DATABASE_URL"

    def test_a_misspelt_parameter_is_not_dropped_in_silence(self):
        found = problem({"DATABASE_URL": "postgres://h/db?sslmod=require"})
        assert 'did you mean "sslmode"?' in found.wrong

    @pytest.mark.parametrize(
        ("url", "masked"),
        [
            ("sqlite:///x.db", "sqlite:///x.db"),
            ("postgres://u:p@h:1,g:2/db?a=1", "postgresql://u:********@h:1,g:2/db?a=1"),
            ("postgres://u@h/db?password=p", "postgresql://u@h/db?password=********"),
            ("postgres://u:p/q@h/db", "********"),
        ],
    )
    def test_the_masked_form_keeps_all_but_passwords(self, url, masked):
        assert masked_database_url(url) == masked

    @given(PASSWORDS.map(lambda text: text.replace("%", "")))
    @example("@?")
    @example("@/")
    @example("@?a=b")
    def test_any_password_that_is_accepted_arrives_whole(self, password):
        url = f"postgres://me:{password}@db.example/sms"
        if not check({"DATABASE_URL": url}).problems:
            assert sqlalchemy.make_url(sqlalchemy_url(url)).password == password

    @pytest.mark.parametrize("schema", ["tenants", "My Schema", 'a"b\\c'])
    def test_postgresql_finds_tables_in_the_schema(self, postgres_url, schema):
        with psycopg.connect(postgres_url) as connection:
            quoted = psycopg.sql.Identifier(schema)
            connection.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(quoted))
            connection.execute(psycopg.sql.SQL("CREATE TABLE {}.found (x int)").format(quoted))
        url = sqlalchemy_url(f"{postgres_url}&schema={schema}&connection_limit=1")
        engine = sqlalchemy.create_engine(url)
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.text("SELECT count(*) FROM found")).scalar() == 0
        engine.dispose()


class TestReference:
    def test_the_committed_reference_is_up_to_date(self):
        assert REFERENCE.read_text(encoding="utf-8") == markdown_table(), (
            "run: python -m paceline.settings >docs/settings.md"
        )

    def test_the_module_prints_it(self):
        command = [sys.executable, "-m", "paceline.settings"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert printed == markdown_table()

    def test_every_variable_is_in_it_with_a_row_of_four_cells(self):
        rows = [row for row in markdown_table().splitlines() if row.startswith("| `")]
        assert len(rows) == len(VARIABLES)
        assert all(row.count("|") == 5 for row in rows)

    def test_what_is_in_force_is_told_from_the_default(self):
        shown = {each.name: each for each in describe(load(MITTO | {"QUEUE_ATTEMPTS": "3"}))}
        assert shown["QUEUE_ATTEMPTS"][1:3] == ("3", False)
        assert shown["QUEUE_BACKOFF_MS"][1:3] == ("3000", True)
        assert shown["RATE_LIMIT_RETRY_ENABLED"][1:3] == ("true", True)
        assert shown["DATABASE_URL"][1:3] == ("sqlite:///data/paceline.db", True)
        assert shown["MITTO_API_KEY"][1:3] == ("********", False)
        assert shown["WEBHOOK_SECRET"][1:3] == ("", True)

    @pytest.mark.parametrize(
        "variable", [each for each in VARIABLES.values() if each.default], ids=lambda v: v.name
    )
    def test_a_default_may_be_written_out(self, variable):
        text = variable.default.replace("{PACELINE_DATA_DIR}", "data")
        assert load({variable.name: text}) == load({})
