"""An installation that is worth looking at: a shop's campaigns, people and settings.

Everything comes about in the way that it always does: files are imported, campaigns sent to a
provider simulator, receipts and webhooks received. Afterwards what is over is moved into the past,
since nobody wants to wait a week for a picture.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select, update

from benchmarks.processes import Client, served, simulator
from paceline.domain.role import Role
from paceline.engine.signing_in import hashed
from paceline.settings import Settings, load, sqlalchemy_url
from paceline.storage import accounts, tenants, users
from paceline.storage.database import Database, now
from paceline.storage.schema import attempts, batches, campaigns, imports, messages

TENANT = "Harbour Coffee"
PEOPLE = Path(__file__).parents[2] / "src" / "paceline" / "cli" / "demo_contacts.csv"
STAFF = {
    "eleni": Role.ADMIN,
    "maria": Role.MANAGER,
    "nikos": Role.SENDER,
    "priya": Role.SENDER,
    "sam": Role.VIEWER,
}
PRICES = """prefix,price,currency
1,0.0079,EUR
30,0.0480,EUR
351,0.0350,EUR
44,0.0390,EUR
47,0.0510,EUR
"""
SENT = "Hello {{first_name|there}}, "
PATIENCE_S = 120.0
MINUTE_MS, DAY_MS = 60_000, 86_400_000


@dataclass
class Showcase:
    """The running installation."""

    url: str
    database: Database
    settings: Settings
    tenant_id: int
    examples: Mapping[str, Mapping[str, str]]
    """What stands before an id in an address → what an example is called → its id."""
    queries: Mapping[str, str]
    """Address → what is asked of it, where it shows more then."""

    def link(self) -> str:
        secret = self.database.write_now(users.make_link, self.tenant_id, Role.ADMIN)
        return f"{self.url}/sign-in/{secret}"


@contextmanager
def running(home: Path) -> Iterator[Showcase]:
    """Set it up and keep it going; one campaign is being sent all the time.

    Args:
        home: a folder for the database.
    """
    with simulator() as provider_url, receiver() as hook, Client(provider_url) as provider:
        environ = {
            "DATABASE_URL": f"sqlite:///{home}/paceline.db",
            "PACELINE_DATA_DIR": str(home),
            "PACELINE_LOG_LEVEL": "error",
            "PACELINE_SECRET": "the secret of a showcase",
            "PACELINE_WEBHOOK_ALLOW_PRIVATE": "true",
            "SMS_BATCH_SIZE": "10",
            "MITTO_API_BASE": provider_url,
            "MITTO_API_KEY": "showcase",
            "SMS_TRAFFIC_ACCOUNT_ID": "harbour-1",
            "MITTO_SENDER": "Harbour",
        }
        with served(environ) as (url, _):
            settings = load(environ)
            database = Database(sqlalchemy_url(settings.database_url))
            tenant_id = database.write_now(people_who_sign_in)
            _, key = database.write_now(tenants.create_key, tenant_id, name="back office")
            with Client(url, key) as api:
                examples = furnished(api, provider, database, url, hook)
            queries = {"/messages": f"?campaign={examples['/campaigns/']['completed']}"}
            yield Showcase(url, database, settings, tenant_id, examples, queries)
            database.close()


def password_of(login: str) -> str:
    return f"the password of {login}"


def people_who_sign_in(connection: Connection) -> int:
    tenant_id = tenants.keep(connection, TENANT).id
    tenants.change(connection, tenant_id, {"timezone": "Europe/Athens", "daily_cap": 50_000})
    for login, role in STAFF.items():
        password = hashed(password_of(login))
        row = users.add(connection, tenant_id, login=login, password=password, role=role)
        seen = {"last_seen_at": now(connection) - row.id * 47 * MINUTE_MS}
        users.change(connection, tenant_id, row.id, seen)
    return int(tenant_id)


def furnished(
    api: Client, provider: Client, database: Database, url: str, hook: str
) -> dict[str, dict[str, str]]:
    """Let everything happen; what there is to look at."""
    provider.call("PATCH", "/control", json.dumps(receipts_to(database, url)).encode(), JSON)
    api.post(
        "/api/webhooks/endpoints",
        {"url": hook, "events": ["campaign.completed", "campaign.started"]},
    )
    lists, file = contacts(api)
    filters = {
        "Athens, quiet for a month": 'city is "Athens" and last message more than 30 days ago',
        "Lisbon and Oslo": 'city is "Lisbon" or city is "Oslo"',
        "Members named Maria": f'first_name is "Maria" and in list {lists[0]}',
    }
    segments = [
        api.post("/api/segments", {"name": name, "filter": written})["id"]
        for name, written in filters.items()
    ]
    api.call("PUT", "/api/prices", PRICES.encode(), "text/csv")
    keys(api)
    sale = completed(
        api, provider, "Autumn sale", "20% off all beans until Sunday.", reject_share=0.03
    )
    points = completed(api, provider, "Loyalty points", "your points expire on Friday.", lists[0])
    doubtful = in_doubt(api, provider, lists[1])
    weekend = completed(api, provider, "Weekend offer", "two coffees for one on Saturday.")
    paused = draft(api, "Customer survey", "how was your last visit? Answer 1 to 5.", lists[3])
    api.post(f"/api/campaigns/{paused}/enqueue")
    until(api, paused, lambda told: told["metrics"]["sent"] > 30)
    api.post(f"/api/campaigns/{paused}/pause")
    replies = ["+12015550103", "+12015550118", "+12015550142", "+12025550107"]
    api.post("/api/suppressions", {"phones": replies[:3], "reason": "replied STOP"})
    api.post("/api/suppressions", {"phones": replies[3:], "reason": "asked by phone"})
    scheduled = [
        later(api, "Name day greetings", "all the best from your baristas!", lists[2], 1),
        later(api, "Christmas market", "find us at the harbour from Friday on.", lists[0], 9),
    ]
    new = draft(
        api, "New Year brunch", "book your table for January 1st: harbour.example/b", lists[1]
    )
    ago = {sale: 6 * DAY_MS, points: 2 * DAY_MS, doubtful: DAY_MS // 8, paused: DAY_MS}
    database.write_now(move_into_the_past, ago, weekend)
    sending = draft(api, "Christmas opening hours", "we are open until 22:00 until the 23rd.")
    database.write_now(slow_down)
    api.post(f"/api/campaigns/{sending}/enqueue")
    until(api, sending, lambda told: told["metrics"]["sent"] > 200)
    failed = api.get(f"/api/campaigns/{sale}/messages?status=failed&limit=1")["data"][0]["id"]
    sent = api.get(f"/api/campaigns/{sale}/messages?status=sent&limit=1")["data"][0]["id"]
    person = api.get("/api/contacts?limit=1")["data"][0]["id"]
    return {
        "/campaigns/": {
            "sending": str(sending),
            "completed": str(sale),
            "unconfirmed": str(doubtful),
            "paused": str(paused),
            "scheduled": str(scheduled[0]),
            "draft": str(new),
        },
        "/messages/": {"sent": str(sent), "failed": str(failed)},
        "/contacts/": {"one": str(person)},
        "/contacts/lists/": {"one": str(lists[0])},
        "/contacts/segments/": {"one": str(segments[0])},
        "/contacts/imports/": {"one": str(file)},
        "/settings/webhooks/": {"one": "1"},
        "/settings/keys/": {"one": "2"},
    }


def contacts(api: Client) -> tuple[list[int], int]:
    """Import everybody, with some rows that cannot be used; the lists, and the import's id."""
    rows = PEOPLE.read_text(encoding="utf-8").splitlines()
    upload(api, "all-customers.csv", "\n".join(rows[:6000]))
    names = ("Loyalty members", "Newsletter", "Athens shops", "Survey panel")
    lists = [int(api.post("/api/lists", {"name": each})["id"]) for each in names]
    upload(api, "loyalty-members.csv", "\n".join([rows[0], *rows[1:1500]]), lists[0])
    upload(api, "newsletter-sign-ups.csv", "\n".join([rows[0], *rows[1500:2300]]), lists[1])
    athens = [each for each in rows[1:] if each.endswith("Athens")]
    upload(api, "athens-shops.csv", "\n".join([rows[0], *athens[:600]]), lists[2])
    upload(api, "survey-panel.csv", "\n".join([rows[0], *rows[3000:3400]]), lists[3])
    return lists, int(api.get("/api/imports?limit=10")["data"][-1]["id"])


