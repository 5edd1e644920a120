"""Row-level security: PostgreSQL itself keeps the tenants apart, behind the filters of the queries.

Every query names the tenant it is for. Should one ever forget to, a transaction of an API request
still sees no other tenant's rows: it runs as a role of its own (``ROLE``), with the tenant's id in
a setting, and each table has a policy that holds rows against it. Without the setting nothing can
be read at all. It guards against our own mistakes; somebody who can run any SQL can change the role
back.

The engine and the operators run as whoever they connect as, and no policy concerns them: the owner
of the tables is exempt, and all other roles have one that lets everything pass. For the same reason
it is not forced upon the owner. That would gain nothing, since no request runs as the owner, and
would stop ``pg_dump`` for owners that are not superusers.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection
from sqlalchemy import text as sql

from paceline.storage.schema import metadata

ROLE = "paceline_tenant"
"""One for all databases of a server; it owns nothing and cannot log in."""
SETTING = "paceline.tenant"
_POLICY, _OTHERS = "own_tenant", "everybody_else"
_TENANT = f"(SELECT current_setting('{SETTING}')::bigint)"

WITHOUT_POLICY = frozenset({"installation", "account_turns", "batch_blocks", "receipts"})
"""What is no tenant's: of receipts, the role sees nothing at all."""
_OF_FEW = {
    "import_changes": ("import_id", "imports"),
    "import_rejects": ("import_id", "imports"),
    "list_members": ("list_id", "lists"),
    "webhook_deliveries": ("endpoint_id", "webhook_endpoints"),
}
"""Table → what its rows belong to, of which a tenant has so few that they are looked up at once."""
_OF_MANY = {
    "answers": ("attempt_id", "attempts"),
    "launches": ("campaign_id", "campaigns"),
    "provider_messages": ("message_id", "messages"),
}
"""The same, looked up for each row."""
_RIGHTS = {
    "account_turns": "SELECT",
    "audit_log": "SELECT, INSERT",
    "batch_blocks": "SELECT, INSERT",
    "installation": "SELECT",
    "receipts": "",
    "traffic_accounts": "SELECT, UPDATE",
}
"""Where it is not everything."""


def policies() -> Mapping[str, str]:
    """Table → the condition on those of its rows that a tenant has."""
    return {
        table.name: _condition(table.name)
        for table in metadata.sorted_tables
        if table.name not in WITHOUT_POLICY
    }


def _condition(table: str) -> str:
    if table == "tenants":
        return f"id = {_TENANT}"
    if table == "traffic_accounts":
        return f"tenant_id IS NULL OR tenant_id = {_TENANT}"
    if table in _OF_FEW:
        column, parent = _OF_FEW[table]
        return f"{column} IN (SELECT id FROM {parent})"  # noqa: S608 - names of our own
    if table in _OF_MANY:
        column, parent = _OF_MANY[table]
        return f"EXISTS (SELECT FROM {parent} WHERE {parent}.id = {table}.{column})"
    return f"tenant_id = {_TENANT}"


