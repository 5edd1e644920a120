"""Every setting, declared once: its variable, what it may be, its default and what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from paceline.settings.kinds import (
    ACCOUNT_ID,
    COUNTRY,
    DATABASE,
    DIRECTORY,
    FLAG,
    HOST,
    SENDER,
    WEB_ADDRESS,
    Kind,
    choice,
    matching,
    secret_text,
    whole,
)

_A_DAY = 86_400_000
_WORDS = matching(r"\s*\w[^,]*(,\s*\w[^,]*)*", "words with commas between them")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with one variable, named as the user set it."""

    name: str
    wrong: str
    allowed: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.wrong}" + (f"; allowed: {self.allowed}" if self.allowed else "")


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable."""

    group: str
    name: str
    kind: Kind
    default: str | None
    """As a user would write it; None: not set."""
    purpose: str
    also: str | None = None
    """A second well-known spelling."""

    @property
    def spellings(self) -> tuple[str, ...]:
        return (self.name,) if self.also is None else (self.name, self.also)


def _group(title: str) -> Callable[..., Any]:
    def setting(
        name: str, kind: Kind, default: str | None, purpose: str, also: str | None = None
    ) -> Any:
        # Hidden from `repr`, because settings end up in tracebacks, and those in logs.
        return field(
            repr=not kind.secret,
            metadata={"variable": Variable(title, name, kind, default, purpose, also)},
        )

    return setting


_server = _group("Server and data")
_sending = _group("Sending")
_limits = _group("Limits")
_mitto = _group("Mitto")
_messages = _group("Messages and contacts")
_logs = _group("Logs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment says, parsed and checked. Made by `load`."""

    data_dir: Path = _server(  # noqa: RUF009  it returns a dataclass field
        "PACELINE_DATA_DIR",
        DIRECTORY,
        "data",
        "Where the SQLite database lives. A relative path starts at the working directory.",
    )
    database_url: str = _server(
        "DATABASE_URL",
        DATABASE,
        "sqlite:///{PACELINE_DATA_DIR}/paceline.db",
        "The database. `postgres://` and what Node systems add to it (`?schema=public`) are "
        "understood; `?host=/directory` names a socket.",
    )
    host: str = _server(
        "PACELINE_HOST",
        HOST,
        "127.0.0.1",
        "The address to listen on. `0.0.0.0` opens the server to the network.",
    )
    port: int = _server(
        "PACELINE_PORT",
        whole(0, 65535),
        "8080",
        "The port to listen on; 0 takes any that is free.",
    )
    worker_port: int | None = _server(
        "PACELINE_WORKER_PORT",
        whole(0, 65535),
        None,
        "The port where `paceline worker` answers /healthz, /readyz and /metrics; not set: none. "
        "Other processes answer them at `PACELINE_PORT`.",
    )
    public_url: str | None = _server(
        "PACELINE_PUBLIC_URL",
        WEB_ADDRESS,
        None,
        "Where providers and people reach the server: the start of webhook addresses and links.",
    )
    secret: str | None = _server(
        "PACELINE_SECRET",
        secret_text(minimum=16),
        None,
        "Seals the credentials of providers in the database, and signs links: random, and the same "
        "for every process. Not set: the file `secret.key`, made in `PACELINE_DATA_DIR`.",
    )
    secret_old: str | None = _server(
        "PACELINE_SECRET_OLD",
        secret_text(minimum=16),
        None,
        "The secret before, while credentials are sealed anew: `paceline account reseal`.",
    )
    webhook_secret: str | None = _server(
        "WEBHOOK_SECRET",
        secret_text(minimum=1),
        None,
        "Proves that a delivery receipt comes from the provider.",
    )
    webhook_allow_private: bool = _server(
        "PACELINE_WEBHOOK_ALLOW_PRIVATE",
        FLAG,
        "false",
        "For development: lets tenants' webhook endpoints be in private networks and on plain "
        "HTTP. Elsewhere it would let them reach whatever this machine can.",
    )

    queue_attempts: int = _sending(
        "QUEUE_ATTEMPTS",
        whole(1, 20),
        "5",
        "How often a batch is tried in all before its messages fail.",
    )
    queue_backoff_ms: int = _sending(
        "QUEUE_BACKOFF_MS",
        whole(1, _A_DAY, "milliseconds"),
        "3000",
        "The wait after the first failed try; it doubles after each further one.",
    )
    sms_batch_size: int = _sending(
        "SMS_BATCH_SIZE",
        whole(1, 5000),
        "500",
        "How many messages go to the provider in one request.",
    )
    worker_concurrency: int = _sending(
        "WORKER_CONCURRENCY",
        whole(1, 256),
        "5",
        "How many batches one worker has in hand at a time.",
    )
    provider_timeout_ms: int = _sending(
        "PROVIDER_TIMEOUT_MS",
        whole(1, 600_000, "milliseconds"),
        "30000",
        "How long to wait for the provider's answer.",
    )
    lease_slack_ms: int = _sending(
        "PACELINE_LEASE_SLACK_MS",
        whole(1, 600_000, "milliseconds"),
        "10000",
        "How long after that timeout a silent worker is taken for dead.",
    )
    unconfirmed_policy: str = _sending(
        "UNCONFIRMED_POLICY",
        choice("hold", "resend"),
        "hold",
        "What becomes of a message that may or may not have been accepted: `hold` waits for a "
        "receipt or your decision, `resend` risks sending it twice.",
    )
    confirm_window_ms: int = _sending(
        "CONFIRM_WINDOW_MS",
        whole(1, _A_DAY, "milliseconds"),
        "60000",
        "How long to let the provider settle before asking it what became of such a message.",
    )

    rate_limit_strategy: str = _limits(
        "RATE_LIMIT_STRATEGY",
        choice("pace", "backoff"),
        "pace",
        "`pace` waits until a request is allowed; `backoff` counts a denied one as a failed try.",
    )
    rate_limit_tenant_max: int = _limits(
        "RATE_LIMIT_TENANT_MAX",
        whole(1, 1_000_000),
        "50",
        "Requests to providers that one tenant may cause in its window.",
    )
    rate_limit_tenant_window_ms: int = _limits(
        "RATE_LIMIT_TENANT_WINDOW_MS",
        whole(1, _A_DAY, "milliseconds"),
        "1000",
        "The length of a tenant's window.",
    )
    rate_limit_traffic_account_max: int = _limits(
        "RATE_LIMIT_TRAFFIC_ACCOUNT_MAX",
        whole(1, 1_000_000),
        "100",
        "Requests that one traffic account may see in its window.",
    )
    rate_limit_traffic_account_window_ms: int = _limits(
        "RATE_LIMIT_TRAFFIC_ACCOUNT_WINDOW_MS",
        whole(1, _A_DAY, "milliseconds"),
        "1000",
        "The length of a traffic account's window.",
    )
    rate_limit_margin_ms: int = _limits(
        "RATE_LIMIT_MARGIN_MS",
        whole(10, 60_000, "milliseconds"),
        "50",
        "Widens both windows, so that a varying network delay cannot break a limit. A request "
        "that is not on its way within half of it, from when its permit counts, gives that up.",
    )
    rate_limit_retry_enabled: bool = _limits(
        "RATE_LIMIT_RETRY_ENABLED",
        FLAG,
        "true",
        "Under `backoff`: whether a denied batch is tried again or fails at once.",
    )

    api_rate_max: int = _limits(
        "PACELINE_API_RATE_MAX",
        whole(0, 1_000_000),
        "6000",
        "API requests that one key may make in the window below, and as many reads beside them. "
        "Each process counts for itself; 0: any number.",
    )
    api_rate_window_ms: int = _limits(
        "PACELINE_API_RATE_WINDOW_MS",
        whole(1, _A_DAY, "milliseconds"),
        "60000",
        "The length of that window.",
    )

    mitto_api_base: str = _mitto(
        "MITTO_API_BASE",
        WEB_ADDRESS,
        "https://messaging.mittoapi.com",
        "Where Mitto's API is.",
    )
    mitto_api_key: str | None = _mitto(
        "MITTO_API_KEY",
        secret_text(minimum=1),
        None,
        "The key of your Mitto account. With it and the id below, a traffic account exists "
        "after start, without further set-up.",
    )
    mitto_traffic_account_id: str | None = _mitto(
        "SMS_TRAFFIC_ACCOUNT_ID",
        ACCOUNT_ID,
        None,
        "The id of your Mitto traffic account.",
        also="MITTO_TRAFFIC_ACCOUNT_ID",
    )
    mitto_sender: str | None = _mitto(
        "MITTO_SENDER",
        SENDER,
        None,
        "Who messages come from unless a campaign says otherwise.",
    )

    default_country: str | None = _messages(
        "PACELINE_DEFAULT_COUNTRY",
        COUNTRY,
        None,
        "The country of telephone numbers that are imported without a country code.",
    )
    max_parts: int = _messages(
        "PACELINE_MAX_PARTS",
        whole(1, 255),
        "10",
        "The most parts that one text may have; a longer one is refused.",
    )

    stop_words: str = _messages(
        "PACELINE_STOP_WORDS",
        _WORDS,
        "STOP,UNSUBSCRIBE,END,QUIT,STOPALL,REVOKE,OPTOUT,CANCEL,ΣΤΟΠ,ARRET,STOPP,BAJA,СТОП",
        "Replies that suppress the number they come from. Case, accents, spaces and punctuation do "
        "not count.",
    )
    start_words: str = _messages(
        "PACELINE_START_WORDS",
        _WORDS,
        "START,UNSTOP,YES",
        "Replies that end what such a reply began.",
    )
    help_words: str = _messages(
        "PACELINE_HELP_WORDS",
        _WORDS,
        "HELP,INFO",
        "Replies that are answered with the tenant's help text.",
    )

    log_level: str = _logs(
        "PACELINE_LOG_LEVEL",
        choice("debug", "info", "warning", "error"),
        "info",
        "The least serious events that are logged.",
    )
    log_format: str = _logs(
        "PACELINE_LOG_FORMAT",
        choice("auto", "console", "json"),
        "auto",
        "How events are written to stderr; `auto` is `console` on a terminal, else `json`.",
    )

    warnings: tuple[Problem, ...] = ()
    """What is odd about the environment but stops nothing; worth a line in the log."""


VARIABLES: dict[str, Variable] = {
    each.name: each.metadata["variable"] for each in fields(Settings) if each.metadata
}
"""By the name of the field in `Settings`, in the order of the reference."""
