"""Structured logs: one line for each event, on stderr, with secrets and numbers masked.

An event is a few words in snake_case and its facts are keywords:
`log.info("batch_sent", batch_id=7, accepted=500)`. What libraries log through `logging` comes out
the same way, as the event `library_message`.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

MASK = "***"

_SECRET_KEY = re.compile("key|token|secret|password|authorization", re.IGNORECASE)
_ID_KEY = re.compile(r"(?:^|_)(?:ids?|reference)$")
_PHONE = re.compile(
    r"""(?P<id>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b)  # a UUID, which stays
      | \+[0-9](?:[ ().-]{0,2}[0-9]){7,}                         # +44 7911 123456
      | (?<![0-9A-Za-z])[0-9]{10,15}(?![0-9A-Za-z])              # 447911123456
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SECRETS_IN_TEXT = (
    (re.compile(r"(://[^:/@\s]*:)[^@\s]+(?=@)"), rf"\1{MASK}"),  # the password in a URL
    (re.compile(r"\b(bearer|basic)\s+[^\s\"',;]+", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"(/webhooks/[^/\s]+/|/u/|/sign-in/)[^/\s?\"']+"), rf"\1{MASK}"),
    (
        re.compile(
            r"""((?:key|token|secret|password|authorization)["']?\s*[=:]\s*["']?)[^\s"',;&)}]+""",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
)


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose lines carry `component=name`."""
    logger: FilteringBoundLogger = structlog.get_logger(component=name)
    return logger


def configure(level: str, format: str, stream: TextIO | None = None) -> None:  # noqa: A002
    """Sends every log of this process to `stream` (stderr) as `console` or `json` lines.

    Args:
        level: debug, info, warning or error. Libraries' own debug lines are never shown.
        format: console, json, or auto: console on a terminal, else json.
        stream: where to.
    """
    stream = sys.stderr if stream is None else stream
    console = format == "console" or (format == "auto" and stream.isatty())
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            mask,
            _console_renderer(colors=stream.isatty()) if console else _render_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,  # or a later `configure` would not reach old loggers
    )
    lines = _Lines(stream)
    _redirect_libraries(max(threshold, logging.INFO))


def mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The structlog processor that hides secrets and telephone numbers.

    A value under a name like `api_key` or `token` is hidden whole. In all other text, numbers of
    10 to 15 digits, or 8 and more after a plus, lose all but their last two digits; ids and
    integers stay.
    """
    return {name: _masked(name, value) for name, value in event.items()}


def _masked(name: str, value: Any) -> Any:
    """Plain JSON data without secrets: what is no plain data becomes text and is searched too."""
    if value is None or isinstance(value, bool):
        return value
    if _SECRET_KEY.search(name):
        return MASK
    if isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return {_masked_text("", str(key)): _masked(str(key), each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(name, each) for each in value]
    return _masked_text(name, str(value))


def _masked_text(name: str, text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair is no UTF-8
    for pattern, replacement in _SECRETS_IN_TEXT:
        text = pattern.sub(replacement, text)
    return text if _ID_KEY.search(name) else _PHONE.sub(_last_digits, text)


def _last_digits(match: re.Match[str]) -> str:
    return match[0] if match["id"] else MASK + match[0][-2:]


def _render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    leading = {name: event.pop(name) for name in ("timestamp", "level", "event")}
    return msgspec.json.encode({**leading, **event}).decode()


def _console_renderer(*, colors: bool) -> Processor:
    # The default would print the local variables of every frame, secrets among them.
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)


class _Lines:
    """Writes whole lines from any thread.

    A closed pipe or a full disk loses the line and nothing else: logging must never decide what
    becomes of a message.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._one_at_a_time = threading.Lock()

    def write(self, line: str) -> None:
        with self._one_at_a_time, contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{line}\n")
            self._stream.flush()

    debug = info = warning = error = critical = msg = write


class _Redirect(logging.Handler):
    """Hands what a library logs to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        get_logger(record.name).log(
            record.levelno, "library_message", message=_text(record), exc_info=record.exc_info
        )


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  arguments that do not fit must not take the line with them
        return str(record.msg)


def _redirect_libraries(level: int) -> None:
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _Redirect):
            root.removeHandler(handler)
    root.addHandler(_Redirect())
    root.setLevel(level)
