"""What a tenant's transactions need on PostgreSQL, so that they see their tenant's rows only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from paceline.storage import row_security

CONNECTIONS = 4
"""For glances, which a transaction around each would make twice as long: these connections have the
role of tenants for good, and the id of one until it is another one's turn."""
_OF = "paceline_tenant"


class TenantRows:
    """Confines transactions to tenants, where row-level security is on; elsewhere nothing happens.

    Args:
        connect: makes an engine of so many connections, each ready to run one statement at a time,
            after ``prepare`` was run on it.
    """

    def __init__(self, connect: Callable[[int, str], Engine]) -> None:
        self._connect = connect
        self._schema: str | None = None
        self._known = False
        self._engine: Engine | None = None
        self._making = threading.Lock()
        self.threads = ThreadPoolExecutor(CONNECTIONS, "paceline-glance")

    def confine(self, connection: Connection, tenant_id: int) -> None:
        """Let the rest of this transaction see one tenant's rows only."""
        schema = self._find(connection)
        if schema is not None:
            row_security.confine(connection, tenant_id, schema)

    @contextmanager
    def glance(self, glancer: Engine, tenant_id: int) -> Iterator[Connection]:
        """A connection for one statement that sees one tenant's rows only.

        Args:
            glancer: for the first time, and where row-level security is off.
            tenant_id: whose.
        """
        if not self._known:
            with glancer.connect() as connection:
                self._find(connection)
        if self._schema is None:
            with glancer.connect() as connection:
                yield connection
            return
        with self._confined().connect() as connection:
            if connection.info.get(_OF) != tenant_id:
                connection.info.pop(_OF, None)
                row_security.confine_session(connection, tenant_id)
                connection.info[_OF] = tenant_id
            yield connection

    def close(self) -> None:
        """Wait for what runs, then close every connection."""
        self.threads.shutdown()
        if self._engine is not None:
            self._engine.dispose()

    def _find(self, connection: Connection) -> str | None:
        """The schema of the tables; None: row-level security is off. It is looked for once: who
        switches it on starts the processes anew.
        """
        if not self._known:
            self._schema = row_security.schema_of(connection)
            self._known = True
        return self._schema

    def _confined(self) -> Engine:
        with self._making:
            if self._engine is None:
                as_a_tenant = f"SET ROLE {row_security.ROLE}; SET search_path TO {self._schema}"
                self._engine = self._connect(CONNECTIONS, as_a_tenant)
            return self._engine
