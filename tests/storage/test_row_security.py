"""PostgreSQL keeps the tenants apart by itself, and an ordinary owner can have it, or is told."""

from __future__ import annotations

import subprocess
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, NoResultFound, ProgrammingError

from paceline.settings import sqlalchemy_url
from paceline.storage import campaigns, lists, migrate, row_security, suppressions, tenants
from paceline.storage.database import Database
from paceline.storage.schema import metadata
from tests.storage.world import World


@pytest.fixture
def world(shared_postgres, clock) -> World:
    from tests.storage.conftest import _empty

    shared_postgres.write_now(_empty)
    return World(shared_postgres, clock)


@pytest.fixture
def both(world):
    """Two tenants that have one of everything that is made by hand."""
    world.other = world.tenant("beta")
    for tenant in (world.acme, world.other):
        world.sending(2, tenant=tenant)
        world.single(tenant=tenant)
        world.suppress("+306999999999", tenant=tenant)
        world.write(tenants.create_key, tenant, name="ci")
        made = world.write(lists.create, tenant, name="all")
        of_tenant = text("SELECT id FROM contacts WHERE tenant_id = :t").bindparams(t=tenant)
        ids = world.read(lambda c, q=of_tenant: c.execute(q).scalars().all())
        world.write(lists.add, tenant, made.id, ids)
    return world


def rows_seen(database, table):
    return database.read_now(lambda c: c.execute(select(table)).all())


def test_without_any_filter_a_transaction_sees_its_own_tenant_only(both):
    mine = both.database.of_tenant(both.acme)
    seen_tables = set()
    for table in metadata.sorted_tables:
        if "tenant_id" not in table.columns or table.name == "traffic_accounts":
            continue
        everything = rows_seen(both.database, table)
        own = [row for row in everything if row.tenant_id == both.acme]
        assert sorted(map(str, rows_seen(mine, table))) == sorted(map(str, own)), table.name
        if len(own) < len(everything):
            seen_tables.add(table.name)
    assert seen_tables >= {"campaigns", "contacts", "messages", "batches", "suppressions", "lists"}
    assert [row.id for row in rows_seen(mine, metadata.tables["tenants"])] == [both.acme]


def test_what_hangs_on_a_tenants_rows_is_seen_with_them(both):
    mine = both.database.of_tenant(both.acme)
    members = metadata.tables["list_members"]
    assert len(rows_seen(both.database, members)) == 2 * len(rows_seen(mine, members)) > 0


async def test_a_glance_sees_its_own_tenant_only_whoever_glanced_before(both):
    async def names(tenant):
        def of_all(connection):
            return connection.execute(text("SELECT name FROM tenants")).scalars().all()

        return await both.database.of_tenant(tenant).glance(of_all)

    for _ in range(3):
        assert await names(both.acme) == ["acme"]
        assert await names(both.other) == ["beta"]


def test_what_is_another_tenants_can_be_neither_changed_nor_made(both):
    mine = both.database.of_tenant(both.acme)
    renamed = mine.write_now(lambda c: c.execute(text("UPDATE contacts SET first_name = 'x'")))
    assert renamed.rowcount == 2
    with pytest.raises(DBAPIError, match="row-level security"):
        mine.write_now(campaigns.create, both.other, **DRAFT, account_id=both.main)
    with pytest.raises(NoResultFound):  # that tenant is not there
        mine.write_now(suppressions.add, both.other, ["+306911111111"], "x")
    assert mine.write_now(campaigns.create, both.acme, **DRAFT, account_id=both.main).id


DRAFT = {"name": "n", "text": "t", "sender": "ACME"}


def test_after_a_transaction_of_a_tenant_the_connection_is_everybodys_again(both):
    mine = both.database.of_tenant(both.acme)
    for _ in range(20):
        rows_seen(mine, metadata.tables["contacts"])
        assert len(rows_seen(both.database, metadata.tables["tenants"])) == 2


def test_in_the_role_but_without_a_tenant_nothing_can_be_read(both):
    def read(connection):
        connection.execute(text(f"SET LOCAL ROLE {row_security.ROLE}"))
        connection.execute(text("SELECT * FROM contacts"))

    with pytest.raises(DBAPIError, match=r"paceline\.tenant|bigint"):
        both.database.read_now(read)


def test_receipts_are_not_the_tenants_to_read(both):
    with pytest.raises(ProgrammingError, match="permission denied"):
        rows_seen(both.database.of_tenant(both.acme), metadata.tables["receipts"])


