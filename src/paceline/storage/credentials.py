"""The credentials in the database, and the secret that they are sealed with."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Table, select, update

from paceline.storage import audit_log
from paceline.storage.database import AnyRow, now
from paceline.storage.schema import installation, traffic_accounts, webhook_endpoints
from paceline.storage.sealing import Sealer, SecretError, is_sealed

_KEPT: tuple[tuple[Table, Column[str]], ...] = (
    (traffic_accounts, traffic_accounts.c.api_key),
    (webhook_endpoints, webhook_endpoints.c.secret),
)
"""Everything that is stored sealed."""
_WRONG = (
    "PACELINE_SECRET is not the secret that this database's credentials are sealed with. Give "
    "every process on every machine the same one; without it, the same secret.key in "
    "PACELINE_DATA_DIR. If you changed it, give the one before as PACELINE_SECRET_OLD (that file "
    "as PACELINE_SECRET_OLD_FILE) and run: paceline account reseal"
)
_LOST = "its key was lost with PACELINE_SECRET: enter it again, then release the account"
_ENDPOINT_LOST = "its secret was lost with PACELINE_SECRET"


@dataclass(frozen=True, slots=True)
class Resealed:
    """What was sealed anew, and the ids of what could not be opened and is lost."""

    sealed: int
    lost_accounts: list[int]
    lost_endpoints: list[int]


def check_in(connection: Connection, sealer: Sealer) -> None:
    """Make sure that this process has the installation's secret, and seal what is still plain.

    The first one to come says which secret it is; of two that come at once, one does.

    Raises:
        SecretError: it is another one.
    """
    connection.execute(
        update(installation)
        .where(installation.c.key_check.is_(None))
        .values(key_check=sealer.fingerprint)
    )
    known = connection.execute(select(installation.c.key_check)).scalar_one()
    if known not in {sealer.fingerprint, sealer.old_fingerprint}:
        raise SecretError(_WRONG)
    for table, column in _KEPT:
        for row in _locked(connection, table, column):
            if not is_sealed(row.kept):
                _keep(connection, table, column, row.id, sealer.seal(row.kept))


def is_resealed(connection: Connection, sealer: Sealer) -> bool:
    """Whether the secret before this one is of no use any more."""
    known = connection.execute(select(installation.c.key_check)).scalar_one()
    return bool(known == sealer.fingerprint)


def reseal(connection: Connection, sealer: Sealer, *, lost: bool, actor: str) -> Resealed:
    """Seal everything with the present secret, which is the installation's from now on.

    Args:
        connection: of a write transaction.
        sealer: which opens with the secret before as well.
        lost: what can be opened with neither is given up: its account is held, its endpoint
            disabled, until somebody enters a new key.
        actor: for the audit log.

    Raises:
        SecretError: something can be opened with neither, and is not ``lost``.
    """
    sealed = 0
    given_up: dict[Table, list[int]] = {table: [] for table, _ in _KEPT}
    for table, column in _KEPT:
        for row in _locked(connection, table, column):
            try:
                text = sealer.open(row.kept)
                sealed += 1
            except SecretError:
                if not lost:
                    raise
                text = secrets.token_urlsafe(32)  # nobody's key: it opens nothing
                given_up[table].append(row.id)
            _keep(connection, table, column, row.id, sealer.seal(text))
    _put_out_of_use(connection, given_up)
    connection.execute(update(installation).values(key_check=sealer.fingerprint))
    done = Resealed(sealed, given_up[traffic_accounts], given_up[webhook_endpoints])
    audit_log.write(
        connection,
        tenant_id=None,
        actor=actor,
        action="secret.reseal",
        subject="installation",
        sealed=done.sealed,
        lost_accounts=done.lost_accounts,
        lost_endpoints=done.lost_endpoints,
    )
    return done


def _put_out_of_use(connection: Connection, given_up: dict[Table, list[int]]) -> None:
    at = now(connection)
    connection.execute(
        update(traffic_accounts)
        .where(traffic_accounts.c.id.in_(given_up[traffic_accounts]))
        .values(held_at=at, held_why=_LOST)
    )
    connection.execute(
        update(webhook_endpoints)
        .where(webhook_endpoints.c.id.in_(given_up[webhook_endpoints]))
        .values(disabled_at=at, disabled_why=_ENDPOINT_LOST)
    )


def _locked(connection: Connection, table: Table, column: Column[str]) -> Iterator[AnyRow]:
    """Each row's id and what it keeps, locked: a key that is changed meanwhile must not be undone.

    The rows are few, one for each contract or endpoint.
    """
    query = select(table.c.id, column.label("kept")).order_by(table.c.id)
    yield from connection.execute(query.with_for_update(key_share=True)).all()


def _keep(
    connection: Connection, table: Table, column: Column[str], row_id: int, sealed: str
) -> None:
    connection.execute(update(table).where(table.c.id == row_id).values({column: sealed}))
