"""The schema on both databases: there and back, and the counters' change of meaning."""

from __future__ import annotations

import importlib

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import IntegrityError

from paceline.settings import sqlalchemy_url
from paceline.storage import migrate
from paceline.storage.database import Database
from paceline.storage.migrate import SchemaError, SchemaState
from paceline.storage.schema import metadata

convert = importlib.import_module("paceline.storage.migrations.versions.0002_processed").convert

OLD_ROWS = [
    text("INSERT INTO tenants (id, name, created_at) VALUES (1, 'acme', 1)"),
    text(
        "INSERT INTO traffic_accounts (id, name, provider, base_url, external_id, api_key, sender,"
        " webhook_token, created_at) VALUES (1, 'main', 'mitto', '', '', '', '', 'token', 1)"
    ),
    text(
        "INSERT INTO campaigns (id, tenant_id, account_id, name, text, sender, status, total,"
        " queued, sent, failed, created_at, updated_at)"
        " VALUES (7, 1, 1, 'old', 'Hi', 'ACME', 'completed', 5100, 0, 5100, 100, 1, 1)"
    ),
]


@pytest.fixture
def empty(empty_database_url):
    database = Database(sqlalchemy_url(empty_database_url))
    yield database
    database.close()


def execute(database, *statements):
    database.write_now(lambda c: [c.execute(statement) for statement in statements])


def tables(database):
    return set(database.read_now(lambda c: inspect(c).get_table_names()))


def counters(database, *names):
    query = text(f"SELECT {', '.join(names)} FROM campaigns")  # noqa: S608 - names of our own
    return tuple(database.read_now(lambda c: c.execute(query).one()))


def test_the_migrations_make_the_schema_that_the_code_knows(empty):
    assert empty.read_now(migrate.state) is SchemaState.EMPTY
    migrate.upgrade(empty)
    assert empty.read_now(migrate.state) is SchemaState.CURRENT
    assert tables(empty) == {*metadata.tables, "alembic_version"}
    # Alembic reads SQLite's default '' as another one than the '' it has itself written.
    options = {"compare_type": True, "compare_server_default": not empty.is_sqlite}
    assert (
        empty.read_now(
            lambda c: compare_metadata(MigrationContext.configure(c, opts=options), metadata)
        )
        == []
    )


def test_a_second_upgrade_changes_nothing_not_even_the_installation(empty):
    migrate.upgrade(empty)
    row = text("SELECT prefix FROM installation")
    prefix = empty.read_now(lambda c: c.execute(row).scalar_one())
    migrate.upgrade(empty)
    assert empty.read_now(lambda c: c.execute(row).scalars().all()) == [prefix]
    assert len(prefix) == 8


def test_the_migrations_go_down_again_and_leave_nothing(empty):
    migrate.upgrade(empty)
    migrate.downgrade(empty)
    assert tables(empty) == {"alembic_version"}
    assert empty.read_now(migrate.state) is SchemaState.EMPTY
    migrate.upgrade(empty)
    assert empty.read_now(migrate.state) is SchemaState.CURRENT


def test_sent_comes_to_mean_sent_and_goes_back(empty):
    migrate.upgrade(empty, "0001")
    execute(empty, *OLD_ROWS)
    migrate.upgrade(empty)
    new = ("sent", "failed", "processed")
    assert counters(empty, *new) == (5000, 100, 5100)
    empty.write_now(convert)
    assert counters(empty, *new) == (5000, 100, 5100)
    migrate.downgrade(empty, "0001")
    assert counters(empty, "sent", "failed") == (5100, 100)
    migrate.upgrade(empty)
    assert counters(empty, *new) == (5000, 100, 5100)


def test_the_conversion_touches_only_what_is_of_the_old_meaning(empty):
    migrate.upgrade(empty, "0001")
    execute(empty, *OLD_ROWS, text("ALTER TABLE campaigns ADD COLUMN processed INTEGER"))
    for _ in range(2):
        empty.write_now(convert)
        assert counters(empty, "sent", "failed", "processed") == (5000, 100, 5100)


def test_an_account_keeps_its_turn_there_and_back(empty):
    turn_of = {
        "0003": text("SELECT turn FROM traffic_accounts"),
        "0004": text("SELECT turn FROM account_turns"),
    }

    def turn(revision):
        return empty.read_now(lambda c: c.execute(turn_of[revision]).scalar_one())

    migrate.upgrade(empty, "0003")
    execute(empty, *OLD_ROWS[:2], text("UPDATE traffic_accounts SET turn = 7"))
    migrate.upgrade(empty, "0004")
    assert turn("0004") == 7
    migrate.downgrade(empty, "0003")
    assert turn("0003") == 7