def upload(api: Client, name: str, text: str, list_id: int | None = None) -> None:
    """As a browser would, with the name of the file."""
    mark = "showcase-boundary"
    head = (
        f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: text/csv'
    )
    body = f"--{mark}\r\n{head}\r\n\r\n{text}\n\r\n--{mark}--\r\n".encode()
    into = f"?list_id={list_id}" if list_id else ""
    api.call("POST", f"/api/contacts/import{into}", body, f"multipart/form-data; boundary={mark}")


def keys(api: Client) -> None:
    api.post("/api/keys", {"name": "web shop", "scopes": ["send"]})
    api.post("/api/keys", {"name": "CRM", "scopes": ["read", "manage"]})
    api.post("/api/keys", {"name": "staging", "test": True})


def draft(api: Client, name: str, text: str, list_id: int | None = None) -> int:
    given = {"name": name, "text": SENT + text, "list_id": list_id}
    return int(api.post("/api/campaigns", given)["id"])


def slow_down(connection: Connection) -> None:
    """So that somebody can look at a campaign while it is sent."""
    tenant, account = tenants.keep(connection, TENANT), accounts.by_name(connection, "mitto")
    assert account is not None
    tenants.change(connection, tenant.id, {"rate_max": 5, "rate_window_ms": 5000})
    accounts.change(connection, account.id, {"rate_max": 2, "rate_window_ms": 1000})


