"""A database as it is after a busy year: one tenant with a campaign of a million and hundreds more.

Everything is written by few statements, from rows of numbers, and is the same in every run. The
counters of the campaigns are counted from the rows, so the audit agrees with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Table,
    Text,
    case,
    cast,
    func,
    insert,
    literal,
    null,
    select,
    update,
)

from paceline.domain import segment_text
from paceline.domain.role import Role
from paceline.engine.signing_in import hashed
from paceline.storage import accounts, segments, tenants, users
from paceline.storage.database import is_postgres, now
from paceline.storage.schema import (
    Json,
    attempts,
    audit_log,
    batches,
    campaigns,
    contacts,
    import_rejects,
    imports,
    inbound_messages,
    list_members,
    lists,
    messages,
    prices,
    provider_messages,
    receipts,
    suppressions,
    webhook_deliveries,
    webhook_endpoints,
    webhook_events,
)

PASSWORD = "the password of a benchmark"  # noqa: S105 - of a database that is thrown away
PEOPLE = {"manager": Role.MANAGER, "admin": Role.ADMIN}
TEXT = "Hello {{first_name|there}}, our shop has 20% off everything until Sunday."
BATCHES = 2_000
"""Of the large campaign."""
OTHERS = 400
SENDING, SINGLE_CALLS, SCHEDULED, DRAFT = 1, 2, OTHERS + 3, OTHERS + 4
"""Campaigns: the large one; one that made a call for each message in the last hour."""
_FIRST_PHONE = 10_000_000
_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
_NAMES = ("Maria", "Nikos", "Eleni", "Giorgos", "Sofia")
_CITIES = ("Athens", "Patras", "Volos", "Chania")
_REASONS = ("rejected", "invalid_number", "undelivered", "expired", "opted_out")
_ACTIONS = ("campaign.create", "campaign.start", "contact.import", "suppression.add")

Row = Mapping[str, Any]
Number = ColumnElement[int]


@dataclass(frozen=True, slots=True)
class House:
    """What there is, for whoever looks at it."""

    tenant_id: int
    messages: int
    contacts: int


def furnish(connection: Connection, provider_url: str, size: int) -> House:
    """Fill an empty database.

    Args:
        connection: of a write transaction.
        provider_url: where the account's provider would be.
        size: messages of the large campaign; everything else grows with it.
    """
    tenant_id = tenants.keep(connection, "acme").id
    account_id = accounts.keep(
        connection,
        name="main",
        values={
            "provider": "mitto",
            "base_url": provider_url,
            "external_id": "1",
            "api_key": "k",
            "sender": "ACME",
        },
    ).id
    accounts.make_default(connection, account_id)
    for login, role in PEOPLE.items():
        users.add(connection, tenant_id, login=login, password=hashed(PASSWORD), role=role)
    house = House(tenant_id, size, max(size * 3 // 10, 1_000))
    work = _Work(connection, house, account_id, now(connection))
    work.people()
    work.campaigns()
    work.sending()
    work.single_calls()
    work.other_campaigns()
    work.single_messages()
    work.calls()
    work.count()
    work.what_is_told()
    work.history()
    return house


@dataclass(frozen=True, slots=True)
class _Work:
    connection: Connection
    house: House
    account_id: int
    at: int

    def people(self) -> None:
        """Contacts, lists, segments, and who must not be written to."""
        tenant, many = {"tenant_id": self.house.tenant_id}, self.house.contacts
        old = {"created_at": self.at - 90 * _DAY_MS}
        self._fill(
            contacts,
            many,
            lambda n: {
                **tenant,
                **old,
                "id": n + 1,
                "phone": _phone(n),
                "first_name": _one_of(_NAMES, n),
                "last_name": literal("Papadopoulos ").concat(cast(n % 997, Text)),
                "attributes": self._json('{"city": "', _one_of(_CITIES, n * 7), '"}'),
                "region": "GR",
                "updated_at": self.at - n * 1000,
            },
        )
        self._fill(lists, 40, lambda n: {**tenant, **old, "id": n + 1, "name": _named("List ", n)})
        members = {"list_id": literal(1, BigInteger)}
        self._fill(list_members, many // 3, lambda n: {**members, "contact_id": n * 3 + 1})
        each = max(many // 100, 1)
        self._fill(
            list_members,
            39 * each,
            lambda n: {"list_id": n % 39 + 2, "contact_id": n // 39 + 1 + n % 39 * each},
        )
        self._fill(
            suppressions,
            many // 20,
            lambda n: {
                **tenant,
                **old,
                "phone": _phone(n * 20),
                "reason": "replied STOP",
                "source": "stop",
                "seq": n + 1,
            },
        )
        for number, city in enumerate(_CITIES * 8):
            wanted = segment_text.parse(f'city is "{city}" and first_name is "Maria"')
            name = f"{city} {number}"
            segments.create(self.connection, self.house.tenant_id, name=name, wanted=wanted)

    def campaigns(self) -> None:
        """All of them, as yet without messages."""
        row = {
            "tenant_id": self.house.tenant_id,
            "account_id": self.account_id,
            "text": TEXT,
            "sender": "ACME",
        }
        statuses = {SENDING: "sending", SINGLE_CALLS: "sending"}
        statuses |= dict.fromkeys(range(SCHEDULED, SCHEDULED + 20, 2), "scheduled")
        statuses |= dict.fromkeys(range(DRAFT, DRAFT + 20, 2), "draft")
        rows = []
        for number in range(1, OTHERS + 23):
            over = "cancelled" if number % 40 == 0 else "completed"
            status = statuses.get(number, over)
            began = self.at - (OTHERS + 23 - number) * _HOUR_MS * 6
            rows.append(
                {
                    **row,
                    "id": number,
                    "name": f"Campaign {number}",
                    "status": status,
                    "list_id": number % 40 + 1,
                    "scheduled_at": self.at + number * _HOUR_MS if status == "scheduled" else None,
                    "created_at": began,
                    "started_at": None if status in {"draft", "scheduled"} else began,
                    "completed_at": began + _HOUR_MS if status == over else None,
                    "updated_at": began,
                }
            )
        self.connection.execute(insert(campaigns), rows)

    def sending(self) -> None:
        """The large one: nine tenths are done, a few calls are in doubt, the rest is queued."""
        size = -(-self.house.messages // BATCHES)
        done, doubtful = BATCHES * 9 // 10, BATCHES * 9 // 10 + 10
        self._batches(
            SENDING,
            BATCHES,
            size,
            lambda b: {
                "status": case((b < done, "done"), (b < doubtful, "unconfirmed"), else_="queued"),
                "in_doubt": (b >= done) & (b < doubtful),
                "doubt_since": case(((b >= done) & (b < doubtful), self.at - 60_000)),
                "tries": case((b < doubtful, 1), else_=0),
                "error": case(((b >= done) & (b < doubtful), "the provider did not answer")),
                "updated_at": self.at - 1_800_000 + b * 900,
            },
        )
        self._messages(SENDING, self.house.messages, size, done, doubtful)

    def single_calls(self) -> None:
        """One that is at the end of an hour of a call for each message; one is left."""
        many = max(self.house.messages // 10, 10)
        over = {"in_doubt": literal(False), "tries": literal(1)}
        self._batches(
            SINGLE_CALLS,
            many,
            1,
            lambda b: {
                **over,
                "status": case((b < many - 1, "done"), else_="queued"),
                "updated_at": self.at - (many - b) * (_HOUR_MS - 1000) // many,
            },
        )
        self._messages(SINGLE_CALLS, many, 1, many - 1, many - 1)

    def other_campaigns(self) -> None:
        """Hundreds that are over, of which the cancelled have sent nothing."""
        size = max(self.house.messages // BATCHES, 1)
        for number in range(SINGLE_CALLS + 1, SCHEDULED):
            gone = number % 40 == 0
            began = self.at - (OTHERS + 23 - number) * _HOUR_MS * 6
            status = "cancelled" if gone else "done"
            row = {"status": status, "in_doubt": False, "tries": 0 if gone else 1}
            self._batches(
                number,
                1,
                size,
                partial(_at, began, row),
            )
            self._messages(number, size, size, 0 if gone else 1, 0 if gone else 1, gone=gone)

    def single_messages(self) -> None:
        """Those without a campaign, all sent."""
        many = self.house.messages // 50
        self._batches(
            None,
            many,
            1,
            lambda b: {
                "status": literal("done"),
                "in_doubt": literal(False),
                "tries": literal(1),
                "updated_at": self.at - (many - b) * 60_000 - _HOUR_MS,
            },
        )
        self._messages(None, many, 1, many, many)

    def calls(self) -> None:
        """A call for each batch that was tried, and what the provider calls its messages."""
        called = select(
            batches.c.tenant_id,
            batches.c.account_id,
            batches.c.campaign_id,
            batches.c.id,
            literal(1),
            literal(1),
            batches.c.size,
            literal("worker-").concat(cast(batches.c.id % 4, Text)),
            batches.c.updated_at,
            batches.c.updated_at + 1000,
            batches.c.updated_at + 40,
            case((batches.c.status == "done", "answered"), else_="no_answer"),
        ).where(batches.c.tries > 0)
        columns = ["tenant_id", "account_id", "campaign_id", "batch_id", "fence", "generation"]
        columns += ["size", "worker", "started_at", "send_by", "finished_at", "outcome"]
        self.connection.execute(insert(attempts).from_select(columns, called))
        named = (
            select(
                literal(self.account_id),
                literal("p").concat(cast(messages.c.id, Text)),
                messages.c.id,
                attempts.c.id,
                messages.c.delivery,
            )
            .join(attempts, attempts.c.batch_id == messages.c.batch_id)
            .where(messages.c.status == "sent")
        )
        columns = ["account_id", "provider_message_id", "message_id", "attempt_id", "delivery"]
        self.connection.execute(insert(provider_messages).from_select(columns, named))

    def count(self) -> None:
        """Let every campaign's counters say what its rows do."""

        def number(condition: ColumnElement[bool]) -> ColumnElement[int]:
            return func.sum(case((condition, 1), else_=0))

        status = messages.c.status
        counted = (
            select(
                messages.c.campaign_id,
                func.count().label("total"),
                number(status == "queued").label("queued"),
                number(status == "sent").label("sent"),
                number(status == "failed").label("failed"),
                number(messages.c.delivery == "delivered").label("delivered"),
                number(messages.c.in_doubt).label("unconfirmed"),
            )
            .where(messages.c.campaign_id.is_not(None))
            .group_by(messages.c.campaign_id)
        )
        for row in self.connection.execute(counted).all():
            values = dict(row._mapping)  # noqa: SLF001 - named so to keep clear of columns
            which = campaigns.c.id == values.pop("campaign_id")
            over = {"audience": row.total, "processed": row.sent + row.failed}
            self.connection.execute(update(campaigns).where(which).values(**values, **over))

    def what_is_told(self) -> None:
        """Webhooks, their deliveries, and replies."""
        tenant, many = {"tenant_id": self.house.tenant_id}, max(self.house.messages // 10, 10)
        for number in range(3):
            where = {"url": f"https://crm.example/{number}", "secret": "x", "events": []}
            row = {**tenant, **where, "created_at": self.at - 90 * _DAY_MS}
            self.connection.execute(insert(webhook_endpoints), row)
        self._fill(
            webhook_events,
            many,
            lambda n: {
                **tenant,
                "id": n + 1,
                "type": "message.delivered",
                "subject_id": n + 1,
                "payload": '{"type": "message.delivered"}',
                "created_at": self.at - (many - n) * 1000,
            },
        )
        self._fill(
            webhook_deliveries,
            many,
            lambda n: {
                "event_id": n + 1,
                "endpoint_id": n % 3 + 1,
                "status": case((n % 50 == 0, "failed"), else_="delivered"),
                "tries": n % 3 + 1,
                "http_status": case((n % 50 == 0, 500), else_=200),
            },
        )
        self._fill(
            inbound_messages,
            many // 10,
            lambda n: {
                **tenant,
                "account_id": self.account_id,
                "provider_message_id": _named("r", n),
                "phone": _phone(n),
                "number": "ACME",
                "text": "Thank you",
                "received_at": self.at - n * 1000,
            },
        )
        self._fill(
            receipts,
            many // 100,
            lambda n: {
                "account_id": self.account_id,
                "provider_message_id": _named("unknown", n),
                "reference": "",
                "delivery": "delivered",
                "received_at": self.at,
                "due_at": self.at + n * 1000,
            },
        )

    def history(self) -> None:
        """Imports with rows that were not taken, prices, and who changed what."""
        tenant, many = {"tenant_id": self.house.tenant_id}, max(self.house.messages // 20, 200)
        self._fill(
            imports,
            150,
            lambda n: {
                **tenant,
                "id": n + 1,
                "import_id": _named("import", n),
                "name": _named("people-", n),
                "imported": 1_000,
                "invalid": many // 10,
                "header": '["phone", "first_name"]',
                "actor": "user 1 (manager)",
                "created_at": self.at - n * _DAY_MS,
                "finished_at": self.at - n * _DAY_MS + 5_000,
            },
        )
        self._fill(
            import_rejects,
            many // 10,
            lambda n: {
                "import_id": 150,
                "row": n + 2,
                "position": 0,
                "column": "phone",
                "reason": "is too short",
                "cells": '["12", "Ana"]',
            },
        )
        self._fill(
            prices,
            200,
            lambda n: {**tenant, "prefix": cast(n + 100, Text), "price": 40_000, "currency": "EUR"},
        )
        self._fill(
            audit_log,
            many,
            lambda n: {
                **tenant,
                "actor": "user 1 (manager)",
                "action": _one_of(_ACTIONS, n),
                "subject": _named("campaign ", n % OTHERS),
                "detail": self._json('{"status": "', literal("sending"), '"}'),
                "at": self.at - (many - n) * 60_000,
            },
        )

    def _batches(
        self, campaign: int | None, count: int, size: int, more: Callable[[Number], Row]
    ) -> None:
        """Batches of a campaign, whose ids begin where the campaign says."""
        self._fill(
            batches,
            count,
            lambda b: {
                "id": b + _first_batch(campaign),
                "tenant_id": self.house.tenant_id,
                "account_id": self.account_id,
                "campaign_id": null() if campaign is None else campaign,
                "size": size,
                "created_at": self.at - 2 * _HOUR_MS,
                **more(b),
            },
        )

    def _messages(
        self,
        campaign: int | None,
        count: int,
        size: int,
        done: int,
        doubtful: int,
        *,
        gone: bool = False,
    ) -> None:
        """Messages of a campaign: those of its first batches are done, then come those in doubt.

        Of what is done one in fifty has failed, and of the rest nine in ten are delivered.
        """

        def row(n: Number) -> Row:
            batch = n // size
            failed = literal(value=True) if gone else (batch < done) & (n % 50 == 0)
            sent = (batch < done) & (n % 50 != 0)
            return {
                "tenant_id": self.house.tenant_id,
                "campaign_id": null() if campaign is None else campaign,
                "batch_id": batch + _first_batch(campaign),
                "contact_id": case((n < self.house.contacts, n + 1)),
                "phone": _phone(n),
                "merge_values": literal('{"first_name": "').concat(_one_of(_NAMES, n)).concat('"}'),
                "text": null() if campaign else "Your code is 1234.",
                "sender": null() if campaign else "ACME",
                "status": case((failed, "failed"), (sent, "sent"), else_="queued"),
                "reason": case((failed, "cancelled" if gone else _one_of(_REASONS, n // 50))),
                "delivery": case((sent & (n % 10 != 1), "delivered"), else_="none"),
                "in_doubt": (batch >= done) & (batch < doubtful) if not gone else literal(0) > 0,
                "created_at": self.at - 2 * _HOUR_MS,
                "sent_at": case((sent, self.at - _HOUR_MS)),
                "failed_at": case((failed, self.at - _HOUR_MS)),
                "delivered_at": case((sent & (n % 10 != 1), self.at - _HOUR_MS // 2)),
            }

        self._fill(messages, count, row)

    def _fill(self, table: Table, count: int, row: Callable[[Number], Row]) -> None:
        """Insert a row for each of the numbers from 0 to ``count`` - 1."""
        if count <= 0:
            return
        start = select(literal(0, BigInteger).label("n")).cte("numbers", recursive=True)
        numbers = start.union_all(select(start.c.n + 1).where(start.c.n < count - 1))
        values = row(numbers.c.n)
        columns = [
            value if isinstance(value, ColumnElement) else literal(value)
            for value in values.values()
        ]
        self.connection.execute(insert(table).from_select(list(values), select(*columns)))

    def _json(self, before: str, between: ColumnElement[str], after: str) -> ColumnElement[Any]:
        text = literal(before).concat(between).concat(after)
        return cast(text, Json) if is_postgres(self.connection) else text


def _first_batch(campaign: int | None) -> int:
    """Where a campaign's batches begin, far enough from the next one's."""
    return (1 if campaign is None else campaign + 1) * 65_536 * 64


def _at(began: int, row: Row, b: Number) -> Row:
    return {**row, "updated_at": b + began}


def _phone(n: Number) -> ColumnElement[str]:
    return literal("+3069").concat(cast(n + _FIRST_PHONE, Text))


def _named(what: str, n: Number) -> ColumnElement[str]:
    return literal(what).concat(cast(n, Text))


def _one_of(choices: tuple[str, ...], n: Number) -> ColumnElement[str]:
    return case(*((n % len(choices) == each, text) for each, text in enumerate(choices)))