def test_keys_have_the_scopes_of_what_they_could_do_there_and_back(empty):
    key = text(
        "INSERT INTO api_keys (id, tenant_id, name, hint, digest, admin, created_at)"
        " VALUES (:id, 1, 'k', 'h', :digest, :admin, 1)"
    )
    migrate.upgrade(empty, "0005")
    execute(
        empty,
        OLD_ROWS[0],
        key.bindparams(id=1, digest="a", admin=False),
        key.bindparams(id=2, digest="b", admin=True),
    )
    migrate.upgrade(empty, "0006")
    scopes = empty.read_now(
        lambda c: c.execute(select(metadata.tables["api_keys"].c.scopes)).scalars().all()
    )
    assert sorted(scopes, key=len) == [
        ["read", "send", "manage"],
        ["read", "send", "manage", "admin"],
    ]
    less = text("UPDATE api_keys SET scopes = '[\"send\"]' WHERE id = 1")
    execute(empty, less)
    migrate.downgrade(empty, "0005")
    rows = text("SELECT id, admin, revoked_at FROM api_keys ORDER BY id")
    assert [tuple(row) for row in empty.read_now(lambda c: c.execute(rows).all())] == [
        (1, False, 0),
        (2, True, None),
    ]


def test_ids_are_never_used_again_after_the_migration_rebuilt_the_table(empty):
    migrate.upgrade(empty, "0001")
    execute(empty, *OLD_ROWS[:2])
    migrate.upgrade(empty)
    make = text(
        "INSERT INTO campaigns (tenant_id, account_id, name, text, sender, status, created_at,"
        " updated_at) VALUES (1, 1, 'new', 'Hi', 'ACME', 'draft', 1, 1) RETURNING id"
    )
    first = empty.write_now(lambda c: c.execute(make).scalar_one())
    execute(empty, text("DELETE FROM campaigns"))
    assert empty.write_now(lambda c: c.execute(make).scalar_one()) == first + 1


GOOD = {
    "total": 10,
    "queued": 4,
    "sent": 5,
    "failed": 1,
    "processed": 6,
    "delivered": 5,
    "unconfirmed": 4,
}
INSERT = text(
    "INSERT INTO campaigns (tenant_id, account_id, name, text, sender, status, created_at,"
    " updated_at, total, queued, sent, failed, processed, delivered, unconfirmed) VALUES (1, 1,"
    " 'c', 'Hi', 'ACME', 'sending', 1, 1, :total, :queued, :sent, :failed, :processed, :delivered,"
    " :unconfirmed)"
)


@pytest.fixture
def with_account(database):
    execute(database, *OLD_ROWS[:2])
    return database


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        ({"total": 11}, "total"),
        ({"total": 9, "queued": 3, "unconfirmed": 4}, "unconfirmed"),
        ({"processed": 5}, "processed"),
        ({"delivered": 6}, "delivered"),
        ({"delivered": -1}, "delivered"),
        ({"unconfirmed": 5}, "unconfirmed"),
        ({"unconfirmed": -1}, "unconfirmed"),
        ({"queued": -1, "total": 5, "unconfirmed": -1}, "counters|unconfirmed"),
        ({"sent": -1, "processed": 0, "total": 4, "delivered": -1}, "counters|delivered"),
        ({"failed": -1, "processed": 4, "total": 8}, "counters"),
    ],
    ids=str,
)
def test_a_broken_sum_is_refused_by_the_database(with_account, broken, check):
    execute_values = lambda values: with_account.write_now(  # noqa: E731
        lambda c: c.execute(INSERT, values)
    )
    execute_values(GOOD)
    with pytest.raises(IntegrityError, match=f"campaigns_({check})_check"):
        execute_values(GOOD | broken)


@pytest.mark.parametrize(
    ("revision", "hint"), [("0001", "older than this version"), ("9999", "newer than this")]
)
def test_a_schema_of_another_version_is_refused_with_the_way_out(empty, revision, hint):
    migrate.upgrade(empty)
    execute(empty, text(f"UPDATE alembic_version SET version_num = '{revision}'"))  # noqa: S608
    with pytest.raises(SchemaError, match=hint):
        migrate.ready(empty, create=True)


def test_an_empty_database_is_filled_only_when_asked_to(empty):
    with pytest.raises(SchemaError, match="paceline db upgrade"):
        migrate.ready(empty, create=False)
    migrate.ready(empty, create=True)
    assert empty.read_now(migrate.state) is SchemaState.CURRENT


def test_tables_of_somebody_else_are_left_alone(empty):
    execute(empty, text("CREATE TABLE theirs (id INTEGER)"))
    with pytest.raises(SchemaError, match="not Paceline's"):
        migrate.ready(empty, create=True)
    assert tables(empty) <= {"theirs", "alembic_version"}
