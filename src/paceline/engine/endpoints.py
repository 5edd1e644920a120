"""Webhook endpoints as a tenant adds and changes them: every fault named, every change logged."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from paceline.domain.errors import InvalidInputError
from paceline.domain.web_address import fault_of
from paceline.domain.webhook_event import SECRET_BYTES, WANTABLE, EventType, secret_of
from paceline.storage import audit_log, webhook_deliveries, webhook_endpoints, webhook_events
from paceline.storage.database import AnyRow, Database, now
from paceline.storage.sealing import Sealer

_BY_ITS_TENANT = "Disabled by its tenant."


@dataclass(frozen=True, slots=True)
class Added:
    """A new endpoint, and its secret, which can be read here and never again."""

    endpoint: AnyRow
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What can be done with one tenant's endpoints, in the name of ``actor``.

    Args:
        database: where they are.
        tenant_id: whose they are.
        actor: for the audit log.
        allow_private: take addresses in private networks, and plain HTTP.
    """

    database: Database
    tenant_id: int
    actor: str
    allow_private: bool = False

    async def add(self, sealer: Sealer, *, url: str, events: Collection[EventType]) -> Added:
        """Make an endpoint.

        Raises:
            InvalidInputError: the URL cannot be used, or no type is named.
            ConflictError: the tenant has as many as it may have.
        """
        values = self._checked({"url": url, "events": events})
        secret = secret_of(secrets.token_bytes(SECRET_BYTES))

        def make(connection: Connection) -> AnyRow:
            row = webhook_endpoints.add(
                connection, self.tenant_id, secret=sealer.seal(secret), **values
            )
            self._log(connection, "add", row.id, events=values["events"])
            return row

        return Added(await self.database.write(make), secret)

    async def change(self, endpoint_id: int, values: dict[str, Any]) -> AnyRow:
        """Change ``url``, ``events`` or ``disabled``. What happens while it is disabled is not kept
        for it.

        Raises:
            NotFoundError: this tenant has none with this id.
            InvalidInputError: the URL cannot be used, or no type is named.
        """
        checked = self._checked(values)
        disabled = checked.pop("disabled", None)

        def carry_out(connection: Connection) -> AnyRow:
            row = webhook_endpoints.get(connection, self.tenant_id, endpoint_id)
            if disabled is False:
                checked.update(disabled_at=None, disabled_why=None)
            elif disabled and row.disabled_at is None:
                checked.update(disabled_at=now(connection), disabled_why=_BY_ITS_TENANT)
            if not checked:
                return row
            self._log(connection, "change", endpoint_id, changed=sorted(values))
            return webhook_endpoints.change(connection, self.tenant_id, endpoint_id, checked)

        return await self.database.write(carry_out)

    async def remove(self, endpoint_id: int) -> None:
        """Remove an endpoint and its deliveries.

        Raises:
            NotFoundError: this tenant has none with this id.
        """
        await self.change(endpoint_id, {"disabled": True})

        def remove(connection: Connection) -> bool:
            gone = webhook_endpoints.remove(connection, self.tenant_id, endpoint_id)
            if gone:
                self._log(connection, "remove", endpoint_id)
            return gone

        while not await self.database.write(remove):
            pass

    async def test(self, endpoint_id: int) -> int:
        """Queue an event for this endpoint alone; return the id of its delivery.

        Raises:
            NotFoundError: this tenant has none with this id.
            ConflictError: it is disabled.
        """

        def queue(connection: Connection) -> int:
            webhook_deliveries.require_enabled(connection, self.tenant_id, endpoint_id)
            return webhook_events.test(connection, self.tenant_id, endpoint_id)

        return await self.database.write(queue)

    async def replay_one(self, endpoint_id: int, delivery_id: int) -> int:
        """Make a delivery again, whatever became of it; return 1.

        Raises:
            NotFoundError: this tenant has no such endpoint, or that one no such delivery.
            ConflictError: the endpoint is disabled.
        """

        def replay(connection: Connection) -> None:
            webhook_deliveries.replay_one(connection, self.tenant_id, endpoint_id, delivery_id)
            self._log(connection, "replay", endpoint_id, delivery=delivery_id)

        await self.database.write(replay)
        return 1

    async def replay_since(
        self, endpoint_id: int, since: int, *, delivered_too: bool = False
    ) -> int:
        """Make those deliveries again that failed, of events since a moment (milliseconds since
        1970); return how many.

        Args:
            endpoint_id: to which endpoint.
            since: the moment.
            delivered_too: repeat those that were delivered as well.

        Raises:
            NotFoundError: this tenant has no such endpoint.
            ConflictError: it is disabled.
        """

        def begin(connection: Connection) -> None:
            webhook_deliveries.require_enabled(connection, self.tenant_id, endpoint_id)
            self._log(connection, "replay", endpoint_id, since=since, delivered_too=delivered_too)

        await self.database.write(begin)
        replayed, after = 0, 0
        while True:
            some = await self.database.write(
                webhook_deliveries.replay_since,
                endpoint_id,
                since,
                after=after,
                delivered_too=delivered_too,
            )
            replayed += some.count
            if some.last is None:
                return replayed
            after = some.last

    def _checked(self, values: dict[str, Any]) -> dict[str, Any]:
        checked = dict(values)
        if "url" in values and (fault := fault_of(values["url"], allow_private=self.allow_private)):
            raise InvalidInputError.of("url", fault)
        if "events" in values:
            checked["events"] = _read_types(values["events"])
        return checked

    def _log(self, connection: Connection, verb: str, endpoint_id: int, **detail: Any) -> None:
        audit_log.write(
            connection,
            tenant_id=self.tenant_id,
            actor=self.actor,
            action=f"webhook_endpoint.{verb}",
            subject=f"webhook endpoint {endpoint_id}",
            **detail,
        )


def _read_types(names: Collection[str]) -> Sequence[EventType]:
    unknown = sorted(set(names) - set(WANTABLE))
    if unknown or not names:
        wrong = f"does not know {', '.join(unknown)}" if unknown else "is empty"
        raise InvalidInputError.of("events", f"{wrong}; there are {', '.join(WANTABLE)}")
    return sorted({EventType(name) for name in names})
