"""Fire at the API whatever its own description allows, and much that it does not.

    python -m tests.fire --seconds 300 --database sqlite|postgres

The requests are generated from ``/openapi.json``: half of the time with an admin's key, and half
with a tenant's, each at a `paceline api` of its own. The promises: no answer is a server error;
every answer from 400 on is a problem document; status, headers and body of every answer are as
described; what the description forbids is refused; nothing answers without a key; the log tells of
no bug; and the counters add up afterwards. Prints one JSON document and exits 1 if a promise is
broken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import queue
import random
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import schemathesis
import uvloop
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from paceline import telemetry
from tests.api.belongings import furnish
from tests.api.problem_documents import fault_of
from tests.api.serving import serving
from tests.crash import Installation, database

CHECKS = (
    "every_error_is_a_problem_document",
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "use_after_free",
)
ENDING_LIKE_AN_ID = (
    "GET /api/contacts/export",
    "POST /api/campaigns/preview",
    "POST /api/contacts/erase",
    "POST /api/contacts/import",
    "POST /api/contacts/person",
    "POST /api/segments/preview",
)
_PHONES = ["+447911123401", "+447911123411", "+447911123456", "07911 123457"]
_MOMENTS = [
    "2099-12-01T09:00:00Z",
    "2099-12-01T09:00",
    "0001-01-01T00:00",
    "9999-12-31T23:59:59-23:59",
]
WORDS = {
    "body.base_url": ["http://127.0.0.1:9", "http://xn--a/", "http://[]@"],
    "body.number": ["447400000001"],
    "body.phone": _PHONES,
    "body.phones[*]": _PHONES,
    "body.provider": ["infobip", "mitto", "simulator", "twilio"],
    "body.scheduled_at": _MOMENTS,
    "body.sender": ["acme"],
    "body.text": ["Hi {{first_name|there}}", "Your code is 1234"],
    "body.timezone": ["Europe/Athens", "America/New_York"],
    "body.to": _PHONES,
    "body.url": ["https://acme.example.com/"],
    "path.number": ["447400000001"],
    "path.phone": _PHONES,
}
"""Field → what gets further into the product than letters by chance."""
SECRET = "a secret under fire"


@schemathesis.check
def every_error_is_a_problem_document(
    _context: schemathesis.CheckContext,
    response: schemathesis.Response,
    _case: schemathesis.Case[Any],
) -> None:
    """Called by schemathesis for every answer."""
    headers = {name: value[0] for name, value in response.headers.items()}
    fault = fault_of(response.status_code, headers, response.content)
    assert fault is None, fault


@dataclass
class Fired:
    """What came of it; `broken` is empty when every promise held."""

    refused: set[str]
    """Operations that were never answered with a 2xx."""
    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    broken: dict[str, str] = field(default_factory=dict)
    """Which check and operation → what was wrong, and a command that shows it."""

    def take(self, event: object) -> None:
        """Count what one event of schemathesis tells."""
        if isinstance(event, events.ScenarioFinished):
            self._count(event.recorder)
        elif isinstance(event, events.NonFatalError):
            self.broken.setdefault(f"error: {event.label}", str(event.value))
        elif isinstance(event, events.FatalError):
            self.broken["error"] = repr(event.exception)

    def _count(self, recorder: Any) -> None:
        for case_id, interaction in recorder.interactions.items():
            self.requests += 1
            if interaction.response is None:
                self.broken.setdefault(f"no answer: {recorder.label}", str(interaction.request.uri))
                continue
            self.statuses[interaction.response.status_code] += 1
            if interaction.response.status_code < 300:
                self.refused.discard(recorder.cases[case_id].value.operation.label)
        for check in (each for checks in recorder.checks.values() for each in checks):
            if check.failure_info is not None:
                failure, command = check.failure_info.failure, check.failure_info.code_sample
                where = f"{check.name}: {failure.operation or recorder.label}"
                self.broken.setdefault(where, f"{failure}\n{command}")


def fire(
    base: str, key: str, *, seed: int, examples: int, deterministic: bool, **chosen: Any
) -> Fired:
    """Fire at a running API until all that was chosen is done.

    Args:
        base: its URL.
        key: whose requests they are.
        seed: of what is generated.
        examples: for each operation, beside those of the boundaries.
        deterministic: always the same requests, as long as the answers are the same.
        chosen: of schemathesis' configuration, beyond what is here.
    """
    config = SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "cache": {"enabled": False},
            "base-url": base,
            "request-timeout": 30,
            "max-stream-events": 1,
            "continue-on-failure": True,
            "auth": {"openapi": {"HTTPBearer": {"bearer": key}}},
            "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
            "dictionaries": {
                "ids": {"values": [1, 2, 3, 4, 5, 6]},
                **{field: {"values": words} for field, words in WORDS.items()},
            },
            "parameters": {field: {"dictionary": field, "probability": 0.8} for field in WORDS},
            "generation": {
                "max-examples": examples,
                "deterministic": deterministic,
                "no-shrink": True,
                "database": "none",
                "dictionaries": {"integer": {"dictionary": "ids", "probability": 0.5}},
            },
            # Where their paths end could be an id, of which other methods then speak.
            "operations": [
                {
                    "include-name": name,
                    "checks": {
                        "unsupported_method": {"enabled": False},
                        "allow_header_conformance": {"enabled": False},
                    },
                }
                for name in ENDING_LIKE_AN_ID
            ],
            **chosen,
        }
    )
    schema = schemathesis.openapi.from_url(f"{base}/openapi.json", config=config)
    paths = schema.raw_schema["paths"]
    fired = Fired({f"{method.upper()} {path}" for path in paths for method in paths[path]})
    for event in from_schema(schema).execute():
        fired.take(event)
    return fired


@contextlib.contextmanager
def in_a_thread(database_url: str, *, admin: bool, **environ: str) -> Iterator[tuple[str, str]]:
    """The API with some of everything, in a thread, as whoever fires waits for the answers.

    Gives its URL and the key of whoever has all that.
    """
    ready: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    over = threading.Event()

    async def serve() -> None:
        async with serving(database_url, **environ) as api:
            ready.put((api.base, await _furnished(api, admin=admin)))
            await asyncio.to_thread(over.wait)

    with ThreadPoolExecutor(1) as thread:
        # The loop that the product has; asyncio's own would cost each of these requests 40 ms.
        served = thread.submit(uvloop.run, serve())
        served.add_done_callback(lambda _: ready.put(("", "")))  # when there will be no other
        try:
            base, key = ready.get()
            if base:
                yield base, key
        finally:
            over.set()
        served.result()


async def _furnished(api: Any, *, admin: bool) -> str:
    for _ in range(8):  # keys to be revoked under fire, so that it is not the one that fires
        await api.caller("operator" if admin else "acme")
    operator = await api.caller("operator", admin=True)
    call = operator if admin else await api.caller("acme")
    for digit in (1, 2, 3):
        await furnish(call, operator, name=f"acme{digit}", digit=digit)
    return str(call.key)


def fire_at_a_process(
    database_url: str, home: Path, *, admin: bool, seconds: int, seed: int
) -> Fired:
    """Fire at a `paceline api` for some time, and look at what that leaves behind."""

    async def furnished() -> str:
        async with serving(database_url, PACELINE_SECRET=SECRET) as api:
            return await _furnished(api, admin=admin)

    key = asyncio.run(furnished())
    installation = Installation(
        home,
        database_url,
        "http://127.0.0.1:9",
        PACELINE_SECRET=SECRET,
        PACELINE_DEFAULT_COUNTRY="GB",
        PACELINE_LOG_FORMAT="json",
    )
    try:
        process = installation.start("api")
        limit = {"max-time": seconds}
        fired = fire(process.url, key, seed=seed, examples=50, deterministic=False, **limit)
        process.end()
    finally:
        installation.kill_all()
    lines = process.log.read_text().split("\n")  # whoever fires puts all other line ends into them
    logged = [json.loads(line) for line in lines if line.startswith("{")]
    errors = [each for each in logged if each.get("level") in {"error", "critical"}]
    if errors:
        fired.broken["log"] = str(errors[0])[:3000]
    audit = installation.run("audit")
    if audit.returncode:
        fired.broken["audit"] = audit.stdout + audit.stderr
    return fired


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fire", description=__doc__)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    chosen = parser.parse_args()
    telemetry.configure("error", "json", sys.stderr)
    report: dict[str, Any] = {"database": chosen.database, "seed": chosen.seed}
    for name, admin in (("admin", True), ("tenant", False)):
        print(f"firing with the key of {name}", file=sys.stderr)
        with (
            tempfile.TemporaryDirectory(prefix="paceline-fire-") as folder,
            database(chosen.database, Path(folder)) as url,
        ):
            fired = fire_at_a_process(
                url, Path(folder), admin=admin, seconds=chosen.seconds // 2, seed=chosen.seed
            )
        report[name] = {
            "requests": fired.requests,
            "statuses": dict(sorted(fired.statuses.items())),
            "never_2xx": sorted(fired.refused),
            "broken": fired.broken,
        }
    print(json.dumps(report, indent=2))
    return 1 if any(report[name]["broken"] for name in ("admin", "tenant")) else 0


if __name__ == "__main__":
    sys.exit(main())