def test_every_table_has_a_policy_or_a_reason_to_have_none():
    with_tenant = {table.name for table in metadata.sorted_tables if "tenant_id" in table.columns}
    assert row_security.policies().keys() >= with_tenant
    assert row_security.policies().keys() | row_security.WITHOUT_POLICY == metadata.tables.keys()


@pytest.mark.parametrize("schema", ["Paceline", "My Schema", 'a"b'])
async def test_the_schema_may_have_any_name(schema, postgres_server):
    url = postgres_server.create_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    database = Database(sqlalchemy_url(f"{url}{'&' if '?' in url else '?'}schema={quote(schema)}"))
    try:
        migrate.upgrade(database)
        acme, _ = (database.write_now(tenants.keep, name).id for name in ("acme", "beta"))
        mine = database.of_tenant(acme)
        assert database.read_now(row_security.why_not) is None
        table = metadata.tables["tenants"]
        assert [row.id for row in rows_seen(mine, table)] == [acme]
        glanced = await mine.glance(lambda c: c.execute(select(table)).all())
        assert [row.id for row in glanced] == [acme]
    finally:
        database.close()
        postgres_server.drop_database(url)


# --- owners that are not superusers


@pytest.fixture
def owned(postgres_server):
    """An empty database of an ordinary role; how to make the role, and its database."""
    opened = []

    def make(name: str, rights: str) -> Database:
        with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as superuser:
            superuser.execute(f"DROP ROLE IF EXISTS {name}")
            superuser.execute(f"CREATE ROLE {name} LOGIN {rights}")
            url = postgres_server.create_database()
            database_name = url.partition("?")[0].rpartition("/")[2]
            superuser.execute(f"ALTER DATABASE {database_name} OWNER TO {name}")
        database = Database(sqlalchemy_url(url.replace("postgres:@", f"{name}:@")))
        opened.append((database, url, name))
        return database

    yield make
    for database, url, name in opened:
        database.close()
        postgres_server.drop_database(url)
        with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as superuser:
            superuser.execute(f"DROP ROLE {name}")


def test_an_owner_who_may_not_act_as_the_role_works_without_and_is_told_how_to_mend(
    owned, postgres_server
):
    database = owned("plain_owner", "NOCREATEROLE")
    migrate.upgrade(database)
    acme, beta = (database.write_now(tenants.keep, name).id for name in ("acme", "beta"))
    assert database.read_now(row_security.why_not) in {
        row_security.NO_ROLE,
        row_security.NOT_A_MEMBER,
    }
    both = rows_seen(database.of_tenant(acme), metadata.tables["tenants"])
    assert [row.id for row in both] == [acme, beta], "off means off, not half on"
    words = database.read_now(row_security.mend)
    grant = words[words.index("GRANT") :].rstrip(".")
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as superuser:
        superuser.execute(
            f"DO $$ BEGIN CREATE ROLE {row_security.ROLE}; "
            "EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
        superuser.execute(grant)
    migrate.upgrade(database)
    assert database.read_now(row_security.why_not) is None
    again = Database(database.url.render_as_string(hide_password=False))
    assert [row.id for row in rows_seen(again.of_tenant(acme), metadata.tables["tenants"])] == [
        acme
    ]
    assert len(rows_seen(again, metadata.tables["tenants"])) == 2, "the owner sees all"
    again.close()


def test_an_owner_who_may_make_roles_has_it_and_can_still_be_backed_up(owned, postgres_server):
    database = owned("making_owner", "CREATEROLE")
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as superuser:
        # As where the role was made by this owner; on this server others' databases need it.
        superuser.execute(
            f"DO $$ BEGIN CREATE ROLE {row_security.ROLE}; "
            "EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
        superuser.execute(f"GRANT {row_security.ROLE} TO making_owner WITH ADMIN TRUE, SET FALSE")
    migrate.upgrade(database)
    assert database.read_now(row_security.why_not) is None
    acme = database.write_now(tenants.keep, "acme").id
    database.write_now(tenants.keep, "beta")
    assert [row.id for row in rows_seen(database.of_tenant(acme), metadata.tables["tenants"])] == [
        acme
    ]
    dump = subprocess.run(
        [
            postgres_server.tool("pg_dump"),
            *("--data-only", "--table=tenants"),
            *("-h", str(postgres_server.data), "-U", "making_owner", str(database.url.database)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert dump.returncode == 0, dump.stderr
    assert "beta" in dump.stdout
