"""Logging to standard error: JSON for machines, lines for people, and never a secret in either."""

import contextvars
import itertools
import logging
import re
import secrets
import sys
from collections.abc import Mapping
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED: Final = "[redacted]"
_SECRET_NAME: Final = re.compile(
    r"passphrase|passw|secret|token|private|credential|authorization|hmac|mac_key|api_key|cookie",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = re.compile(
    r"certctl_[A-Za-z0-9_-]{20,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)",
    re.DOTALL,
)
_DEEPEST: Final = 8

_request_number: contextvars.ContextVar[int] = contextvars.ContextVar("request_number", default=0)
_numbers: Final = itertools.count(1)
_process: Final = secrets.token_hex(4)


def begin_request() -> None:
    """Give what is logged from here on, in this task and those it starts, an id of its own."""
    _request_number.set(next(_numbers))


def request_id() -> str | None:
    """The id of the request that this task serves, if it serves one."""
    number = _request_number.get()
    return f"{_process}-{number:x}" if number else None


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take out what bears a secret's name, and what looks like one wherever it stands."""
    return {key: _clean(key, value, 0) for key, value in event.items()}


def configure(level: str, form: str) -> None:
    """Set up logging for this process. `form` is json, console, or auto for what suits standard error."""
    as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request_id,
        structlog.processors.format_exc_info,
        redact,
    ]
    last: Processor = (
        structlog.processors.JSONRenderer(sort_keys=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
    logging.captureWarnings(capture=True)


def _add_request_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    served = request_id()
    if served is not None:
        event["request_id"] = served
    return event


def _clean(name: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if _SECRET_NAME.search(name) or depth > _DEEPEST:
        return REDACTED
    match value:
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} octets>"
        case Mapping():
            return {str(key): _clean(str(key), inner, depth + 1) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean("", inner, depth + 1) for inner in value]
    return _SECRET_TEXT.sub(REDACTED, str(value))