def install(connection: Connection) -> None:
    """Switch it on, if whoever is connected may; where it is on already, nothing is changed.

    Args:
        connection: of a write transaction on PostgreSQL, as the owner of the tables.
    """
    connection.exec_driver_sql(_MAKE_ROLE)
    if why_not(connection) in {None, NO_ROLE, NOT_A_MEMBER}:
        return
    schema = _schema(connection)
    connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {schema} TO {ROLE}")
    connection.exec_driver_sql(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {ROLE}")
    for each in metadata.sorted_tables:
        if rights := _RIGHTS.get(each.name, "SELECT, INSERT, UPDATE, DELETE"):
            connection.exec_driver_sql(f"GRANT {rights} ON {each.name} TO {ROLE}")
    remove(connection)
    for table, condition in policies().items():
        connection.exec_driver_sql(f"CREATE POLICY {_OTHERS} ON {table} USING (true)")
        connection.exec_driver_sql(
            f"CREATE POLICY {_POLICY} ON {table} AS RESTRICTIVE TO {ROLE} USING ({condition})"
        )
        connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")


def remove(connection: Connection) -> None:
    """Switch it off. The role stays: other databases may use it."""
    for table, policy in connection.execute(_PRESENT).all():
        connection.exec_driver_sql(f"DROP POLICY {policy} ON {table}")
        connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")


NO_ROLE = f"there is no role {ROLE}"
NOT_A_MEMBER = f"whom Paceline connects as may not act as {ROLE}"
NO_POLICIES = "not all tables have their policies"


def why_not(connection: Connection) -> str | None:
    """Why it is off; None: it is on."""
    version, is_there = connection.execute(_ROLE_THERE, {"role": ROLE}).one()
    if not is_there:
        return NO_ROLE
    right = "SET" if version >= _KNOWS_SET else "MEMBER"
    if not connection.execute(_MAY_BE, {"role": ROLE, "right": right}).scalar_one():
        return NOT_A_MEMBER
    guarded = {table for table, policy in connection.execute(_PRESENT) if policy == _POLICY}
    return None if guarded >= policies().keys() else NO_POLICIES


def mend(connection: Connection) -> str:
    """What a superuser has to do for whoever is connected, as a sentence."""
    version, user = connection.execute(_WHO).one()
    only_to_act = " WITH INHERIT FALSE" if version >= _KNOWS_SET else ""
    return (
        f"Let a superuser run: CREATE ROLE {ROLE} NOLOGIN (unless it exists); "
        f'GRANT {ROLE} TO "{user}"{only_to_act}.'
    )


def confine(connection: Connection, tenant_id: int, schema: str) -> None:
    """Let the rest of this transaction see one tenant's rows only. The schema is named, because
    the search path may begin with one that is called like whoever we are.
    """
    connection.execute(_CONFINE, {"role": ROLE, "tenant": str(tenant_id), "schema": schema})


def confine_session(connection: Connection, tenant_id: int) -> None:
    """As ``confine``, for all that comes on a connection whose role is ``ROLE`` already."""
    connection.execute(_CONFINE_SESSION, {"tenant": str(tenant_id)})


def schema_of(connection: Connection) -> str | None:
    """The schema that the tables are in, as a search path has it; None: this is off."""
    return _schema(connection) if why_not(connection) is None else None


def _schema(connection: Connection) -> str:
    """As it is written in a statement or a search path: in quotes where it needs them."""
    schema: str = connection.execute(sql("SELECT quote_ident(current_schema())")).scalar_one()
    return schema


_KNOWS_SET = 160_000
"""From this version on, being a member of a role and being allowed to act as it are two things."""
_MAKE_ROLE = f"""
    DO $$
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
            CREATE ROLE {ROLE} NOLOGIN;
        END IF;
        IF current_setting('server_version_num')::int < {_KNOWS_SET} THEN
            IF NOT pg_has_role(current_user, '{ROLE}', 'MEMBER') THEN
                GRANT {ROLE} TO CURRENT_USER;
            END IF;
        ELSIF NOT pg_has_role(current_user, '{ROLE}', 'SET') THEN
            -- To act as it, not to have its rights: its policies would concern the engine too.
            EXECUTE 'GRANT {ROLE} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE';
        END IF;
    EXCEPTION
        WHEN insufficient_privilege THEN NULL;  -- then it stays off, and the doctor says so
        WHEN duplicate_object OR unique_violation THEN NULL;  -- another one has just made it
    END $$
"""
_WHO = sql("SELECT current_setting('server_version_num')::int, current_user")
_ROLE_THERE = sql(
    "SELECT current_setting('server_version_num')::int,"
    " EXISTS (SELECT FROM pg_roles WHERE rolname = :role)"
)
_MAY_BE = sql("SELECT pg_has_role(current_user, CAST(:role AS name), :right)")
_PRESENT = sql(
    "SELECT tablename, policyname FROM pg_policies WHERE schemaname = current_schema()"
    " AND policyname IN (:own, :others)"
).bindparams(own=_POLICY, others=_OTHERS)
_CONFINE = sql(
    "SELECT set_config('role', :role, true), set_config('search_path', :schema, true),"
    f" set_config('{SETTING}', :tenant, true)"
)
_CONFINE_SESSION = sql(f"SELECT set_config('{SETTING}', :tenant, false)")
