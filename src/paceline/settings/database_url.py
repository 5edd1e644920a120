"""`DATABASE_URL` as people have it, turned into what SQLAlchemy needs.

Accepted are `sqlite:///relative`, `sqlite:////absolute` and libpq's own `postgres://` and
`postgresql://` with several hosts, a socket directory (`?host=/dir`), and the parameters that
Node systems add for Prisma or node-postgres.
"""

from __future__ import annotations

import difflib
import re
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

MASK = "********"

_LIBPQ = frozenset(
    """application_name channel_binding client_encoding connect_timeout fallback_application_name
    gssdelegation gssencmode gsslib host hostaddr keepalives keepalives_count keepalives_idle
    keepalives_interval krbsrvname load_balance_hosts max_protocol_version min_protocol_version
    options passfile password port require_auth requirepeer service ssl_max_protocol_version
    ssl_min_protocol_version sslcert sslcertmode sslcompression sslcrl sslcrldir sslkey
    sslmode sslnegotiation sslpassword sslrootcert sslsni target_session_attrs tcp_user_timeout
    user""".split()  # noqa: SIM905  one name a line would fill a screen
)
_SECRET = frozenset({"password", "sslpassword"})


class _Postgres(NamedTuple):
    user: str | None
    password: str | None
    hosts: tuple[str, ...]
    """Each `name`, `name:port` or `[address]:port`; none at all means libpq's default."""
    database: str
    parameters: dict[str, str]


def check_database_url(url: str) -> None:
    """Raises ValueError, its text without any password, if `url` cannot be a database."""
    sqlalchemy_url(url)


def sqlalchemy_url(url: str) -> str:
    """What `create_engine` takes: `sqlite:///…` or `postgresql+psycopg://…`.

    A Prisma `schema` other than public becomes the search path. Parameters that libpq does not
    know are dropped, unless they look like a misspelt one of libpq's.

    Raises:
        ValueError: with a clause that can follow the variable's name.
    """
    if url.startswith("sqlite:"):
        return f"sqlite:///{quote(sqlite_path(url))}"
    address = _parse_postgres(url)
    parameters = _libpq_parameters(address.parameters)
    host = address.hosts[0] if len(address.hosts) == 1 else ""
    several = [("host", each) for each in address.hosts] if len(address.hosts) > 1 else []
    query = urlencode([*several, *parameters.items()], quote_via=quote)
    return (
        f"postgresql+psycopg://{_credentials(address, address.password)}{host}"
        f"/{quote(address.database, safe='')}{query and f'?{query}'}"
    )


def masked_database_url(url: str) -> str:
    """The same URL with the passwords hidden, fit for logs and for `config show`."""
    if url.startswith("sqlite:"):
        return url
    try:
        address = _parse_postgres(url)
    except ValueError:
        return MASK
    hidden = None if address.password is None else MASK
    query = "&".join(
        f"{name}={MASK if name in _SECRET else quote(value, safe='/,:')}"
        for name, value in address.parameters.items()
    )
    return (
        f"postgresql://{_credentials(address, hidden)}{','.join(address.hosts)}"
        f"/{quote(address.database)}{query and f'?{query}'}"
    )


def sqlite_path(url: str) -> str:
    """The file of an SQLite URL, relative to the working directory unless it begins with `/`."""
    if not url.startswith("sqlite:///"):
        raise ValueError("needs three slashes before a path, or four for an absolute one")
    path, question_mark, _ = url.removeprefix("sqlite:///").partition("?")
    if question_mark:
        raise ValueError("has parameters, which an SQLite file does not take")
    if path in {"", ":memory:"} or path.endswith("/"):
        raise ValueError("names no file: campaigns must outlive the process")
    return unquote(path)


def _parse_postgres(url: str) -> _Postgres:
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in {"postgres", "postgresql"}:
        raise ValueError("is not the URL of an SQLite or PostgreSQL database")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("has a host that cannot be read") from None
    if "#" in url or "@" in parts.path + parts.query:
        raise ValueError(
            "has a /, ? or # in its password: write %2F, %3F or %23 for it (and %40 for an @ "
            "behind the host)"
        )
    credentials, at_sign, hosts = parts.netloc.rpartition("@")
    user, colon, password = credentials.partition(":")
    several = hosts.split(",") if hosts else []
    if len(several) > 1 and "[" in hosts:
        # SQLAlchemy takes the part before the first colon for the host.
        raise ValueError("has several hosts, one as an IPv6 address: write its name instead")
    return _Postgres(
        user=unquote(user) if at_sign else None,
        password=unquote(password) if colon else None,
        hosts=tuple(_host(each) for each in several),
        database=unquote(parts.path.removeprefix("/")),
        parameters=dict(parse_qsl(parts.query)),
    )


def _host(text: str) -> str:
    host = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:\s]+)(?::([0-9]{1,5}))?", text)
    if host is None or not 0 < int(host[2] or 5432) < 65536:  # noqa: PLR2004  the last TCP port
        # The text is not repeated: after a slip it may be half of the password.
        raise ValueError("has a host or port that cannot be read")
    return text


def _credentials(address: _Postgres, password: str | None) -> str:
    if address.user is None:
        return ""
    shown = "" if password is None else f":{quote(password, safe='*')}"
    return f"{quote(address.user, safe='')}{shown}@"


def _libpq_parameters(parameters: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in parameters.items() if name in _LIBPQ}
    for name in parameters.keys() - _LIBPQ - {"schema", "ssl"}:
        # Dropping a misspelt `sslmode` would silently drop the encryption.
        if close := difflib.get_close_matches(name, _LIBPQ, n=1, cutoff=0.85):
            raise ValueError(f'has an unknown parameter "{name}"; did you mean "{close[0]}"?')
    schema = parameters.get("schema", "public")
    if schema != "public":
        kept["options"] = f"{kept.get('options', '')} {_search_path(schema)}".strip()
    if parameters.get("ssl") in {"true", "1"}:  # as libpq reads it in URLs made for Java and Node
        kept.setdefault("sslmode", "require")
    if kept.get("sslmode") == "no-verify":  # node-postgres's name for what libpq calls require
        kept["sslmode"] = "require"
    return kept


def _search_path(schema: str) -> str:
    identifier = '"' + schema.replace('"', '""') + '"'
    return "-csearch_path=" + re.sub(r"([\\\s])", r"\\\1", identifier)
