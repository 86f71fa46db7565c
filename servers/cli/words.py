"""Times, serials and names as the command line writes and reads them."""

import json
import re
from datetime import timedelta
from typing import Final

from policy.profile_values import read_duration
from servers.cli.options import Exit, Failed
from store.clock import Millis, to_datetime

_SERIAL: Final = re.compile(r"[0-9a-f]{1,40}")
MOST: Final = 1000


def moment(at: Millis | None) -> str | None:
    """A time in UTC, to the second."""
    return None if at is None else f"{to_datetime(at):%Y-%m-%dT%H:%M:%SZ}"


def names(identifiers: str) -> list[str]:
    """The values of a JSON list of [type, value]."""
    return [value for _, value in json.loads(identifiers)]


def serial(text: str) -> str:
    """A serial as the tables hold it, from hex with or without colons. Raises Failed."""
    written = text.lower().replace(":", "").removeprefix("0x").lstrip("0")
    if not _SERIAL.fullmatch(written):
        raise Failed(
            Exit.USAGE, f"{text[:60]!r} is no serial: write it in hex, as certctl certificate list does"
        )
    return written


def span(text: str | None) -> timedelta | None:
    """`30d`, `12h`. Raises Failed."""
    if text is None:
        return None
    try:
        found = read_duration(text)
    except ValueError as error:
        raise Failed(Exit.USAGE, str(error)) from None
    if not found:
        raise Failed(Exit.USAGE, "give it at least a second to live")
    return found


def most(limit: int) -> int:
    """`limit`, if it is one. Raises Failed."""
    if not 1 <= limit <= MOST:
        raise Failed(Exit.USAGE, f"--limit lies between 1 and {MOST}")
    return limit
