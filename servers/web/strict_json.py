"""JSON from strangers, read once and in one way (RFC 8259).

What two parsers could read differently is refused here: duplicate member names, numbers that are no
numbers, lone surrogates, encodings other than UTF-8. So is what could cost us: deep nesting and integers of any length.
The caller bounds the number of bytes.
"""

import json
import math
from collections.abc import Iterator
from typing import Any, Final, NoReturn, TypeAlias

JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"
JsonObject: TypeAlias = dict[str, JsonValue]

MAX_NESTING: Final = 16  # the deepest thing any protocol here sends is an order: 3
MAX_INTEGER: Final = 2**63 - 1  # what a database column holds
_WHITE_SPACE: Final = " \t\n\r"  # RFC 8259 section 2; str.strip() alone would take away more


class JsonRefused(ValueError):
    """The bytes are not JSON that we read; the message says why in words for the sender."""


def load(data: bytes) -> JsonValue:
    """Return the value of a JSON text in UTF-8.

    Raises:
        JsonRefused: for everything that is not one well-formed, unambiguous, bounded JSON text.
    """
    try:
        text = str(data, "utf-8").strip(_WHITE_SPACE)
        value: JsonValue
        value, end = _DECODER.raw_decode(text)
    except UnicodeDecodeError:
        raise JsonRefused("not UTF-8") from None
    except JsonRefused:
        raise
    except RecursionError:
        raise JsonRefused(f"nested deeper than {MAX_NESTING}") from None
    except ValueError:  # the decoder's own message would quote the sender's text
        raise JsonRefused("not JSON") from None
    if end != len(text):
        raise JsonRefused("more than one JSON value")
    # Nothing is nested where no bracket follows the first, as in every JWS; and to look is cheaper than to count.
    if (text.rfind("{") > 0 or text.rfind("[") > 0) and text.count("{") + text.count("[") > MAX_NESTING:
        _refuse_depth(value)
    if "\\" in text:
        _refuse_unstorable(value)
    return value


def load_object(data: bytes) -> JsonObject:
    """Return the members of a JSON object; everything else raises JsonRefused."""
    value = load(data)
    if type(value) is not dict:
        raise JsonRefused("not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonRefused("a member name occurs twice")
    return members


def _integer(digits: str) -> int:
    # Length first: the conversion of a long literal is quadratic.
    if len(digits) > 20 or not -MAX_INTEGER <= (number := int(digits)) <= MAX_INTEGER:
        raise JsonRefused("an integer is too large")
    return number


def _real(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise JsonRefused("a number is too large")
    return number


def _constant(_name: str) -> NoReturn:
    raise JsonRefused("NaN and Infinity are not JSON")


def _refuse_depth(value: JsonValue) -> None:
    level: list[JsonValue] = [value]
    for _ in range(MAX_NESTING):
        level = [
            child
            for item in level
            if type(item) is dict or type(item) is list
            for child in (item.values() if type(item) is dict else item)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return
    raise JsonRefused(f"nested deeper than {MAX_NESTING}")


def _refuse_unstorable(value: JsonValue) -> None:
    """Only an escape can bring in half a surrogate pair, which has no UTF-8, or NUL, which PostgreSQL text refuses."""
    for text in _strings(value):
        if "\0" in text:
            raise JsonRefused("a string holds NUL")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise JsonRefused("a string holds half a surrogate pair") from None


def _strings(value: JsonValue) -> Iterator[str]:
    if type(value) is str:
        yield value
    elif type(value) is dict:
        yield from value
        for member in value.values():
            yield from _strings(member)
    elif type(value) is list:
        for item in value:
            yield from _strings(item)


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_real, parse_constant=_constant
)