def later(api: Client, name: str, text: str, list_id: int, days: int) -> int:
    campaign_id = draft(api, name, text, list_id)
    at = (datetime.now(UTC) + timedelta(days=days)).replace(hour=9, minute=0, second=0)
    when = {"scheduled_at": at.strftime("%Y-%m-%dT%H:%M:%S"), "timezone": "Europe/Athens"}
    api.post(f"/api/campaigns/{campaign_id}/schedule", when)
    return campaign_id


def completed(
    api: Client, provider: Client, name: str, text: str, list_id: int | None = None, **controls: Any
) -> int:
    """A campaign that was sent while the provider did as told, and its receipts."""
    provider.call("PATCH", "/control", json.dumps(controls).encode(), JSON)
    campaign_id = draft(api, name, text, list_id)
    api.post(f"/api/campaigns/{campaign_id}/enqueue")
    until(api, campaign_id, lambda told: told["campaign"]["status"] == "completed")
    until(
        api, campaign_id, lambda told: told["metrics"]["delivered"] > told["metrics"]["sent"] * 0.9
    )
    provider.call("PATCH", "/control", json.dumps({"reject_share": 0}).encode(), JSON)
    return campaign_id


def in_doubt(api: Client, provider: Client, list_id: int) -> int:
    """A campaign of which two calls were not answered."""
    script = {"next": ["ok", "ok", "drop_after", "ok", "drop_after"]}
    provider.call("PATCH", "/control", json.dumps(script).encode(), JSON)
    campaign_id = draft(api, "Flash sale", "today only: 30% off every grinder.", list_id)
    api.post(f"/api/campaigns/{campaign_id}/enqueue")

    def settled(told: Any) -> bool:
        metrics = told["metrics"]
        return bool(metrics["unconfirmed"] and metrics["queued"] == metrics["unconfirmed"])

    until(api, campaign_id, settled)
    return campaign_id


def until(api: Client, campaign_id: int, holds: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds(told := api.get(f"/api/campaigns/{campaign_id}/status")):
        if time.monotonic() > deadline:
            raise SystemExit(f"showcase: campaign {campaign_id} does not go on: {told}")
        time.sleep(0.1)


def receipts_to(database: Database, url: str) -> dict[str, Any]:
    """Where the provider posts receipts."""
    token = database.read_now(lambda c: c.exec_driver_sql(_TOKEN).scalar_one())
    where = f"{url}/webhooks/mitto/{token}/dlr"
    return {"receipts": {"url": where, "delay_ms": 50, "fail_share": 0.02, "shuffle": True}}


def move_into_the_past(
    connection: Connection, ago: Mapping[int, int], within_the_hour: int
) -> None:
    """What happened to campaigns was so many milliseconds ago; one has taken most of the last hour;
    files came weeks ago.
    """
    for campaign_id, by_ms in ago.items():
        _shift(connection, campaign_id, by_ms)
    at = now(connection)
    which = attempts.c.campaign_id == within_the_hour
    ids = (
        connection.execute(select(attempts.c.id).where(which).order_by(attempts.c.id))
        .scalars()
        .all()
    )
    for number, attempt_id in enumerate(ids):
        share = number / len(ids)
        started = at - round((55 - 48 * (share + 0.08 * math.sin(9 * share))) * MINUTE_MS)
        moved = {"started_at": started, "send_by": started + 25, "finished_at": started + 80}
        connection.execute(update(attempts).where(attempts.c.id == attempt_id).values(**moved))
    begun = {"created_at": at - 70 * MINUTE_MS, "started_at": at - 58 * MINUTE_MS}
    connection.execute(update(campaigns).where(campaigns.c.id == within_the_hour).values(**begun))
    connection.execute(
        update(imports).values(
            created_at=imports.c.created_at - (6 - imports.c.id) * 3 * DAY_MS,
            finished_at=imports.c.finished_at - (6 - imports.c.id) * 3 * DAY_MS,
        )
    )


def _shift(connection: Connection, campaign_id: int, by_ms: int) -> None:
    for table in (campaigns, batches, messages, attempts):
        moments = [each for each in table.c if each.name.endswith("_at") and each.name != "due_at"]
        its = table.c.id if table is campaigns else table.c.campaign_id
        earlier = {each.name: each - by_ms for each in moments}
        connection.execute(update(table).where(its == campaign_id).values(**earlier))


@contextmanager
def receiver() -> Iterator[str]:
    """Takes webhooks, as somebody's CRM would; gives its address."""

    class Takes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """It says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Takes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/paceline"
    finally:
        server.shutdown()


JSON = "application/json"
_TOKEN = "SELECT webhook_token FROM traffic_accounts ORDER BY id LIMIT 1"
